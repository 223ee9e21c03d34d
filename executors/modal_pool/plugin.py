"""The executor plugin: the `Executor` port → sandboxes at Modal."""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, ClassVar, Final

import structlog

from broker.model.errors import NoCapacity, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.pools import Capability, Capacity, UnitState
from broker.model.resources import Resources
from broker.model.usage import UsageReport
from broker.ports import ExecutorContext
from executors.modal_pool import container_spec
from executors.modal_pool.connection import Connection
from executors.modal_pool.estimates import Estimates
from executors.modal_pool.images import PYTHON, Images
from executors.modal_pool.in_container import InContainer
from executors.modal_pool.in_sandbox import InSandbox
from executors.modal_pool.options import Options
from executors.modal_pool.prices import check_prices
from executors.modal_pool.sandboxes import Sandboxes
from executors.modal_pool.site import Site
from executors.on_machine.journal import Journal
from executors.on_machine.outcome import Outcome, ended
from executors.on_machine.reports import Reports
from executors.remote.kept_here import KeptHere
from executors.remote.meter import Meter
from executors.remote.site import owner_of

log = structlog.get_logger()

MADE_WITHIN_S: Final = 5.0  # what is being made when the broker ends is waited for this long
STOP_GRACE_S: Final = 1.0


class ModalPool(KeptHere[Site]):
    """Runs attempts at Modal; see `broker.ports.Executor` for what each method promises."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.FUNCTIONS,
            Capability.IMAGES,
            Capability.VOLUMES,
            Capability.READ_ONLY_VOLUMES,
            Capability.SECRET_FILES,
        }
    )
    product: ClassVar[str] = "sandbox"  # by which prices it is paid
    options_type: ClassVar[type[Options]] = Options

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether Modal's client is installed; it is not imported by this."""
        return None if importlib.util.find_spec("modal") else "not installed: pip install 'gpu-broker[modal]'"

    def __init__(self, context: ExecutorContext) -> None:
        self._context, self._pool = context, context.pool
        self._options = self.options_type.of(context.pool.name, context.pool.options)
        check_prices(context.pool, self._options, self.product)
        self._site = self._new_site()
        self._running: dict[str, tuple[InContainer, asyncio.Task[None]]] = {}
        self._estimates = Estimates(self._site)
        self._asking: asyncio.Task[None] | None = None

    def _new_site(self) -> Site:
        root, name = self._context.state_dir, self._pool.name
        owner = owner_of(root)
        connection = Connection(name, self._options)
        return Site(
            pool=self._pool,
            options=self._options,
            root=root,
            owner=owner,
            max_stream_bytes=self._context.max_stream_bytes,
            connection=connection,
            images=Images(name, self._options, connection, root / "dockerfiles"),
            meter=Meter(root),
            reports=Reports(root, Journal(root / "journal.jsonl")),
        )

    async def open(self) -> None:
        """Connects; goes on with the attempts that an earlier broker left, and ends what belongs to none."""
        if self._site.connection.client is not None:
            return
        await self._site.connection.open()
        going = self._site.reports.going()
        for attempt_id in going:
            self._run(attempt_id, None)
        await self._tidy(going)
        self._asking = asyncio.create_task(self._estimates.ask())

    async def _tidy(self, going: list[str]) -> None:
        """Ends sandboxes that run for nobody."""
        with suppress(NoCapacity, Unreachable):  # tried again when it is opened again
            if strays := await Sandboxes(self._site).sweep(set(going)):
                log.warning("ended sandboxes that ran for no attempt", pool=self._pool.name, attempts=strays)

    async def close(self, *, stop: bool) -> None:
        """Disconnects; with `stop`, ends all attempts first."""
        tasks = [task for _, task in self._running.values()]
        if stop:
            for attempt_id in list(self._running):
                await self.cancel(attempt_id, STOP_GRACE_S)
        elif making := [task for serving, task in self._running.values() if serving.starting]:
            await asyncio.wait(making, timeout=MADE_WITHIN_S)
        if not stop:
            for task in tasks:
                task.cancel()
        if self._asking is not None:
            self._asking.cancel()
            tasks.append(self._asking)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        await self._site.connection.close()

    async def launch(self, request: LaunchRequest) -> None:
        """Takes it in; the sandbox is made by and by, and is `REFUSED` where Modal has no room in time."""
        if self._site.connection.client is None:
            raise Unreachable(f"pool {self._pool.name} is closed")
        container_spec.check(request, self._pool, self._options, PYTHON)
        reports = self._site.reports
        if reports.known(request.attempt_id):
            return
        held = asdict(container_spec.paid(request.resources))
        if reports.grace_s(request.attempt_id) is not None:
            await reports.launched(request.attempt_id, "", held, self._now())
            await self._ended(request.attempt_id, ended("cancelled", reason="cancelled before it ran"))
            return
        if len(reports.going()) >= self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} runs {self._pool.max_units} containers already, its most")
        await reports.launched(request.attempt_id, "", held, self._now())
        self._run(request.attempt_id, request)

    def _run(self, attempt_id: str, request: LaunchRequest | None) -> None:
        serving = self._serving(attempt_id, request)
        if (grace_s := self._site.reports.grace_s(attempt_id)) is not None:
            serving.cancel(grace_s)
        self._running[attempt_id] = (serving, asyncio.create_task(self._serve(attempt_id, serving)))

    def _serving(self, attempt_id: str, request: LaunchRequest | None) -> InContainer:
        return InSandbox(self._site, attempt_id, request)

    async def _serve(self, attempt_id: str, serving: InContainer) -> None:
        outcome = await self._outcome(serving.run())
        await self._ended(attempt_id, outcome, lost=serving.lost)
        self._running.pop(attempt_id, None)

    async def _ended(self, attempt_id: str, outcome: Outcome, *, lost: bool = True) -> None:
        site = self._site
        at_ns = self._now()
        for unit_id in site.reports.get(attempt_id)["nodes"]:
            site.meter.release(unit_id, attempt_id, at_ns, ends=lost)
            self._over(unit_id, attempt_id)
        with suppress(OSError):
            site.folder(attempt_id).close_if_open(outcome)
        await site.reports.ended(attempt_id, outcome, at_ns)

    def _over(self, unit_id: str, attempt_id: str) -> None:
        """Its sandbox has ended, and what it cost will be known to Modal by and by."""
        life = self._site.meter.life(unit_id)
        self._estimates.want(unit_id, attempt_id, life["started_ns"], life["ended_ns"])

    async def usage(self, since_ns: int) -> UsageReport:
        """Lives of containers, as seen from here, and what Modal itself says that sandboxes have cost."""
        report = self._site.meter.usage(since_ns, self._site.pending)
        return replace(report, estimates=self._estimates.told(since_ns))

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Asks for its end: the agent beside the command obeys, or Modal does."""
        self._site.reports.cancel(attempt_id, grace_s)
        if attempt_id in self._running:
            self._running[attempt_id][0].cancel(grace_s)

    async def capacity(self) -> Capacity:
        """Containers that are up or coming; Modal has more, up to the pool's limit."""
        if self._site.connection.client is None:
            raise Unreachable(f"pool {self._pool.name} is closed")
        up = {life["attempt_id"]: life for life in self._site.meter.up()}
        coming = [one for one in map(self._site.reports.get, self._site.reports.going()) if not one["nodes"]]
        units = [_state(unit_id, life["resources"], life["ready_ns"] is not None) for unit_id, life in up.items()]
        units += [_state(one["attempt_id"], one["held"], ready=False) for one in coming]
        note = f"Modal, app {self._options.app}: a sandbox for each attempt"
        return Capacity(
            as_of_ns=self._context.clock.now_ns(), units=tuple(units), max_units=self._pool.max_units, note=note
        )


def _state(unit_id: str, resources: dict[str, Any], ready: bool) -> UnitState:
    total = Resources(**resources)
    return UnitState(unit_id=unit_id, total=total, free=Resources(gpu_model=total.gpu_model), ready=ready)
