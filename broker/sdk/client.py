"""Calls of Python → requests to the broker's daemon, on its Unix socket or on loopback, and its answers, as JSON.

What goes wrong comes back as the very errors that the broker raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote
from weakref import WeakKeyDictionary

from broker.model.errors import DaemonError
from broker.sdk.events import Event, Happened, JobEvents, Json, StreamName, happened
from broker.sdk.flow import CALLS, LONG_S, TIMEOUT_S, Ask, Asked, Called, Flow, adrive, drive
from broker.sdk.following import Followed, Read
from broker.sdk.problems import raise_problem
from broker.sdk.results import WAIT_S, results_of
from broker.sdk.streams import Stream
from broker.sdk.tenancy import Tenancy
from broker.sdk.transport import Answer, Transport
from broker.sdk.watching import LogPiece, cancelled, given, job_path, log_piece, waited

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from broker.sdk.asking import Asking

R = TypeVar("R")
PLAN_S: Final = 600.0  # for the broker's own plan, which it makes while nobody else wants the processor
_NOTHING: Final[Mapping[str, Any]] = {}


class Client(Tenancy):
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
        self._asking: WeakKeyDictionary[AbstractEventLoop, Asking] = WeakKeyDictionary()
        self._coming: dict[str, Callable[[], bytes]] = {}  # answers to calls that have begun, by job
        self.sent: set[str] = set()  # functions that the broker is known to have

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Gives back its connections; it can be used again."""
        self._transport.close()

    def run(self, flow: Flow[R]) -> R:
        """Runs a flow and waits."""
        return drive(flow, self._answer)

    async def arun(self, flow: Flow[R]) -> R:
        """Runs a flow in an event loop."""
        return await adrive(flow, self._asked().answer)

    def _asked(self) -> Asking:
        """What asks in the event loop that runs."""
        import asyncio

        from broker.sdk.asking import Asking

        loop = asyncio.get_running_loop()
        if loop not in self._asking:
            self._asking[loop] = Asking(self.address, self._transport.headers)
        return self._asking[loop]

    def _answer(self, ask: Asked) -> Answer:
        if isinstance(ask, Ask):
            return self._send(ask.method, ask.path, params=ask.params, body=ask.body, timeout_s=ask.timeout_s)
        if isinstance(ask, Called):
            return self._called(ask)
        if (rest := self._coming.pop(ask.job_id, None)) is not None and (body := rest()):
            return Answer(status=200, headers={}, body=body)
        while True:
            answer = self._answer(results_of([ask.job_id]))
            if answer.body:
                return answer

    def _called(self, call: Called) -> Answer:
        answer, rest = self._transport.line(f"{CALLS}?timeout_s={WAIT_S:g}", call.body, WAIT_S + TIMEOUT_S)
        if answer.status >= 400:
            raise_problem(answer.status, answer.body)
        self._coming[answer.json()["id"]] = rest
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

    def plan(self, **wish: Any) -> Json:
        """What to hold for the broker's own history (`period`), a `trace` or a `demand` (CSV): `Study`."""
        return self._json("POST", "/v1/plan", body=given(wish), timeout_s=LONG_S)

    def own_plan(self, gpu: str | None = None, days: float = 14.0, max_age_s: float = 0.0) -> Json:
        """What to hold for the broker's own work in the days to come, at its pools' prices: `OwnPlanView`."""
        params = given({"gpu": gpu, "days": days, "max_age_s": max_age_s})
        return self._json("GET", "/v1/plan", params=params, timeout_s=PLAN_S)

    def simulate(self, **wish: Any) -> Json:
        """What `policies` would have cost under `scenarios` on the broker's own history or a `trace`: `Study`."""
        return self._json("POST", "/v1/simulate", body=given(wish), timeout_s=LONG_S)

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
        return self.run(cancelled(job_id))

    def job(self, job_id: str) -> Json:
        """A job with its whole history, or an array: `JobDetail` or `ArrayView` (see `kind`)."""
        return self._json("GET", job_path(job_id))

    def jobs(self, **filters: Any) -> Json:
        """One page of jobs, newest first: `JobList`.

        Filters: state, user, project, name, pool, array, tag (KEY=VALUE), since, until, limit, cursor, collapse;
        lists where several are meant.
        """
        return self._json("GET", "/v1/jobs", params=given(filters))

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
        return self.run(waited(job_id, timeout_s, since))

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

    def output(self, job_id: str, stream: StreamName = "stdout", *, attempt: int | None = None) -> Iterator[bytes]:
        """All that a job has written so far to a stream, piece by piece."""
        offset = 0
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
        return self._followed(lambda: Stream(path, {}, ends=True), lambda: JobEvents().read, lost)

    def events(self, kind: Sequence[str] = (), lost: Callable[[], object] = lambda: None) -> Followed[Happened]:
        """What happens from now on, for ever: only these kinds (`job`, `job.failed`, `plan`), where any are named.

        As `follow` is. A `missed` one says that there was more than the broker remembers.
        """
        params = given({"kind": list(kind) or None})
        return self._followed(lambda: Stream("/v1/events", params, ends=False), lambda: happened, lost)

    def _followed(
        self, stream: Callable[[], Stream], read: Callable[[], Read[R]], lost: Callable[[], object]
    ) -> Followed[R]:
        return Followed(stream, read, self._transport, self._asked, lost)

    def explain(self, job_id: str) -> Json:
        """Why a job runs where it does: `ExplanationView`."""
        return self._json("GET", f"{job_path(job_id)}/explain")

    def result(self, job_id: str) -> bytes:
        """What a function returned or raised, pickled. Raises `Conflict` while it has not ended."""
        return self._send("GET", f"{job_path(job_id)}/result").body

    def offers(self, document: Mapping[str, Any]) -> Json:
        """What would be decided for such a job now, starting nothing: `PlacementView`."""
        return self._json("POST", "/v1/offers", body=dict(document))

    def spend(self, **wanted: Any) -> Json:
        """What was spent: `SpendView`. Takes period, since, until, by (a list), job, user, project, pool, tag."""
        return self._json("GET", "/v1/spend", params=given(wanted))

    def spend_csv(self, **wanted: Any) -> str:
        """The same as CSV."""
        return self._send("GET", "/v1/spend", params=given({**wanted, "format": "csv"})).body.decode()

    def spend_focus(self, **wanted: Any) -> tuple[str, int]:
        """The charges behind it as CSV of the FOCUS specification, and how many of unknown cost are not in it."""
        answer = self._send("GET", "/v1/spend", params=given({**wanted, "format": "focus"}))
        return answer.body.decode(), int(answer.headers.get("x-unknown-charges", "0"))

    def budgets(self) -> list[Json]:
        """All budgets by name, and how they stand: `BudgetView`s."""
        return list(self._json("GET", "/v1/budgets")["budgets"])

    def budget(self, name: str) -> Json:
        """One budget: `BudgetView`."""
        return self._json("GET", f"/v1/budgets/{quote(name, safe='')}")

    def set_budget(self, name: str, **wish: Any) -> Json:
        """Makes or replaces a budget: limit, period, action, user, pool, project, tag (KEY=VALUE), stop_running."""
        return self._json("PUT", f"/v1/budgets/{quote(name, safe='')}", body=given(wish))

    def remove_budget(self, name: str) -> None:
        """Removes a budget."""
        self._send("DELETE", f"/v1/budgets/{quote(name, safe='')}")

    def pools(self) -> list[Json]:
        """All pools by name: `PoolView`s."""
        return list(self._json("GET", "/v1/pools")["pools"])

    def forecast(self, pool: str | None = None) -> list[Json]:
        """How many units of each pool, or of one, will be busy in the next two days: `ForecastView`s."""
        return list(self._json("GET", "/v1/forecast", params=given({"pool": pool}), timeout_s=LONG_S)["forecasts"])

    def accuracy(self, pool: str | None = None, period: str = "7d") -> list[Json]:
        """Day by day what was forecast and planned, and what came: `AccountView`s."""
        params = given({"pool": pool, "period": period})
        return list(self._json("GET", "/v1/accuracy", params=params, timeout_s=LONG_S)["accounts"])

    def counterfactual(self, pool: str | None = None, period: str = "7d") -> list[Json]:
        """What a past time would have cost bought otherwise: `CounterfactualView`s."""
        params = given({"pool": pool, "period": period})
        return list(self._json("GET", "/v1/counterfactual", params=params, timeout_s=LONG_S)["counterfactuals"])

    def autopilot(self) -> Json:
        """Whether pools are steered by themselves, what was decided last and is proposed: `AutopilotView`."""
        return self._json("GET", "/v1/autopilot")

    def create_schedule(self, name: str, document: Mapping[str, Any], *, cron: str, **wish: Any) -> Json:
        """Submits a job again and again: `ScheduleView`.

        Takes timezone, concurrency (allow, forbid, replace), catch_up (last, all), starting_deadline, jitter, paused.
        """
        body = {"name": name, "cron": cron, "job": dict(document), **given(wish)}
        return self._json("POST", "/v1/schedules", body=body)

    def schedules(self) -> list[Json]:
        """All schedules by name: `ScheduleView`s."""
        return list(self._json("GET", "/v1/schedules")["schedules"])

    def schedule(self, name: str) -> Json:
        """A schedule with its next times and last firings: `ScheduleView`."""
        return self._json("GET", f"/v1/schedules/{quote(name, safe='')}")

    def change_schedule(self, name: str, document: Mapping[str, Any] | None = None, **change: Any) -> Json:
        """Changes what is given of a schedule, and its job where there is a `document`: `ScheduleView`.

        `change` as at `create_schedule`; `starting_deadline=None`: never too late.
        """
        body = {**change, **({"job": dict(document)} if document is not None else {})}
        return self._json("PATCH", f"/v1/schedules/{quote(name, safe='')}", body=body)

    def pause_schedule(self, name: str) -> Json:
        """Lets it fire no more: `ScheduleView`."""
        return self._json("POST", f"/v1/schedules/{quote(name, safe='')}/pause")

    def resume_schedule(self, name: str) -> Json:
        """Lets it go on from now: `ScheduleView`."""
        return self._json("POST", f"/v1/schedules/{quote(name, safe='')}/resume")

    def run_schedule(self, name: str) -> Json:
        """Submits its job now: `FiringView`."""
        return self._json("POST", f"/v1/schedules/{quote(name, safe='')}/run")

    def delete_schedule(self, name: str) -> None:
        """Removes a schedule; its jobs stay, and go on."""
        self._send("DELETE", f"/v1/schedules/{quote(name, safe='')}")

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

    def _json(self, method: str, path: str, **options: Any) -> Json:
        found: Json = self._send(method, path, **options).json()
        return found

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] = _NOTHING,
        body: object | bytes | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        answer = self._transport.send(method, path, params, body, timeout_s)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise_problem(answer.status, answer.body)
        return answer
