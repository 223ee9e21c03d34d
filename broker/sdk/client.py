"""The client of the broker's HTTP API: one method a route, plain JSON values as results.

A refusal is raised as the very error that the broker raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from broker.model.errors import DaemonError
from broker.sdk.capacity_routes import CapacityRoutes
from broker.sdk.event_stream import EventStream
from broker.sdk.events import Event, Happened, JobEvents, Json, StreamName, happened
from broker.sdk.flow import CALLS, LONG_S, TIMEOUT_S, Action, Flow, Request, StartCall, adrive, drive
from broker.sdk.follow import Followed, Read
from broker.sdk.job_requests import LogPiece, cancel_job, job_path, log_piece, wait_for_end, without_none
from broker.sdk.problems import raise_problem
from broker.sdk.results import WAIT_S, results_request
from broker.sdk.routes import NOTHING
from broker.sdk.schedule_routes import ScheduleRoutes
from broker.sdk.spending_routes import SpendingRoutes
from broker.sdk.tenancy_routes import TenancyRoutes
from broker.sdk.transport import Answer, Transport

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from broker.sdk.async_transport import AsyncTransport

R = TypeVar("R")


class Client(CapacityRoutes, SpendingRoutes, ScheduleRoutes, TenancyRoutes):
    """Speaks to one daemon. Safe for threads.

    Every method raises `DaemonError` when the daemon does not answer, and what the broker refuses as `InvalidInput`,
    `UnknownName`, `Conflict` and the others of `broker.model.errors`.
    """

    def __init__(self, address: str, token: str | None = None, user: str | None = None) -> None:
        """`address` is `unix:/path` or `http://host:port`; `user` owns what is submitted, default the daemon's."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if user:
            headers["Broker-User"] = user
        self.address = address
        self._transport = Transport(address, headers)
        self._async_transports: WeakKeyDictionary[AbstractEventLoop, AsyncTransport] = WeakKeyDictionary()
        self._call_results: dict[str, Callable[[], bytes]] = {}  # by job of a call: reads its result
        self.known_functions: set[str] = set()  # hashes of functions that the broker is known to have

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes its idle connections; the client can be used again."""
        self._transport.close()

    def run(self, flow: Flow[R]) -> R:
        """Runs a flow and blocks until its result."""
        return drive(flow, self._perform)

    async def arun(self, flow: Flow[R]) -> R:
        """Runs a flow in an event loop."""
        return await adrive(flow, self._async_transport().answer)

    def _async_transport(self) -> AsyncTransport:
        """The transport of the running event loop."""
        import asyncio

        from broker.sdk.async_transport import AsyncTransport

        loop = asyncio.get_running_loop()
        if loop not in self._async_transports:
            self._async_transports[loop] = AsyncTransport(self.address, self._transport.headers)
        return self._async_transports[loop]

    def _perform(self, action: Action) -> Answer:
        if isinstance(action, Request):
            return self._send(
                action.method, action.path, params=action.params, body=action.body, timeout_s=action.timeout_s
            )
        if isinstance(action, StartCall):
            return self._start_call(action)
        if (rest := self._call_results.pop(action.job_id, None)) is not None and (body := rest()):
            return Answer(status=200, headers={}, body=body)
        while True:
            answer = self._perform(results_request([action.job_id]))
            if answer.body:
                return answer

    def _start_call(self, call: StartCall) -> Answer:
        answer, rest = self._transport.line(f"{CALLS}?timeout_s={WAIT_S:g}", call.body, WAIT_S + TIMEOUT_S)
        if answer.status >= 400:
            raise_problem(answer.status, answer.body)
        self._call_results[answer.json()["id"]] = rest
        return answer

    def submit(self, document: Mapping[str, Any]) -> Json:
        """Submits a job, as the job specification has it: `Submitted`."""
        return self._json("POST", "/v1/jobs", body=dict(document))

    def submit_batch(self, documents: Sequence[Mapping[str, Any]], key: str | None = None) -> Json:
        """Submits up to 1,000 jobs, all of them or none: `BatchSubmitted`.

        With `key` the call can be repeated: jobs without an id are named KEY-0, KEY-1, and found again.
        """
        jobs = [({"id": f"{key}-{place}"} if key else {}) | dict(each) for place, each in enumerate(documents)]
        return self._json("POST", "/v1/jobs:batch", body={"jobs": jobs}, timeout_s=LONG_S)

    def put_blob(self, data: bytes) -> str:
        """Stores the payload of a function; its SHA-256, by which a job names it."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._send("PUT", f"/v1/blobs/{sha256}", body=data)
        return sha256

    def retry(self, job_id: str) -> Json:
        """Submits a failed or cancelled job, or an array's such tasks, again: `Submitted`."""
        return self._json("POST", f"{job_path(job_id)}/retry")

    def cancel(self, job_id: str) -> Json:
        """Asks for the end of a job or an array: `Cancelled`."""
        return self.run(cancel_job(job_id))

    def job(self, job_id: str) -> Json:
        """A job with its whole history, or an array: `JobDetail` or `ArrayView` (see `kind`)."""
        return self._json("GET", job_path(job_id))

    def jobs(self, **filters: Any) -> Json:
        """One page of jobs, newest first: `JobList`.

        Filters: state, user, project, name, pool, array, tag (KEY=VALUE), since, until, limit, cursor, collapse;
        lists where several are meant.
        """
        return self._json("GET", "/v1/jobs", params=without_none(filters))

    def each_job(self, **filters: Any) -> Iterator[Json]:
        """All jobs, newest first, read page by page: `JobView` or `ArrayView`."""
        cursor: str | None = None
        while True:
            page = self.jobs(**{"limit": 200, **filters, "cursor": cursor})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def wait(self, job_id: str, timeout_s: float | None = None, since: str | None = None) -> Json:
        """A job or array once it has ended, or is of another revision than `since`: `JobView` or `ArrayView`.

        After `timeout_s` seconds it is returned as it is then; None waits for ever.
        """
        return self.run(wait_for_end(job_id, timeout_s, since))

    def logs(
        self,
        job_id: str,
        stream: StreamName = "stdout",
        *,
        attempt: int | None = None,
        offset: int = 0,
        limit: int = 1 << 20,
    ) -> LogPiece:
        """A piece of what a job wrote, of its last attempt where none is named."""
        return self.run(log_piece(job_id, stream, attempt, offset, limit))

    def output(
        self, job_id: str, stream: StreamName = "stdout", *, attempt: int | None = None, offset: int = 0
    ) -> Iterator[bytes]:
        """All that a job has written so far to a stream from byte `offset` on, piece by piece."""
        while True:
            piece = self.logs(job_id, stream, attempt=attempt, offset=offset)
            yield piece.data
            if piece.complete or not piece.data:
                return
            attempt, offset = piece.attempt, piece.next_offset

    def follow(self, job_id: str, lost: Callable[[], object] = lambda: None) -> Followed[Event]:
        """All that a job writes, both streams, and each state that it is seen in, as it happens, until its end.

        `for` or `async for` over it, as often as you like. A connection that is lost is made again, from where it was;
        `lost` is called each time.
        """
        path = f"{job_path(job_id)}/follow"
        return self._followed(lambda: EventStream(path, {}, ends=True), lambda: JobEvents().read, lost)

    def events(self, kind: Sequence[str] = (), lost: Callable[[], object] = lambda: None) -> Followed[Happened]:
        """What happens from now on, for ever: only these kinds (`job`, `job.failed`, `plan`), where any are named.

        As `follow` is. A `missed` one says that there was more than the broker remembers.
        """
        params = without_none({"kind": list(kind) or None})
        return self._followed(lambda: EventStream("/v1/events", params, ends=False), lambda: happened, lost)

    def _followed(
        self, stream: Callable[[], EventStream], read: Callable[[], Read[R]], lost: Callable[[], object]
    ) -> Followed[R]:
        return Followed(stream, read, self._transport, self._async_transport, lost)

    def explain(self, job_id: str) -> Json:
        """Why a job runs where it does: `ExplanationView`."""
        return self._json("GET", f"{job_path(job_id)}/explain")

    def result(self, job_id: str) -> bytes:
        """What a function returned or raised, pickled. Raises `Conflict` while it has not ended."""
        return self._send("GET", f"{job_path(job_id)}/result").body

    def offers(self, document: Mapping[str, Any]) -> Json:
        """What would be decided for such a job now, starting nothing: `PlacementView`."""
        return self._json("POST", "/v1/offers", body=dict(document))

    def status(self) -> Json:
        """The daemon and what it has to do: `StatusView`."""
        return self._json("GET", "/v1/status")

    def shutdown(self, *, drain: bool = True) -> None:
        """Asks the daemon to end: after what runs has ended, or now."""
        self._send("POST", "/v1/shutdown", body={"mode": "drain" if drain else "now"})

    def healthy(self, timeout_s: float = TIMEOUT_S) -> bool:
        """Whether the daemon answers."""
        try:
            return self._transport.send("GET", "/healthz", {}, None, timeout_s).status == HTTPStatus.OK
        except DaemonError:
            return False

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] = NOTHING,
        body: object | bytes | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        answer = self._transport.send(method, path, params, body, timeout_s)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise_problem(answer.status, answer.body)
        return answer
