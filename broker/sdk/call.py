"""`Call`: a job that is one call of a Python function → what it returned, or raised."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Generic, TypeVar

from broker.sdk.flow import Flow, dual_method
from broker.sdk.job import Job, value_of
from broker.sdk.job_requests import cancel_job
from broker.sdk.results import EndedCall, await_end

if TYPE_CHECKING:
    from broker.sdk.client import Client

R = TypeVar("R")


class Call(Job, Generic[R]):
    """One call, as `Function.spawn` gives it: a job whose result has the type that the function returns."""

    def __init__(self, client: Client, id: str) -> None:
        super().__init__(client, id)
        self._ended: EndedCall | None = None

    @dual_method
    def result(self, timeout: float | None = None) -> Flow[R]:
        """What the function returned, once it has ended; what it raised is raised here, as itself.

        Raises `JobFailed` when it ended without either, and TimeoutError after `timeout` seconds.
        """
        self._ended = self._ended or (yield from await_end(self.id, timeout))
        value: R = yield from value_of(self, self._ended)
        return value

    def or_cancelled(self) -> Flow[R]:
        """The result; whoever stops waiting for it ends the job."""
        try:
            return (yield from self.result.flow())
        except (KeyboardInterrupt, CancelledError):
            yield from cancel_job(self.id)
            raise
