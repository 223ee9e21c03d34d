"""The same requests from an event loop, through httpx; and many ends waited for with few connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, create_default_context
from typing import TYPE_CHECKING, Any, Final

from broker.model.errors import BrokerError
from broker.sdk.flow import CALLS, Ask, Asked, Awaited, Called
from broker.sdk.problems import raise_problem
from broker.sdk.results import results_of, split
from broker.sdk.transport import SILENCE_S, Answer, unanswered, wire

if TYPE_CHECKING:
    import httpx

_AT_ONCE: Final = 16  # requests that are answered at once
_TOGETHER: Final = 64  # ends waited for with one request
_GATHERED_S: Final = 0.005  # for each request that waits already: how long others may join the next


class Asking:
    """Requests of one event loop to one broker."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._address = address
        self._headers = dict(headers)
        https = address.startswith("https:")
        self._tls = create_default_context() if https else SSLContext(PROTOCOL_TLS_CLIENT)  # made anew it is dear
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._group: dict[str, asyncio.Future[Answer]] | None = None  # that is still joined
        self._following: set[asyncio.Task[None]] = set()

    async def answer(self, ask: Asked) -> Answer:
        """What one request is answered. Raises `DaemonError` when nobody answers, and what the broker refuses."""
        if isinstance(ask, Awaited):
            return await self._ended(ask.job_id)
        if isinstance(ask, Called):  # its end is waited for with others
            return await self._begun(asyncio.create_task(self._sent(Ask(method="POST", path=CALLS, body=ask.body))))
        return await self._sent(ask)

    async def _sent(self, ask: Ask) -> Answer:
        async with self._room:
            return await self._send(ask)

    @staticmethod
    async def _begun(calling: asyncio.Task[Answer]) -> Answer:
        """The answer also where the caller is cancelled, which it learns of next: when it knows the job to cancel."""
        try:
            return await asyncio.shield(calling)
        except asyncio.CancelledError:
            answer = await calling
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
                task.cancel()
            return answer

    async def _ended(self, job_id: str) -> Answer:
        if self._group is None or len(self._group) >= _TOGETHER:
            self._group = {}
            task = asyncio.create_task(self._follow(self._group))
            self._following.add(task)
            task.add_done_callback(self._following.discard)
        future = self._group.setdefault(job_id, asyncio.get_running_loop().create_future())
        return await asyncio.shield(future)

    async def _follow(self, group: dict[str, asyncio.Future[Answer]]) -> None:
        await asyncio.sleep(_GATHERED_S * (len(self._following) - 1))
        if self._group is group:
            self._group = None
        try:
            while waiting := [job_id for job_id, future in group.items() if not future.done()]:
                self._tell(group, await self._send(results_of(waiting)))
        except BrokerError as error:
            for future in group.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # whoever waits gets it; nobody may be waiting

    @staticmethod
    def _tell(group: Mapping[str, asyncio.Future[Answer]], answer: Answer) -> None:
        for job_id, record in split(answer.body):
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

    async def _send(self, ask: Ask) -> Answer:
        query, data, headers = wire(ask.params, ask.body)
        with self._answering():
            async with self._http() as http:
                got = await http.request(
                    ask.method, ask.path + query, content=data, headers=headers, timeout=ask.timeout_s
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
