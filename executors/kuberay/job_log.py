"""The log of an attempt's submitter → the files of its streams, and what its agent tells between them."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from broker.model.errors import ExecutorError
from executors.kuberay import names
from executors.kuberay.api import Api, Resource
from executors.kuberay.entry import MARK
from executors.kuberay.informer import Informer
from executors.remote.backoff import Backoff
from executors.remote.output import Copy

log = structlog.get_logger()


class JobLog:
    """Reads the log of one RayJob: again from its start when the line is lost, or its submitter was replaced."""

    def __init__(self, api: Api, pods: Informer, job: str, copies: dict[str, Copy]) -> None:
        self._api, self._pods, self._job = api, pods, job
        self._copies = {"1": copies["stdout"], "2": copies["stderr"]}
        self._read: set[str] = set()  # pods whose log was read to its end
        self._next = 0
        self.read = asyncio.Event()  # all that a submitter which has ended wrote was read

    async def run(self) -> None:
        """Reads until it is stopped: a submitter that ended may be followed by another."""
        backoff = Backoff()
        while True:
            await self._pods.until(lambda: self._submitter() is not None)
            pod = self._submitter()
            if pod is None:
                continue
            if await self._copied(pod["metadata"]["name"]):
                self._read.add(pod["metadata"]["uid"])
                self.read.set()
            else:
                await backoff.pause()

    async def _copied(self, pod: str) -> bool:
        """Copies what a pod has written; whether that was all that can be had of it."""
        try:
            await self._copy(pod)
        except ExecutorError as error:
            log.info("a log is read again", job=self._job, error=str(error))
            return self._pods.get(pod) is None
        return _over(self._pods.get(pod))

    async def _copy(self, pod: str) -> None:
        self._next = 0
        for copy in self._copies.values():
            copy.begin()
        async for line in self._api.log(pod):
            self._take(line.decode(errors="replace"))

    def _take(self, line: str) -> None:
        """One line; those that are not ours are Ray's, which also repeats the last of ours when a job has failed."""
        if not line.startswith(MARK):
            return
        head, _, text = line[1:].partition(" ")
        stream, number = head[:1], int(head[1:])
        copy = self._copies[stream]
        if number < self._next:
            return
        if number > self._next:
            copy.lost = copy.lost or "some of its output was gone from Kubernetes' log before it was read"
        self._next = number + 1
        copy.take(f"{text}\n")

    def _submitter(self) -> Resource | None:
        """The newest pod with a log that was not read yet."""
        mine = [
            pod
            for pod in self._pods.known.values()
            if pod["metadata"]["labels"].get(names.ATTEMPT) == self._job
            and pod["metadata"]["uid"] not in self._read
            and _has_log(pod)
        ]
        return max(mine, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)


def _has_log(pod: Resource) -> bool:
    state = _state(pod)
    return "running" in state or "terminated" in state


def _over(pod: Resource | None) -> bool:
    return pod is None or "terminated" in _state(pod)


def _state(pod: Resource) -> dict[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0].get("state", {})
    return found
