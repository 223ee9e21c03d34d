"""One attempt run as a RayJob: created or found again, its output read, ended on request, its outcome reported."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity, Rejected, Unreachable
from broker.model.jobs import LaunchRequest
from executors.kuberay import names
from executors.kuberay.api import Resource
from executors.kuberay.api_errors import AlreadyExists
from executors.kuberay.files import files_of
from executors.kuberay.job_log import JobLog
from executors.kuberay.manifests import kill_after_s
from executors.kuberay.site import Site
from executors.on_machine.outcome import Outcome, ended, with_lost_output
from executors.remote.backoff import Backoff
from executors.remote.bundle import is_call
from executors.remote.cancelling import GivenUp, unless_cancelled
from executors.remote.lines import Frame
from executors.remote.output import Copy, until_silent

log = structlog.get_logger()

DRAIN_S: Final = 30.0  # without a byte more of its output, once KubeRay says that it has ended
LOST_AFTER_S: Final = 5.0  # for word of an attempt whose worker is gone
PLACED_WITHIN_S: Final = 5.0  # for word of the pods that an attempt has begun on
NOT_SET_UP: Final = 125  # an agent's exit code for a command that it could not begin
_EXIT_CODE: Final = re.compile(r"failed with exit code (-?\d+)")


class AttemptRun:
    """Runs one attempt. `unit` is the worker that it is given, empty where it brings its own; `request` is None for
    an attempt that an earlier broker launched.
    """

    def __init__(self, site: Site, attempt_id: str, unit: str, request: LaunchRequest | None) -> None:
        self.site, self.id, self.unit, self.request = site, attempt_id, unit, request
        self.job = names.resource_name(attempt_id)
        self.starting = request is not None  # its RayJob is being created
        self._cancelled = asyncio.Event()
        self._kill_at = inf  # loop time; finite once it was cancelled
        self._overdue = asyncio.Event()  # it was cancelled, and its grace is over
        self._end: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._stop_requested = False  # KubeRay was asked to stop it
        self._begun = site.reports.get(attempt_id)["state"] == "running"
        folder = site.folder(attempt_id)
        self._copies = {name: Copy(getattr(folder, name), self._on_frame) for name in ("stdout", "stderr")}
        self._log = JobLog(site.api, site.pods, self.job, self._copies)
        self._reporting: list[asyncio.Task[None]] = []  # reports to the broker on their way

    def cancel(self, grace_s: float) -> None:
        """Has it end: after `grace_s` it is killed, where its nodes are its own."""
        loop = asyncio.get_running_loop()
        if (kill_at := loop.time() + grace_s) < self._kill_at:
            self._kill_at = kill_at
            loop.call_at(kill_at, self._overdue.set)
        self._cancelled.set()

    async def run(self) -> Outcome:
        """Runs it to its end. Raises `NoCapacity` or another ExecutorError when nothing ran."""
        self.site.folder(self.id).make()
        try:
            if (over := await self._create_or_find()) is not None:
                return over
            self.starting = False
            return await self._follow()
        finally:
            await asyncio.gather(*self._reporting, return_exceptions=True)
            for copy in self._copies.values():
                copy.close()

    async def tidy(self) -> None:
        """Deletes what is left of it in the cluster, trying again while the API server is unreachable."""
        backoff = Backoff()
        while True:
            try:
                await self.site.api.delete("rayjobs", self.job)
                await self.site.api.delete("jobs", self.job)
                await self.site.api.delete("secrets", self.job)
                await self.site.nodes.clear(self.job)
                return
            except Unreachable:
                await backoff.pause()
            except ExecutorError as error:
                log.warning("a RayJob could not be ended", job=self.job, error=str(error))
                return

    async def _create_or_find(self) -> Outcome | None:
        """Creates or finds its RayJob; its outcome where there is none to follow."""
        if self.request is None:
            return await self._find()
        try:
            return await unless_cancelled(self._create(self.request), self._cancelled)
        except GivenUp:
            return ended("cancelled", reason="cancelled before it ran")

    async def _create(self, request: LaunchRequest) -> None:
        """Creates the Secret, then the RayJob. One that exists is this attempt's, created by an earlier try."""
        site = self.site
        grace_s = site.options.grace_of(request.spec)
        files = await asyncio.to_thread(
            files_of, request, site.max_stream_bytes, grace_s, site.nodes.stop_grace_s(grace_s)
        )
        secret, manifest = site.nodes.manifests(request, self.unit, files)
        with suppress(AlreadyExists):
            await site.api.create("secrets", secret)
        try:
            job = await site.api.create("rayjobs", manifest)
        except AlreadyExists as error:
            job = await self._get_job() or {}
            if job.get("metadata", {}).get("labels", {}).get(names.OWNER) != site.manifests.mine[names.OWNER]:
                raise Rejected(f"{error}; it is not this broker's") from error
        await site.jobs.take(job)

    async def _get_job(self) -> Resource | None:
        return await self.site.api.get("rayjobs", self.job)

    async def _find(self) -> Outcome | None:
        """Looks for the RayJob that an earlier broker created, until the API server answers; None where it is found."""
        backoff = Backoff()
        while True:
            try:
                job = await self._get_job()
            except (Unreachable, NoCapacity, Misconfigured) as error:  # none says that it does not run
                log.warning("an attempt is looked for again", attempt=self.id, error=str(error))
                await backoff.pause()
                continue
            if job is not None:
                await self.site.jobs.take(job)
                return None
            if self._cancelled.is_set():
                return ended("cancelled", reason="cancelled; its RayJob is gone")
            return ended("interrupted", reason="the broker ended while it was made or read, and its RayJob is gone")

    async def _follow(self) -> Outcome:
        over = asyncio.create_task(self._wait_for_status())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._log.run()),
            asyncio.create_task(self._end_when_cancelled()),
            over,
        ]
        try:
            first: set[asyncio.Future[Any]] = {self._end, over}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if (self._begun or self._has_run()) and not self._end.done():
                await self._drain_output()
            outcome = await self._reported_outcome() if self._end.done() else over.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return with_lost_output(outcome, next((copy.lost for copy in self._copies.values() if copy.lost), ""))

    async def _drain_output(self) -> None:
        """KubeRay says that it has ended: reads its log until the end is in it, or nothing more comes."""
        read = asyncio.create_task(self._log.read.wait())
        self._end.add_done_callback(lambda _: read.cancel())
        await until_silent(self._copies.values(), read, DRAIN_S)
        read.cancel()

    def _on_frame(self, frame: Frame) -> None:
        """Handles a message of the agent."""
        self._begun = True
        if frame["kind"] == "started" and self.site.reports.get(self.id)["state"] == "starting":
            now_ns = self.site.meter.clock.now_ns()
            self._reporting.append(asyncio.create_task(self._report_started(now_ns)))
        elif frame["kind"] == "end" and not self._end.done():
            self._end.set_result(frame)

    async def _report_started(self, at_ns: int) -> None:
        """Reports to the broker that it runs, once its units are known."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PLACED_WITHIN_S):
                await self.site.pods.until(lambda: self.site.nodes.placed(self.id))
        if self.site.reports.get(self.id)["state"] == "starting":  # a log that is read again repeats the message
            await self.site.reports.started(self.id, at_ns)

    async def _reported_outcome(self) -> Outcome:
        end, folder = self._end.result(), self.site.folder(self.id)
        known = {name: end.get(name) for name in ("exit_code", "signal", "reason")}
        if await self._was_stopped(end):
            if self._cancelled.is_set():
                return ended("cancelled", **known | {"reason": "cancelled"})
            return ended("interrupted", **known | {"reason": "its Ray job was stopped by somebody else"})
        if result := self._copies["stderr"].result:
            folder.write_private(folder.result, result)
        return ended(end["state"], **known)

    async def _was_stopped(self, end: Frame) -> bool:
        """Whether Ray was told to stop it: SIGTERM ends command and agent, and the command did not fail by itself."""
        if end["state"] == "cancelled":
            return True
        if end["state"] != "failed" or self._stop_requested:
            return self._stop_requested and end["state"] == "failed"
        if end.get("signal") not in (signal.SIGTERM, signal.SIGKILL) and end.get("exit_code") != NOT_SET_UP:
            return False
        with suppress(ExecutorError):
            job = await self._get_job()
            return job is None or "deletionTimestamp" in job["metadata"]
        return False

    async def _end_when_cancelled(self) -> None:
        """Ends it once it is cancelled.

        KubeRay stops the Ray job of a RayJob that is deleted, by SIGTERM. The submitter stays until the end, as its log
        has what is written; where nothing runs yet it is deleted first, so that nothing is submitted later. Nodes of
        its own end when its grace does.
        """
        await self._cancelled.wait()
        self._stop_requested = True
        await self._retry_until_done(self._stop)
        await self._overdue.wait()
        await self._retry_until_done(lambda: self.site.nodes.clear(self.job))

    async def _stop(self) -> None:
        if not self._begun:
            await self.site.api.delete("jobs", self.job)
        await self.site.api.delete("rayjobs", self.job, dependents="Orphan" if self._begun else "Background")

    async def _retry_until_done(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Tries until it succeeds."""
        backoff = Backoff()
        while True:
            try:
                return await ask()
            except ExecutorError as error:
                log.warning("an attempt could not be told to end", attempt=self.id, error=str(error))
                await backoff.pause()

    async def _wait_for_status(self) -> Outcome:
        """Waits until KubeRay says that it has ended or is gone; its outcome where the log does not have it."""
        site, jobs = self.site, self.site.jobs
        late = asyncio.get_running_loop().time() + site.options.start_within_s
        while True:
            try:
                async with asyncio.timeout_at(None if self._begun else late):
                    await jobs.until(lambda: self._has_ended() or self._begun or not site.nodes.lives(self.unit))
            except TimeoutError:
                if not self._begun:
                    limit = site.options.start_within_s
                    raise NoCapacity(f"pool {site.pool.name}: {self.job} did not begin within {limit:g} s") from None
            if not self._has_ended():
                await jobs.until(lambda: self._has_ended() or not site.nodes.lives(self.unit))
            return await self._outcome_by_status()

    def _has_run(self) -> bool:
        """Whether Ray has run it; its log may say so only later."""
        job = self.site.jobs.get(self.job) or {}
        return job.get("status", {}).get("jobStatus") in ("SUCCEEDED", "FAILED")

    def _has_ended(self) -> bool:
        job = self.site.jobs.get(self.job)
        return job is None or job.get("status", {}).get("jobDeploymentStatus") in ("Complete", "Failed")

    async def _outcome_by_status(self) -> Outcome:
        """Its outcome by the status of its RayJob. When its worker is gone, KubeRay gets a moment to notice."""
        if not self._has_ended():
            try:
                async with asyncio.timeout(LOST_AFTER_S):
                    await self.site.jobs.until(self._has_ended)
            except TimeoutError:
                return ended("interrupted", reason=f"its worker {self.unit} is gone")
        job = self.site.jobs.get(self.job)
        if self._cancelled.is_set():
            return await self._outcome_of_cancel()
        if job is None:
            return ended("interrupted", reason=f"its RayJob {self.job} was deleted by somebody else")
        return self._outcome_of(job.get("status", {}))

    async def _outcome_of_cancel(self) -> Outcome:
        if not self._begun:
            return ended("cancelled", reason="cancelled before it ran")
        latest = asyncio.get_running_loop().time() + kill_after_s(self.site.options)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(max(latest, self._kill_at + DRAIN_S)):
                await self._log.read.wait()
        return ended("cancelled", exit_code=137, signal=9, reason="cancelled; Ray killed it")

    def _outcome_of(self, status: dict[str, str]) -> Outcome:
        """The outcome by a final status, of an attempt whose log does not have its end."""
        state, message = status.get("jobStatus", ""), status.get("message", "").strip()
        code = _EXIT_CODE.search(message)
        if "runtime_env setup failed" in message:
            return ended("failed", exit_code=NOT_SET_UP, reason=f"could not be set up: {message}")
        if state == "SUCCEEDED" and not is_call(self.request):
            return ended("succeeded", exit_code=0, reason="what it wrote at its end was lost")
        if code and int(code[1]) > 0 and self._begun:
            return ended("failed", exit_code=int(code[1]), reason=f"exit code {code[1]}; its last output was lost")
        why = "; ".join(filter(None, (status.get("reason", ""), message.partition("\n")[0][:500])))
        if not self._begun and not code and self.site.nodes.lives(self.unit):
            raise NoCapacity(f"pool {self.site.pool.name}: {self.job} did not begin: {why or 'no reason given'}")
        return ended("interrupted", reason=f"its Ray job was lost: {why or state or 'no reason given'}")
