"""Requests from an event loop, through httpx; results of many calls are waited for with few connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, create_default_context
from typing import TYPE_CHECKING, Any, Final

from broker.model.errors import BrokerError
from broker.sdk.flow import CALLS, Action, AwaitResult, Request, StartCall
from broker.sdk.problems import raise_problem
from broker.sdk.results import results_request, split_records
from broker.sdk.transport import SILENCE_S, Answer, unanswered, wire

if TYPE_CHECKING:
    import httpx

_AT_ONCE: Final = 16  # most requests in flight
_TOGETHER: Final = 64  # most calls whose results one request waits for
_GATHERED_S: Final = 0.005  # per request that already waits: how long calls may join the next batch


class AsyncTransport:
    """Sends the requests of one event loop to one broker."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._address = address
        self._headers = dict(headers)
        https = address.startswith("https:")
        self._tls = create_default_context() if https else SSLContext(PROTOCOL_TLS_CLIENT)  # shared: making one is slow
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._batch: dict[str, asyncio.Future[Answer]] | None = None  # the batch that calls may still join
        self._waits: set[asyncio.Task[None]] = set()

    async def answer(self, action: Action) -> Answer:
        """Performs one action of a flow. Raises `DaemonError` when nobody answers, and what the broker refuses."""
        if isinstance(action, AwaitResult):
            return await self._end_of(action.job_id)
        if isinstance(action, StartCall):  # its result is waited for with those of other calls
            submission = Request(method="POST", path=CALLS, body=action.body)
            return await self._started(asyncio.create_task(self._send_in_turn(submission)))
        return await self._send_in_turn(action)

    async def _send_in_turn(self, request: Request) -> Answer:
        async with self._room:
            return await self._send(request)

    @staticmethod
    async def _started(calling: asyncio.Task[Answer]) -> Answer:
        """The answer even if the caller is cancelled meanwhile: it is told next, when it knows which job to cancel."""
        try:
            return await asyncio.shield(calling)
        except asyncio.CancelledError:
            answer = await calling
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
                task.cancel()
            return answer

    async def _end_of(self, job_id: str) -> Answer:
        if self._batch is None or len(self._batch) >= _TOGETHER:
            self._batch = {}
            task = asyncio.create_task(self._resolve(self._batch))
            self._waits.add(task)
            task.add_done_callback(self._waits.discard)
        future = self._batch.setdefault(job_id, asyncio.get_running_loop().create_future())
        return await asyncio.shield(future)

    async def _resolve(self, group: dict[str, asyncio.Future[Answer]]) -> None:
        await asyncio.sleep(_GATHERED_S * (len(self._waits) - 1))
        if self._batch is group:
            self._batch = None
        try:
            while waiting := [job_id for job_id, future in group.items() if not future.done()]:
                self._deliver(group, await self._send(results_request(waiting)))
        except BrokerError as error:
            for future in group.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # whoever waits gets it; nobody may be waiting

    @staticmethod
    def _deliver(group: Mapping[str, asyncio.Future[Answer]], answer: Answer) -> None:
        for job_id, record in split_records(answer.body):
            group[job_id].set_result(Answer(status=answer.status, headers=answer.headers, body=record))

    @asynccontextmanager
    async def lines(
        self, path: str, params: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an answer as they come, however long that takes. Raises what the broker refuses."""
        with self._answering():
            async with (
                self._http() as http,
                http.stream("GET", path + wire(params, None)[0], headers=dict(headers), timeout=SILENCE_S) as got,
            ):
                if got.status_code >= 400:
                    raise_problem(got.status_code, await got.aread())
                yield got.aiter_lines()

    async def _send(self, request: Request) -> Answer:
        query, data, headers = wire(request.params, request.body)
        with self._answering():
            async with self._http() as http:
                got = await http.request(
                    request.method, request.path + query, content=data, headers=headers, timeout=request.timeout_s
                )
        if got.status_code >= 400:
            raise_problem(got.status_code, got.content)
        return Answer(status=got.status_code, headers=dict(got.headers), body=got.content)

    def _http(self) -> httpx.AsyncClient:
        """For one request: a pool of connections loses one that is cancelled while it gives it back, and outlives the
        event loop."""
        import httpx

        socket = self._address.removeprefix("unix:") if self._address.startswith("unix:") else None
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket, verify=self._tls),
            base_url="http://broker" if socket else self._address,
            headers=self._headers,
        )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.TimeoutException as error:
            raise unanswered(self._address, error, late=True) from error
        except httpx.HTTPError as error:
            raise unanswered(self._address, error, late=False) from error
