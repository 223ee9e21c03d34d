"""One attempt as a call of a deployed function, in a container that may be warm from the one before."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError, NoCapacity, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.resources import Resources
from executors.modal_pool import container_spec
from executors.modal_pool.call_log import CallLog
from executors.modal_pool.errors import GaveUp
from executors.modal_pool.fleet import Fleet
from executors.modal_pool.functions import Functions, Variant
from executors.modal_pool.in_container import InContainer
from executors.modal_pool.site import Site
from executors.on_machine.outcome import Outcome
from executors.remote import bundle
from executors.remote.backoff import Backoff
from executors.remote.lines import Frame

log = structlog.get_logger()

FOUND_WITHIN_S: Final = 120.0  # what has claimed an attempt is found in the log, which may come late


class InFunction(InContainer):
    """See `InContainer`. The handle is the call."""

    def __init__(
        self, site: Site, attempt_id: str, request: LaunchRequest | None, functions: Functions, fleet: Fleet
    ) -> None:
        super().__init__(site, attempt_id, request)
        self._functions, self._fleet = functions, fleet
        self._begun_or_over = asyncio.Event()  # its agent has reported, or its call has ended
        self._taken = self._ready = False
        self._log: CallLog | None = None

    async def run(self) -> Outcome:
        """See `InContainer.run`. However it ends, it is then no longer counted as waiting for a container."""
        try:
            return await super().run()
        finally:
            self._fleet.gone(self.id)
            await self._stop_following()

    async def create(self) -> Any:
        """Its call, once it runs: with the first of its GPU choices for which Modal has a container in time."""
        assert self.request is not None
        refused: list[str] = []
        carried = await asyncio.to_thread(self._bundle, self.request)
        await self._functions.deployed(self.request)  # before the wait for capacity begins
        for number, resources in enumerate(container_spec.alternatives(self.request, self.site.pool)):
            try:
                return await self._create_with(f"{self.id}.{number}", resources, carried)
            except NoCapacity as error:
                refused.append(str(error))
        raise NoCapacity("; ".join(refused))

    def _bundle(self, request: LaunchRequest) -> bytes:
        """The files that are sent along, as a tar archive; empty where there are none."""
        if not bundle.wanted(request):
            return b""
        with tempfile.TemporaryDirectory(dir=self.site.root, prefix="bundle-") as folder:
            bundle.packed(request, path := Path(folder, "bundle.tar"))
            return path.read_bytes()

    async def _create_with(self, key: str, resources: Resources, carried: bytes) -> Any:
        """The call, once its agent has reported. Raises `NoCapacity` when it does not within the pool's wait."""
        until = asyncio.get_running_loop().time() + self.site.options.capacity_wait_s
        backoff, unsure = Backoff(), ""
        call = None
        try:
            async with asyncio.timeout_at(until):
                while call is None:
                    try:
                        call = await self._call(key, resources, carried)
                    except Unreachable as error:
                        unsure = f"; {error}"
                        await backoff.pause(until)
        except TimeoutError:
            return await self._give_up(call, key, self._none_in_time(resources, unsure))
        except ExecutorError as error:
            if not unsure and not await self._runs_anyway(key):
                raise
            return await self._give_up(call, key, error)
        return await self._within_wait(call, key, resources, until)

    async def _runs_anyway(self, key: str) -> bool:
        """Whether a call that Modal refused runs anyway: the answer that accepted it earlier may have been lost."""
        if self.site.reports.get(self.id).get("key") != key:
            return False  # it was never made
        try:
            return not await self._functions.claimed(key)
        except ExecutorError:
            return False  # nothing says so

    async def _within_wait(self, call: Any, key: str, resources: Resources, until: float) -> Any | None:
        """The call, once its agent has reported. Raises `NoCapacity` when it has not by `until`."""
        try:
            async with asyncio.timeout_at(until):
                await self._begun_or_over.wait()
        except TimeoutError:
            return await self._give_up(call, key, self._none_in_time(resources, ""))
        return await self._claimer_of(call, key)

    async def _give_up(self, call: Any | None, key: str, reason: ExecutorError) -> Any | None:
        """Claims the attempt, so that no call ever runs it, and raises `reason`; the call where one already runs it."""
        if not await self._claim(key):
            return await self._claimer_of(call, key)
        await self._stop_following()
        if call is not None:
            await self._functions.tried_to_end(call)
        raise reason

    def _none_in_time(self, resources: Resources, more: str) -> GaveUp:
        what = f"{resources.gpus:g} {resources.gpu_model}" if resources.gpus else "room"
        wait_s = self.site.options.capacity_wait_s
        return GaveUp(f"pool {self.site.pool.name}: Modal had no {what} within {wait_s:g} s{more}")

    async def _call(self, key: str, resources: Resources, carried: bytes) -> Any:
        """Makes the call and follows its log. Raises ExecutorError."""
        assert self.request is not None
        variant = await self._functions.variant(self.request, resources)
        held = asdict(container_spec.paid(resources))
        self.site.reports.note(self.id, key=key, variant=variant.id, object_id="", held=held)
        self._fleet.called(self.id, variant.id)
        await self._fleet.use(variant)
        hidden = self.request.secret_names
        env = {name: value for name, value in self.request.envs.items() if name not in hidden}
        order = json.dumps(bundle.order_of(self.request, self.site.max_stream_bytes))
        call = await self._functions.called(variant, key, order, carried, env)
        self._follow(call)
        return call

    async def _claim(self, key: str) -> bool:
        """Claims the attempt, trying until the answer is known: whether it will now never run."""
        backoff = Backoff()
        while True:
            try:
                return await self._functions.claimed(key)
            except ExecutorError as error:
                log.info("an attempt is claimed again", attempt=self.id, error=str(error))
                await backoff.pause()

    def _follow(self, call: Any) -> None:
        self.site.reports.note(self.id, object_id=call.object_id)
        self._taken = self._ready = False
        self._begun_or_over.clear()
        self._log = CallLog(self.site.pool.name, call, self.copies, self._begun_or_over)

    async def _stop_following(self) -> None:
        if self._log is not None:
            await self._log.stop()
            self._log = None

    async def _claimer_of(self, call: Any | None, key: str) -> Any | None:
        """The call that runs the attempt: this one, unless another had claimed it. None where that can't be found."""
        if call is not None:
            await self._begun_or_over.wait()
            if self._ready or not self._taken:
                return call
            await self._stop_following()
        backoff, report = Backoff(), self.site.reports.get(self.id)
        variant = await self._variant(report)
        try:
            async with asyncio.timeout(FOUND_WITHIN_S):
                while True:
                    try:
                        if found := await self._functions.claimer(variant, key, report["launched_ns"]):
                            self._follow(found)
                            return found
                    except ExecutorError as error:
                        log.info("a call is looked for again", attempt=self.id, error=str(error))
                    await backoff.pause()
        except TimeoutError:
            with suppress(ExecutorError):
                await self._functions.tell(key, "cancel 0")  # whichever it is, it runs for nobody
            return None

    async def _variant(self, report: dict[str, Any]) -> Variant:
        known = self._fleet.variant(report["variant"])
        return known or await self._functions.by_id(report["variant"], Resources(**report["held"]), "")

    async def find(self) -> Any | None:
        """The call that an earlier broker made, or another that claimed the attempt; None where it never runs."""
        report = self.site.reports.get(self.id)
        if report.get("object_id"):
            call = await self._functions.call_of(report["object_id"])
            self._follow(call)
            if report["nodes"]:
                return await self._claimer_of(call, report["key"])
            self._fleet.called(self.id, report["variant"])
            until = asyncio.get_running_loop().time() + self.site.options.capacity_wait_s
            return await self._within_wait(call, report["key"], Resources(**report["held"]), until)
        if not report.get("key") or await self._functions.claimed(report["key"]):
            return None
        self._fleet.called(self.id, report["variant"])
        return await self._claimer_of(None, report["key"])

    async def abandon(self) -> Any | None:
        """Claims the attempt, so that no call will run it; the call, where one runs it already."""
        await self._stop_following()
        report = self.site.reports.get(self.id)
        if not report.get("key") or await self._claim(report["key"]):
            if report.get("object_id"):
                call = await self._functions.call_of(report["object_id"])
                await self._functions.tried_to_end(call)
            return None
        if not report.get("object_id"):
            return await self._claimer_of(None, report["key"])
        call = await self._functions.call_of(report["object_id"])
        self._follow(call)
        return await self._claimer_of(call, report["key"])

    def streams(self, handle: Any) -> list[Coroutine[Any, Any, None]]:
        """None: its log, with both streams, is followed since the call was made."""
        return []

    async def end_of(self, handle: Any) -> tuple[str, int | None]:
        """Waits for its end, by its agent's message or by Modal's state of the call."""
        assert self._log is not None
        how = await self._log.over()
        if self.end is None and self._taken and self._ready:
            how = "moved"
        return how, None

    async def ask_to_end(self, handle: Any, grace_s: float) -> None:
        """Tells its agent by the queue that its container listens to."""
        await self._functions.tell(self.site.reports.get(self.id)["key"], f"cancel {grace_s}")

    async def terminate(self, handle: Any) -> None:
        """Ends its container, which no call outlives."""
        await self._functions.end(handle, containers=True)

    async def leave(self, handle: Any) -> None:
        """Nothing to do: `run` stops following its log."""

    def _on_frame(self, frame: Frame) -> None:
        if frame["kind"] == "taken":
            self._taken = True
            self._begun_or_over.set()
        super()._on_frame(frame)

    def ready(self, frame: Frame, now_ns: int) -> None:
        """It is in a container, which it holds from now on."""
        report = self.site.reports.get(self.id)
        self._ready = True
        if not report["nodes"]:
            held = Resources(**report["held"])
            unit = self._fleet.hold(self.id, report["variant"], held, frame["container"], float(frame["up_s"]))
            self.site.reports.note(self.id, nodes=[unit])
        self._begun_or_over.set()
