"""The executor plugin: the `Executor` and `Warmable` ports → calls of deployed functions at Modal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

import structlog

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity
from broker.model.jobs import JobSpec, LaunchRequest
from broker.model.pools import Capability, Capacity, KeepWarm, UnitState
from broker.model.resources import Resources
from broker.ports import ExecutorContext
from executors.modal_pool.fleet import Fleet
from executors.modal_pool.functions import Functions
from executors.modal_pool.in_container import InContainer
from executors.modal_pool.in_function import InFunction
from executors.modal_pool.options import FunctionOptions, Options
from executors.modal_pool.plugin import ModalPool
from executors.on_machine.environment import EnvironmentFailed

log = structlog.get_logger()


class ModalFunctions(ModalPool):
    """Runs attempts as calls of functions, whose containers stay warm; `broker.ports` has what each method promises."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.FUNCTIONS, Capability.IMAGES, Capability.KEEP_WARM}
    )
    product: ClassVar[str] = "functions"
    options_type: ClassVar[type[Options]] = FunctionOptions

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        assert isinstance(self._options, FunctionOptions)
        self._functions = Functions(self._site, self._options)
        self._fleet = Fleet(self._site, self._functions, self._configured(), self._options.look_every_s)
        self._looking: asyncio.Task[None] | None = None

    def _configured(self) -> KeepWarm:
        assert isinstance(self._options, FunctionOptions)
        return KeepWarm(
            scaledown_window_s=self._pool.scaledown_window_s,
            min_containers=self._options.min_containers,
            buffer_containers=self._options.buffer_containers,
        )

    async def _tidy(self, going: list[str]) -> None:
        """Keeps containers as the configuration says, whatever an earlier broker had asked for."""
        await self._fleet.reopen()
        self._fleet.kept = self._configured()
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Looks after containers; an image for those that are to be up at once may take a while."""
        try:
            await self._some_function()
            await self._fleet.apply()
        except ExecutorError as error:  # it is asked for again with the next variant
            log.warning("containers are not kept as configured", pool=self._pool.name, error=str(error))
        await self._fleet.look()

    async def close(self, *, stop: bool) -> None:
        """See `ModalPool.close`; containers that wait are let go of when everything is to end."""
        if stop and self._site.connection.client is not None:
            with suppress(ExecutorError):
                self._fleet.kept = KeepWarm(scaledown_window_s=0.0)
                await self._fleet.apply()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        await super().close(stop=stop)

    def _serving(self, attempt_id: str, request: LaunchRequest | None) -> InContainer:
        return InFunction(self._site, attempt_id, request, self._functions, self._fleet)

    def _over(self, unit_id: str, attempt_id: str) -> None:
        """Modal estimates no function's cost."""

    async def keep_warm(self, setting: KeepWarm) -> None:
        """Has Modal keep containers like this, of the function that was used last, or of one as large as may be."""
        most = max(setting.min_containers, setting.buffer_containers)
        if most > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} containers, not {most}")
        self._fleet.kept = setting
        await self._some_function()
        await self._fleet.apply()

    async def _some_function(self) -> None:
        """Where containers are to be up and nothing ran yet, they are of a function of the plain image."""
        if not self._fleet.kept.min_containers or self._fleet.any:
            return
        try:
            await self._fleet.use(await self._functions.variant(self._plain(), self._largest()))
        except EnvironmentFailed as error:
            raise Misconfigured(f"pool {self._pool.name}: {error}") from error

    def _plain(self) -> LaunchRequest:
        """A request for nothing but a container."""
        spec = JobSpec(name="warm", run="true")
        return LaunchRequest(attempt_id="", job_id="", spec=spec, resources=self._largest(), envs={})

    def _largest(self) -> Resources:
        unit = self._pool.unit
        model = unit.gpu_model or next(iter(self._pool.gpu_models), "")
        return replace(unit, gpus=min(unit.gpus, 1.0), gpu_model=model if unit.gpus else "")

    async def capacity(self) -> Capacity:
        """Containers that are up or coming; those that wait are free for what they are warm for."""
        known = await super().capacity()
        up = {life["attempt_id"]: life for life in self._site.meter.up()}
        units = [self._unit(unit, up.get(unit.unit_id)) for unit in known.units]
        note = f"Modal, functions of app {self._options.app}: containers that stay warm"
        most = max(known.max_units, len(units))
        return replace(known, units=tuple(units), max_units=most, keep_warm=self._fleet.kept, note=note)

    def _unit(self, unit: UnitState, life: dict[str, Any] | None) -> UnitState:
        if life is None or any(held["ended_ns"] is None for held in life["holders"]):
            return unit
        variant = self._fleet.variant(life["variant"])
        return replace(unit, free=unit.total, warm_key=variant.environment if variant else "")
