"""One attempt in a sandbox of its own, which is named by it and ends with it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import structlog

from broker.model.errors import ExecutorError
from broker.model.jobs import LaunchRequest
from broker.model.resources import Resources
from executors.modal_pool import sandboxes
from executors.modal_pool.container_spec import paid
from executors.modal_pool.errors import translated
from executors.modal_pool.in_container import InContainer
from executors.modal_pool.sandboxes import Sandboxes
from executors.modal_pool.site import Site
from executors.remote.backoff import Backoff
from executors.remote.lines import Frame

log = structlog.get_logger()


class InSandbox(InContainer):
    """See `InContainer`. The handle is the sandbox."""

    def __init__(self, site: Site, attempt_id: str, request: LaunchRequest | None) -> None:
        super().__init__(site, attempt_id, request)
        self._sandboxes = Sandboxes(site)

    async def create(self) -> Any:
        """Its sandbox, as soon as Modal has room for it."""
        assert self.request is not None
        sandbox, resources = await self._sandboxes.create(self.request)
        self._measure(sandbox.object_id, paid(resources))
        return sandbox

    async def find(self) -> Any | None:
        """Its sandbox, by its id, or by its name where the broker had no time to note the id."""
        report = self.site.reports.get(self.id)
        if report.get("object_id"):
            return await self._sandboxes.known(report["object_id"])
        if sandbox := await self._sandboxes.named(self.id):
            self._measure(sandbox.object_id, Resources(**report["held"]))
        return sandbox

    def _measure(self, unit_id: str, resources: Resources) -> None:
        meter = self.site.meter
        now_ns = meter.clock.now_ns()
        self.site.reports.note(self.id, nodes=[unit_id], object_id=unit_id)
        meter.begin(unit_id, resources, self.id, now_ns)
        meter.hold(unit_id, self.id, resources, now_ns)

    async def abandon(self) -> None:
        """Ends the sandbox of its name, if there is one."""
        await self._sandboxes.end(self.id)

    @property
    def lost(self) -> bool:
        """A sandbox ends with its attempt."""
        return True

    def streams(self, handle: Any) -> list[Coroutine[Any, Any, None]]:
        """One for stdout, one for stderr."""
        return [self._copy(handle, name) for name in self.copies]

    async def _copy(self, sandbox: Any, name: str) -> None:
        """Copies one stream, from its start again when the connection was lost."""
        backoff, copy, reading = Backoff(), self.copies[name], sandbox
        while True:
            copy.begin()
            try:
                with translated(self.site.pool.name, f"reading {name}"):
                    async for line in getattr(reading, name):
                        copy.take(line)
                    return
            except ExecutorError as error:
                log.info("output is read again", attempt=self.id, error=str(error))
                await backoff.pause()
            reading = await self._reconnect(sandbox) or reading

    async def _reconnect(self, sandbox: Any) -> Any | None:
        try:
            return await self._sandboxes.known(sandbox.object_id)
        except ExecutorError:
            return None

    async def end_of(self, handle: Any) -> tuple[str, int | None]:
        """Waits for the sandbox's end."""
        return await sandboxes.end_of(self.site.pool.name, handle)

    async def ask_to_end(self, handle: Any, grace_s: float) -> None:
        """Tells its agent by the sandbox's stdin."""
        await sandboxes.ask_to_end(self.site.pool.name, handle, grace_s)

    async def terminate(self, handle: Any) -> None:
        """Ends the sandbox."""
        await sandboxes.terminate(self.site.pool.name, handle)

    async def leave(self, handle: Any) -> None:
        """Closes its connections."""
        await handle.detach.aio()

    def ready(self, frame: Frame, now_ns: int) -> None:
        """Its agent runs: the time before is cold start."""
        self.site.meter.ready(self.site.reports.get(self.id)["object_id"], now_ns)
