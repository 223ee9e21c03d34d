"""One attempt in a container, of a sandbox or a function: begun or found again, its output copied, ended, reported."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity, Unreachable
from broker.model.jobs import LaunchRequest
from executors.modal_pool.errors import GaveUp
from executors.modal_pool.site import Site
from executors.on_machine.outcome import Outcome, ended, with_lost_output
from executors.remote.backoff import Backoff
from executors.remote.bundle import is_call
from executors.remote.cancelling import GivenUp, unless_cancelled
from executors.remote.lines import Frame
from executors.remote.output import Copy, until_silent

log = structlog.get_logger()

DRAIN_S: Final = 30.0  # without a byte more of its output, once it has ended
TERMINATE_AFTER_S: Final = 10.0  # beyond its grace, where its agent does not end it


class InContainer(ABC):
    """Runs one attempt; `request` is None for an attempt that an earlier broker launched.

    A `handle` is what stands for it at Modal: a sandbox, or a call of a function.
    """

    def __init__(self, site: Site, attempt_id: str, request: LaunchRequest | None) -> None:
        self.site, self.id, self.request = site, attempt_id, request
        self.starting = True  # it is being created at Modal
        self.end: Frame | None = None  # the last message of its agent
        self._cancelled = asyncio.Event()
        self._grace_s = 0.0
        folder = site.folder(attempt_id)
        self.copies = {name: Copy(getattr(folder, name), self._on_frame) for name in ("stdout", "stderr")}
        self._reporting: list[asyncio.Task[None]] = []  # reports to the broker on their way

    @abstractmethod
    async def create(self) -> Any:
        """Creates it at Modal: its handle. Raises `NoCapacity` or another ExecutorError when nothing ran."""

    @abstractmethod
    async def find(self) -> Any | None:
        """The handle of what an earlier broker created; None where Modal knows of none. Raises `Unreachable`."""

    @abstractmethod
    async def abandon(self) -> Any | None:
        """Ends what may have been created while it was cancelled; its handle where that runs already."""

    @abstractmethod
    def streams(self, handle: Any) -> list[Coroutine[Any, Any, None]]:
        """Coroutines that copy its output until it is complete."""

    @abstractmethod
    async def end_of(self, handle: Any) -> tuple[str, int | None]:
        """Waits for its end: how (exit, timeout, terminated, gone, …), and its exit code where Modal knows it."""

    @abstractmethod
    async def ask_to_end(self, handle: Any, grace_s: float) -> None:
        """Tells its agent to end the command within `grace_s`. Raises ExecutorError."""

    @abstractmethod
    async def terminate(self, handle: Any) -> None:
        """Has Modal end it now. Raises ExecutorError."""

    @abstractmethod
    async def leave(self, handle: Any) -> None:
        """Releases the handle: nothing more is asked of it."""

    @abstractmethod
    def ready(self, frame: Frame, now_ns: int) -> None:
        """Handles the agent's message that its container runs."""

    def cancel(self, grace_s: float) -> None:
        """Has it end within `grace_s`."""
        self._grace_s = grace_s
        self._cancelled.set()

    async def run(self) -> Outcome:
        """Runs it to its end. Raises `NoCapacity` or another ExecutorError when nothing ran."""
        self.site.folder(self.id).make()
        handle = await self._create_or_find()
        self.starting = False
        if handle is not None:
            return await self._follow_to_end(handle)
        if self._cancelled.is_set():
            return ended("cancelled", reason="cancelled before it ran")
        return ended("interrupted", reason="the broker ended while it was begun, and Modal knows nothing of it")

    async def _create_or_find(self) -> Any | None:
        """Its handle; None when there is nothing to follow, or it was cancelled meanwhile."""
        try:
            return await unless_cancelled(self.create() if self.request else self._find(), self._cancelled)
        except GivenUp:
            return await self.abandon()

    async def _find(self) -> Any | None:
        backoff = Backoff()
        while True:
            try:
                return await self.find()
            except GaveUp:
                raise
            except (Unreachable, NoCapacity, Misconfigured) as error:  # none says that it does not run
                log.warning("an attempt is looked for again", attempt=self.id, error=str(error))
                await backoff.pause()

    async def _follow_to_end(self, handle: Any) -> Outcome:
        streams = [asyncio.create_task(one) for one in self.streams(handle)]
        obeying = asyncio.create_task(self._end_when_cancelled(handle))
        try:
            how, code = await self.end_of(handle)
            if streams:
                await until_silent(self.copies.values(), asyncio.create_task(_all_of(streams)), DRAIN_S)
        finally:
            for task in (*streams, obeying):
                task.cancel()
            await asyncio.gather(*streams, obeying, *self._reporting, return_exceptions=True)
            for copy in self.copies.values():
                copy.close()
            await self.leave(handle)
        return with_lost_output(self._outcome(how, code), self._lost_output())

    async def _end_when_cancelled(self, handle: Any) -> None:
        """Ends it once it is cancelled: by its agent, and where that fails, by Modal."""
        await self._cancelled.wait()
        await self._try(self.ask_to_end(handle, self._grace_s))
        await asyncio.sleep(self._grace_s + TERMINATE_AFTER_S)
        backoff = Backoff()
        while not await self._try(self.terminate(handle)):
            await backoff.pause()

    async def _try(self, asking: Awaitable[None]) -> bool:
        try:
            await asking
        except ExecutorError as error:
            log.warning("an attempt could not be told to end", attempt=self.id, error=str(error))
            return False
        return True

    def _on_frame(self, frame: Frame) -> None:
        """Handles a message of the agent."""
        now_ns = self.site.meter.clock.now_ns()
        if frame["kind"] == "ready":
            self.ready(frame, now_ns)
        elif frame["kind"] == "started" and self.site.reports.get(self.id)["state"] == "starting":
            self._reporting.append(asyncio.create_task(self.site.reports.started(self.id, now_ns)))
        elif frame["kind"] == "end":
            self.end = frame

    @property
    def lost(self) -> bool:
        """Whether its container is gone, or has to be taken for gone."""
        return self.end is None

    def _lost_output(self) -> str:
        return next((copy.lost for copy in self.copies.values() if copy.lost), "")

    def _outcome(self, how: str, code: int | None) -> Outcome:
        if self.end is not None:
            self._keep_result()
            known = {name: self.end.get(name) for name in ("exit_code", "signal", "reason")}
            return ended(self.end["state"], **known)
        if self._cancelled.is_set():
            return ended("cancelled", exit_code=137, signal=9, reason="cancelled; Modal ended it")
        if how == "timeout":
            return ended("timed_out", exit_code=124, reason="Modal's own time limit was reached")
        if how == "exit" and code == 0 and not is_call(self.request):
            return ended("succeeded", exit_code=0, reason="what it wrote at its end was lost")
        if code == 127:
            said = self.site.folder(self.id).first_words()
            return ended("failed", exit_code=127, reason=said or "a command was not found")
        reason = {
            "terminated": "its container was terminated from outside: by Modal, or by somebody in its workspace",
            "gone": "Modal knows it no more",
            "moved": "its container was lost: Modal took it, or it died",
        }.get(how, f"what ran it in its container was lost (exit code {code})")
        return ended("interrupted", reason=reason)

    def _keep_result(self) -> None:
        folder = self.site.folder(self.id)
        if result := self.copies["stderr"].result:
            folder.write_private(folder.result, result)


async def _all_of(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
