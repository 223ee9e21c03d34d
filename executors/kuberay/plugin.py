"""The executor plugins: the `Executor` and `Scalable` ports → RayJobs in RayClusters of KubeRay."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import asdict
from typing import Any, ClassVar, Final

import structlog

from broker.model.errors import ExecutorError, NoCapacity, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.pools import Capability, Capacity, PoolKind
from broker.model.usage import UsageReport
from broker.ports import ExecutorContext
from executors.kuberay import checks, sweeping
from executors.kuberay.api import Api
from executors.kuberay.attempt_run import AttemptRun
from executors.kuberay.informer import Informer
from executors.kuberay.manifests import RAY_BYTES, Manifests, kill_after_s
from executors.kuberay.nodes import Nodes
from executors.kuberay.options import Options, SharedOptions, check_claim
from executors.kuberay.own_clusters import NODES, OwnClusters
from executors.kuberay.shared_cluster import SharedCluster
from executors.kuberay.site import Site
from executors.on_machine.journal import Journal
from executors.on_machine.outcome import Outcome, ended
from executors.on_machine.reports import Reports
from executors.remote.kept_here import KeptHere
from executors.remote.meter import Meter
from executors.remote.site import owner_of

log = structlog.get_logger()

STOP_WITHIN_S: Final = 30.0  # beyond their grace, for attempts to end when the pool is stopped
TIDY_WITHIN_S: Final = 5.0  # what is being made or cleared away when the broker ends is waited for this long


class KubeRayJobs(KeptHere[Site]):
    """Runs each attempt in a RayCluster of its own; see `broker.ports.Executor` for what each method promises."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.FUNCTIONS,
            Capability.RAY_RUNTIME,
            Capability.GANG,
            Capability.VOLUMES,
            Capability.SECRET_FILES,
            Capability.HEAD,
            Capability.NODE_SHARES,
        }
    )
    kind: ClassVar[PoolKind] = PoolKind.SERVERLESS
    extra_bytes: ClassVar[int] = RAY_BYTES
    options_type: ClassVar[type[Options]] = Options

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether the Kubernetes client is installed; it is not imported by this."""
        return None if importlib.util.find_spec("kubernetes") else "not installed: pip install 'gpu-broker[kuberay]'"

    def __init__(self, context: ExecutorContext) -> None:
        self._context, self._pool = context, context.pool
        self._options = self.options_type.of(context.pool.name, context.pool.options)
        checks.check_pool(context.pool, self.kind)
        check_claim(context.pool.name, context.volumes)
        self._site = self._new_site()
        self._running: dict[str, tuple[AttemptRun, asyncio.Task[None]]] = {}
        self._chores: set[asyncio.Task[None]] = set()

    def _new_site(self) -> Site:
        root, name = self._context.state_dir, self._pool.name
        owner = owner_of(root)
        api = Api(name, self._options)
        manifests = Manifests(self._pool, self._options, owner)
        meter = Meter(root)
        reports = Reports(root, Journal(root / "journal.jsonl"))
        return Site(
            pool=self._pool,
            options=self._options,
            root=root,
            max_stream_bytes=self._context.max_stream_bytes,
            api=api,
            manifests=manifests,
            pods=Informer(api, "pods", manifests.mine, self._see_pods),
            jobs=Informer(api, "rayjobs", manifests.mine, lambda: None),
            nodes=self._nodes(api, manifests, meter, reports),
            meter=meter,
            reports=reports,
        )

    def _nodes(self, api: Api, manifests: Manifests, meter: Meter, reports: Reports) -> Nodes:
        return OwnClusters(self._pool, api, manifests, meter, reports)

    def _see_pods(self) -> None:
        self._site.nodes.see(self._site.pods.known, self._now())
        self._chore(self._site.jobs.tell())

    async def open(self) -> None:
        """Connects; finds or makes what attempts share; goes on with what was left, ends what is nobody's."""
        site = self._site
        if site.api.connected:
            return
        await site.api.open()
        going = site.reports.going()
        try:
            await site.nodes.open([site.reports.get(one) for one in going])
            await site.pods.open()
            await site.jobs.open()
        except BaseException:
            await self._disconnect()
            raise
        for attempt_id in going:
            self._run(attempt_id, None)
        try:
            await sweeping.sweep(site, going)
        except ExecutorError as error:  # tried again when it is opened again
            log.warning("what was left behind could not be ended", pool=self._pool.name, error=str(error))

    async def close(self, *, stop: bool) -> None:
        """Disconnects; with `stop`, ends all attempts and what they share first."""
        tasks = [task for _, task in self._running.values()]
        if stop and self._site.api.connected:
            for attempt_id in list(self._running):
                await self.cancel(attempt_id)
            if tasks:
                await asyncio.wait(tasks, timeout=kill_after_s(self._options) + STOP_WITHIN_S)
        elif making := [task for attempt, task in self._running.values() if attempt.starting]:
            await asyncio.wait(making, timeout=TIDY_WITHIN_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        if self._chores:
            await asyncio.wait(self._chores, timeout=TIDY_WITHIN_S)
        try:
            if stop and self._site.api.connected:
                await self._site.nodes.end()
                self._site.nodes.see({}, self._now())
        finally:
            await self._disconnect()

    async def _disconnect(self) -> None:
        for task in self._chores:
            task.cancel()
        await asyncio.gather(*self._chores, self._site.pods.close(), self._site.jobs.close(), return_exceptions=True)
        await self._site.api.close()

    async def launch(self, request: LaunchRequest) -> None:
        """Holds room for it; its RayJob is made by and by. It is `REFUSED` where that does not begin."""
        site, attempt_id = self._site, request.attempt_id
        if not site.api.connected:
            raise Unreachable(f"pool {self._pool.name} is closed")
        checks.check(request, self._pool, self._options)
        if site.reports.known(attempt_id):
            return
        held, nodes = asdict(request.resources), request.spec.resources.num_nodes
        if site.reports.grace_s(attempt_id) is not None:
            await site.reports.launched(attempt_id, "", held, self._now())
            await self._ended(attempt_id, ended("cancelled", reason="cancelled before it ran"))
            return
        units = site.nodes.take(request)
        if units is None:
            raise NoCapacity(f"pool {self._pool.name} has no room for {attempt_id} now")
        at_ns = self._now()
        for unit in units:
            site.meter.hold(unit, attempt_id, request.resources, at_ns)
        await site.reports.launched(attempt_id, units[0] if units else "", held, at_ns)
        if nodes > 1:
            site.reports.note(attempt_id, nodes=units, **{NODES: nodes})
        self._run(attempt_id, request)

    def _run(self, attempt_id: str, request: LaunchRequest | None) -> None:
        report = self._site.reports.get(attempt_id)
        attempt = AttemptRun(self._site, attempt_id, next(iter(report["nodes"]), ""), request)
        if (grace_s := self._site.reports.grace_s(attempt_id)) is not None:
            attempt.cancel(grace_s)
        self._running[attempt_id] = (attempt, asyncio.create_task(self._serve(attempt_id, attempt)))

    async def _serve(self, attempt_id: str, attempt: AttemptRun) -> None:
        outcome = await self._outcome(attempt.run())
        self._chore(attempt.tidy())
        await self._ended(attempt_id, outcome)
        self._running.pop(attempt_id, None)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that goes on beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _ended(self, attempt_id: str, outcome: Outcome) -> None:
        site, at_ns = self._site, self._now()
        for unit_id in site.reports.get(attempt_id)["nodes"]:
            site.meter.release(unit_id, attempt_id, at_ns, ends=False)
        site.nodes.give_back(attempt_id)
        with suppress(OSError):
            site.folder(attempt_id).close_if_open(outcome)
        await site.reports.ended(attempt_id, outcome, at_ns)
        self._chore(self._fit())

    async def _fit(self) -> None:
        """Lets go of a worker that was only kept for what has ended."""
        try:
            await self._site.nodes.fit()
        except ExecutorError as error:  # tried again when the next one ends
            log.warning("workers could not be let go", pool=self._pool.name, error=str(error))

    async def usage(self, since_ns: int) -> UsageReport:
        """Lives of heads and workers, as Kubernetes tells them."""
        return self._site.meter.usage(since_ns, {})

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Asks for its end. In a RayCluster that it shares, its agent was told before how long it has then."""
        self._site.reports.cancel(attempt_id, grace_s)
        if attempt_id in self._running:
            self._running[attempt_id][0].cancel(grace_s)

    async def capacity(self) -> Capacity:
        """Workers that are up or coming."""
        if not self._site.api.connected:
            raise Unreachable(f"pool {self._pool.name} is closed")
        note = self._site.nodes.note
        if not self._pool.head_offers:
            note += "; what its head costs is not known: say head_price"
        return Capacity(
            as_of_ns=self._context.clock.now_ns(),
            units=self._site.nodes.states(),
            max_units=self._pool.max_units,
            extra_bytes=self.extra_bytes,
            note=note,
        )


class KubeRay(KubeRayJobs):
    """Runs attempts in one RayCluster, whose workers they share, and which a plan scales."""

    capabilities: ClassVar[frozenset[Capability]] = KubeRayJobs.capabilities - {Capability.NODE_SHARES} | {
        Capability.SCALE
    }
    kind: ClassVar[PoolKind] = PoolKind.CLUSTER
    extra_bytes: ClassVar[int] = 0
    options_type: ClassVar[type[Options]] = SharedOptions

    def _nodes(self, api: Api, manifests: Manifests, meter: Meter, reports: Reports) -> Nodes:
        assert isinstance(self._options, SharedOptions)
        initial = self._options.initial_workers if self._context.begins else None
        self._workers = SharedCluster(self._pool, api, manifests, meter, initial)
        return self._workers

    async def scale(self, units: int) -> None:
        """Sets the number of the RayCluster's workers; those that work stay until they have ended."""
        if not self._site.api.connected:
            raise Unreachable(f"pool {self._pool.name} is closed")
        if units > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} workers, not {units}")
        await self._workers.scale(units)
