"""One attempt on its way through a sandbox: made or found again, its output copied, its end told."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.resources import Resources
from executors.modal_pool.errors import translated
from executors.modal_pool.lines import Frame
from executors.modal_pool.output import Copy
from executors.modal_pool.sandboxes import Backoff, Sandboxes, ask_to_end, end_of, terminate
from executors.modal_pool.site import Site
from executors.on_machine.outcome import Outcome, ended, with_lost_output

log = structlog.get_logger()

DRAIN_S: Final = 20.0  # for the last of its output, once it has ended
TERMINATE_AFTER_S: Final = 10.0  # beyond its grace, where its agent does not end it


class InSandbox:
    """One attempt; `request` is None for one that an earlier broker launched."""

    def __init__(self, site: Site, attempt_id: str, request: LaunchRequest | None) -> None:
        self._site, self._id, self._request = site, attempt_id, request
        self._sandboxes = Sandboxes(site)
        self._end: Frame | None = None
        self._cancelled = asyncio.Event()
        self._grace_s = 0.0
        folder = site.folder(attempt_id)
        self._copies = {name: Copy(getattr(folder, name), self._told) for name in ("stdout", "stderr")}
        self._telling: list[asyncio.Task[None]] = []  # what the broker is being told of it
        self.starting = True  # it is being made

    def cancel(self, grace_s: float) -> None:
        """It must end."""
        self._grace_s = grace_s
        self._cancelled.set()

    async def run(self) -> Outcome:
        """Follows it to its end. Raises `NoCapacity`, and what else says that nothing ran."""
        self._site.folder(self._id).make()
        sandbox = await self._begun()
        self.starting = False
        if sandbox is None:
            return self._without()
        return await self._followed(sandbox)

    def _without(self) -> Outcome:
        if self._cancelled.is_set():
            return ended("cancelled", reason="cancelled before it ran")
        return ended("interrupted", reason="the broker ended while its sandbox was made, and Modal knows none for it")

    async def _begun(self) -> Any | None:
        """Its sandbox; None when there is none, or it was cancelled meanwhile."""
        making = asyncio.create_task(self._made() if self._request else self._found())
        asked = asyncio.create_task(self._cancelled.wait())
        try:
            await asyncio.wait({making, asked}, return_when=asyncio.FIRST_COMPLETED)
            if making.done():
                return making.result()
        finally:
            asked.cancel()
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
        await self._sandboxes.end(self._id)
        return None

    async def _made(self) -> Any:
        assert self._request is not None
        sandbox, resources = await self._sandboxes.made(self._request)
        self._site.reports.note(self._id, nodes=[sandbox.object_id], object_id=sandbox.object_id)
        self._measure(sandbox.object_id, resources)
        return sandbox

    async def _found(self) -> Any | None:
        report = self._site.reports.get(self._id)
        backoff = Backoff()
        while True:
            try:
                if report.get("object_id"):
                    return await self._sandboxes.known(report["object_id"])
                if sandbox := await self._sandboxes.named(self._id):
                    self._site.reports.note(self._id, nodes=[sandbox.object_id], object_id=sandbox.object_id)
                    self._measure(sandbox.object_id, Resources(**report["held"]))
                return sandbox
            except Unreachable as error:
                log.info("an attempt is looked for again", attempt=self._id, error=str(error))
                await backoff.pause()

    def _measure(self, unit_id: str, resources: Resources) -> None:
        meter = self._site.meter
        now_ns = meter.clock.now_ns()
        meter.begin(unit_id, resources, self._id, now_ns)
        meter.hold(unit_id, self._id, resources, now_ns)

    async def _followed(self, sandbox: Any) -> Outcome:
        streams = [asyncio.create_task(self._copied(sandbox, name)) for name in self._copies]
        obeying = asyncio.create_task(self._obeyed(sandbox))
        try:
            how, code = await end_of(self._site.pool.name, sandbox)
            await asyncio.wait(streams, timeout=DRAIN_S)
        finally:
            for task in (*streams, obeying):
                task.cancel()
            await asyncio.gather(*streams, obeying, *self._telling, return_exceptions=True)
            for copy in self._copies.values():
                copy.close()
            await sandbox.detach.aio()
        return with_lost_output(self._outcome(how, code), self._lost())

    async def _copied(self, sandbox: Any, name: str) -> None:
        """Copies one stream, from its start again when the connection was lost."""
        backoff, copy, reading = Backoff(), self._copies[name], sandbox
        while True:
            copy.begin()
            try:
                with translated(self._site.pool.name, f"reading {name}"):
                    async for line in getattr(reading, name):
                        copy.take(line)
                    return
            except ExecutorError as error:
                log.info("output is read again", attempt=self._id, error=str(error))
                await backoff.pause()
            with_id = await self._again(sandbox)
            reading = with_id or reading

    async def _again(self, sandbox: Any) -> Any | None:
        try:
            return await self._sandboxes.known(sandbox.object_id)
        except ExecutorError:
            return None

    async def _obeyed(self, sandbox: Any) -> None:
        """Ends it once that was asked for: by its agent, and where that fails, by Modal."""
        pool = self._site.pool.name
        await self._cancelled.wait()
        await self._tried(ask_to_end(pool, sandbox, self._grace_s))
        await asyncio.sleep(self._grace_s + TERMINATE_AFTER_S)
        backoff = Backoff()
        while not await self._tried(terminate(pool, sandbox)):
            await backoff.pause()

    async def _tried(self, asking: Any) -> bool:
        try:
            await asking
        except ExecutorError as error:
            log.warning("an attempt could not be told to end", attempt=self._id, error=str(error))
            return False
        return True

    def _told(self, frame: Frame) -> None:
        """Takes what the agent tells."""
        reports, meter = self._site.reports, self._site.meter
        now_ns = meter.clock.now_ns()
        report = reports.get(self._id)
        if frame["kind"] == "ready":
            meter.ready(report["object_id"], now_ns)
        elif frame["kind"] == "started" and report["state"] == "starting":
            self._telling.append(asyncio.create_task(reports.started(self._id, now_ns)))
        elif frame["kind"] == "end":
            self._end = frame

    def _lost(self) -> str:
        return next((copy.lost for copy in self._copies.values() if copy.lost), "")

    def _outcome(self, how: str, code: int | None) -> Outcome:
        if (end := self._end) is not None:
            self._keep_result()
            known = {name: end.get(name) for name in ("exit_code", "signal", "reason")}
            return ended(end["state"], **known)
        if self._cancelled.is_set():
            return ended("cancelled", exit_code=137, signal=9, reason="cancelled; Modal ended it")
        if how == "timeout":
            return ended("timed_out", exit_code=124, reason="Modal's own time limit was reached")
        if code == 127:
            with self._site.folder(self._id).stderr.open("rb") as file:
                said = file.read(500).decode(errors="replace").strip()
            return ended("failed", exit_code=127, reason=said or "a command was not found")
        reason = {
            "terminated": "the sandbox was terminated from outside: by Modal, or by somebody in its workspace",
            "gone": "Modal knows its sandbox no more",
        }.get(how, f"what ran it in the sandbox was lost (exit code {code})")
        return ended("interrupted", reason=reason)

    def _keep_result(self) -> None:
        folder = self._site.folder(self._id)
        if result := self._copies["stderr"].result:
            folder.write_private(folder.result, result)
