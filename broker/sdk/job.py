"""`Job`: what a submitted job is doing, what it cost, wrote and returned, and why it ran where it did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from broker.model.errors import BrokerError
from broker.model.money import Money
from broker.sdk.client import Client
from broker.sdk.events import Event, Json, StreamName
from broker.sdk.flow import LARGE_S, Flow, Request, dual_method
from broker.sdk.follow import Followed
from broker.sdk.job_requests import cancel_job, job_path, log_piece, wait_for_end
from broker.sdk.results import EndedCall, await_end


class JobFailed(BrokerError):
    """The job ended without a result: its command failed, it was cancelled, or what it ran on died."""

    def __init__(self, job: Job, state: str, reason: str) -> None:
        super().__init__(f"{job.id} {state}: {reason or 'no reason is known'}; its output: job.logs('stderr')")
        self.job = job


class Job:
    """One job, or an array of jobs (see `tasks`). Asks the broker whenever the answer may have changed."""

    def __init__(self, client: Client, id: str) -> None:
        self.id = id
        self._client = client
        self._last: Json = {}

    def _runs(self) -> Client:
        return self._client

    def __repr__(self) -> str:
        known = f" {self._last['state']}" if self._last else ""
        return f"<broker.Job {self.id}{known}>"

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._now()["name"])

    @property
    def state(self) -> str:
        """`queued`, `starting`, `running`, `succeeded`, `failed` or `cancelled`."""
        return str(self._now()["state"])

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return bool(self._now()["ended"])

    @property
    def reason(self) -> str:
        """Why it is in this state; empty for an array."""
        return str(self._now().get("reason", ""))

    @property
    def pool(self) -> str | None:
        """Where its last attempt runs or ran; None while it has none, and for an array."""
        pool: str | None = self._now().get("pool")
        return pool

    @property
    def exit_code(self) -> int | None:
        """Exit code of its last attempt, 128 + n after signal n; None while there is none, and for an array."""
        code: int | None = self._now().get("exit_code")
        return code

    @property
    def submitted_at(self) -> datetime:
        """When it was submitted (UTC)."""
        return datetime.fromisoformat(self._now()["submitted_at"])

    @property
    def cost(self) -> Money | None:
        """What it is known to have cost so far; None when nothing of it has a known price."""
        cost = self._now().get("cost")
        if cost is None or not cost["complete"]:
            cost = self._seen(self._client.job(self.id))["cost"]
        amount = cost["nanodollars"]
        return None if amount is None else Money(amount)

    @dual_method
    def wait(self, timeout: float | None = None) -> Flow[Job]:
        """Returns itself once it has ended, however it did. Raises TimeoutError after `timeout` seconds."""
        if not self._seen((yield from wait_for_end(self.id, timeout)))["ended"]:
            raise TimeoutError(f"{self.id} has not ended after {timeout:g} s: it is {self._last['state']}")
        return self

    @dual_method
    def result(self, timeout: float | None = None) -> Flow[Any]:
        """What its function returned, once it has ended; what it raised is raised here.

        Raises `JobFailed` when it ended without either, and TimeoutError after `timeout` seconds.
        """
        return (yield from value_of(self, (yield from await_end(self.id, timeout))))

    @dual_method
    def logs(self, stream: StreamName = "stdout", attempt: int | None = None) -> Flow[str]:
        """What it has written so far, by its last attempt where none is named; what is not UTF-8 is shown as �."""
        found = b""
        while True:
            piece = yield from log_piece(self.id, stream, attempt, len(found))
            found += piece.data
            if piece.complete or not piece.data:
                return found.decode(errors="replace")
            attempt = piece.attempt

    def follow(self) -> Followed[Event]:
        """What it writes and the states that it is seen in, as it happens, until its end: `for` or `async for` over it.

        A connection that is lost is made again, and nothing is told twice or left out.
        """
        return self._client.follow(self.id)

    def explain(self) -> str:
        """Why it runs where it does, and what would have changed that."""
        said = self._client.explain(self.id)
        lines = [said["reason"], *said["rejected"], said["flip"], *said["actual"]]
        return "\n".join(line for line in lines if line)

    @dual_method
    def cancel(self) -> Flow[None]:
        """Asks for its end, or that of an array's tasks; nothing happens to what has ended."""
        self._seen((yield from cancel_job(self.id))["standing"])

    def retry(self) -> Job:
        """The job that runs it again, once it has failed or was cancelled; of an array, those of its tasks."""
        return Job(self._client, self._client.retry(self.id)["id"])

    def tasks(self) -> list[Job]:
        """The jobs of an array, in order; of a single job, itself."""
        if self._now()["kind"] == "job":
            return [self]
        found = sorted(self._client.each_job(array=self.id), key=lambda task: int(task["array_index"]))
        return [Job(self._client, task["id"]) for task in found]

    def details(self) -> Json:
        """All that is known of it: `JobDetail` or `ArrayView` of the HTTP API."""
        return self._client.job(self.id)

    def _now(self) -> Json:
        """How it stands; an end is final."""
        return self._last if self._last.get("ended") else self._seen(self._client.wait(self.id, 0))

    def _seen(self, view: Json) -> Json:
        self._last = view
        return view


def value_of(job: Job, ended: EndedCall) -> Flow[Any]:
    """What a call that has ended returned; what it raised is raised. Raises `JobFailed` where there is neither."""
    from broker.sdk.pickling import unpacked

    data = ended.data
    if ended.apart:
        data = (yield Request(method="GET", path=f"{job_path(job.id)}/result", timeout_s=LARGE_S)).body
    if data is None:
        raise JobFailed(job, ended.state, ended.reason)
    return unpacked(data)
