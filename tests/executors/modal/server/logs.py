"""Logs of functions: lines by call, streamed as they come and fetched afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from modal_proto import api_pb2

from tests.executors.modal.server.world import World

FDS = {"stdout": api_pb2.FILE_DESCRIPTOR_STDOUT, "stderr": api_pb2.FILE_DESCRIPTOR_STDERR}


@dataclass(frozen=True)
class Entry:
    app_id: str
    function_id: str
    call_id: str
    task_id: str
    fd: Any
    data: str
    at_ns: int

    def wanted(self, request: Any) -> bool:
        """Whether a request's filters take it."""
        pairs = (
            (request.app_id, self.app_id),
            (request.function_id, self.function_id),
            (request.function_call_id, self.call_id),
            (request.task_id, self.task_id),
        )
        return all(not asked or asked == mine for asked, mine in pairs) and request.search_text in self.data


class Logs:
    def __init__(self, world: World) -> None:
        self._world = world
        self._entries: list[Entry] = []
        self._news = asyncio.Condition()

    def add(self, app_id: str, function_id: str, call_id: str, task_id: str, name: str, data: str) -> None:
        at_ns = time.time_ns() + round(self._world.faults.clock_s * 1e9)
        self._entries.append(Entry(app_id, function_id, call_id, task_id, FDS[name], data, at_ns))
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def AppGetLogs(self, request: Any) -> AsyncIterator[Any]:
        first = len(self._entries) if self._world.faults.logs_from_now else 0
        offset = int(request.last_entry_id or first)
        await self._world.faults.released()
        until = time.monotonic() + request.timeout
        while time.monotonic() < until:
            for number, entry in enumerate(self._entries[offset:], offset + 1):
                if entry.wanted(request):
                    yield _batch(entry, str(number))
                offset = number
            try:
                async with asyncio.timeout(max(until - time.monotonic(), 0.0)), self._news:
                    await self._news.wait()
            except TimeoutError:
                break

    async def AppCountLogs(self, request: Any) -> Any:
        width = request.bucket_secs
        counts: dict[int, int] = {}
        for entry in self._between(request):
            bucket = int(entry.at_ns // 1_000_000_000 // width * width)
            counts[bucket] = counts.get(bucket, 0) + 1
        buckets = []
        for begins, count in sorted(counts.items()):
            bucket_of = api_pb2.AppCountLogsResponse.LogBucket(stdout_logs=count)
            bucket_of.bucket_start_at.FromSeconds(begins)
            buckets.append(bucket_of)
        return api_pb2.AppCountLogsResponse(app_id=request.app_id, buckets=buckets)

    async def AppFetchLogs(self, request: Any) -> Any:
        await self._world.faults.released()
        batches = [_batch(entry, "") for entry in self._between(request)]
        return api_pb2.AppFetchLogsResponse(batches=batches)

    def _between(self, request: Any) -> list[Entry]:
        since, until = request.since.ToNanoseconds(), request.until.ToNanoseconds()
        return [one for one in self._entries if one.wanted(request) and since <= one.at_ns <= until]


def _batch(entry: Entry, entry_id: str) -> Any:
    item = api_pb2.TaskLogs(
        data=entry.data,
        file_descriptor=entry.fd,
        function_call_id=entry.call_id,
        container_id=entry.task_id,
        timestamp_ns=entry.at_ns,
    )
    return api_pb2.TaskLogsBatch(task_id=entry.task_id, function_id=entry.function_id, items=[item], entry_id=entry_id)
