"""RayClusters of attempts, one each: their pods → units that are metered, and held by that attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.model.jobs import LaunchRequest
from broker.model.pools import Pool, UnitState
from broker.model.resources import Resources
from executors.kuberay import names, pods
from executors.kuberay.api import Api, Resource
from executors.kuberay.manifests import MOST_GRACE_S, Manifests
from executors.kuberay.metering import Metering
from executors.on_machine.reports import Reports
from executors.remote.meter import Meter

NODES: Final = "num_nodes"  # in a report: how many workers its RayCluster has


class OwnClusters:
    """What runs the attempts of a pool, each in a RayCluster that is made for it and gone after it."""

    def __init__(self, pool: Pool, api: Api, manifests: Manifests, meter: Meter, reports: Reports) -> None:
        self._pool, self._api, self._manifests, self._meter, self._reports = pool, api, manifests, meter, reports
        self._metering = Metering(meter, manifests.head)
        self._taken: dict[str, int] = {}  # workers by attempt that has not ended
        self._pods: dict[str, Resource] = {}  # workers that are up or coming, by unit

    @property
    def note(self) -> str:
        """Says how attempts are kept apart."""
        return f"KubeRay: a RayCluster for each attempt, in namespace {self._manifests.namespace}"

    async def open(self, going: Sequence[dict[str, Any]]) -> None:
        """Attempts hold what they held before."""
        self._taken = {report["attempt_id"]: report.get(NODES, 1) for report in going}

    def see(self, known: Mapping[str, Resource], now_ns: int) -> None:
        """Takes over which pods there are. A worker is its attempt's from when it is paid."""
        alive = {names.unit_id(pod): pod for pod in known.values() if pods.lives(pod)}
        heads = {unit: pod for unit, pod in alive.items() if pods.is_head(pod)}
        self._pods = {unit: pod for unit, pod in alive.items() if pods.is_worker(pod)}
        has = {unit: self._has(pod) for unit, pod in self._pods.items()}
        self._metering.see(self._pods | heads, has, now_ns)
        for unit, pod in self._pods.items():
            self._hold(unit, _attempt(pod), now_ns)

    def _has(self, pod: Resource) -> Resources:
        """What a worker has; the most that one may have, where its attempt is forgotten."""
        if not self._reports.known(attempt_id := _attempt(pod)):
            return self._pool.unit
        return self._manifests.worker(Resources(**self._reports.get(attempt_id)["held"]))

    def _hold(self, unit: str, attempt_id: str, now_ns: int) -> None:
        if not self._meter.lives(unit) or attempt_id not in self._taken:
            return
        report = self._reports.get(attempt_id)
        if report["ended_ns"] is None and unit not in report["nodes"]:
            self._meter.hold(unit, attempt_id, Resources(**report["held"]), now_ns)
            self._reports.note(attempt_id, nodes=[*report["nodes"], unit])

    def take(self, request: LaunchRequest) -> list[str] | None:
        """Counts its workers, of which none is there yet."""
        nodes = request.spec.resources.num_nodes
        if sum(self._taken.values()) + nodes > self._pool.max_units:
            return None
        self._taken[request.attempt_id] = nodes
        return []

    def give_back(self, attempt_id: str) -> None:
        """It has ended. Its pods are its own for as long as they are there."""
        self._taken.pop(attempt_id, None)

    def placed(self, attempt_id: str) -> bool:
        """Whether all of its workers are there."""
        return len(self._reports.get(attempt_id)["nodes"]) >= self._taken.get(attempt_id, 0)

    def lives(self, unit: str) -> bool:
        """Always: KubeRay replaces a lost worker, and Ray says whether the attempt is lost with it."""
        return True

    def stop_grace_s(self, grace_s: float) -> float:
        """As long as any cancel may allow: its RayCluster is ended when what it was allowed is over."""
        return max(grace_s, MOST_GRACE_S)

    def manifests(self, request: LaunchRequest, unit: str, files: Mapping[str, bytes]) -> tuple[Resource, Resource]:
        """Those of a job that brings its RayCluster."""
        secret = self._manifests.secret(request.attempt_id, files)
        return secret, self._manifests.own_ray_job(request, files)

    def states(self) -> tuple[UnitState, ...]:
        """Workers that are there, none of them free, and those that attempts still wait for."""
        there = [
            _state(unit, self._has(pod), None if pods.is_ready(pod) else pods.asked_ns(pod))
            for unit, pod in self._pods.items()
            if _attempt(pod) in self._taken
        ]
        coming = []
        for attempt_id, wanted in self._taken.items():
            report = self._reports.get(attempt_id) if self._reports.known(attempt_id) else None
            made = sum(_attempt(pod) == attempt_id for pod in self._pods.values())
            if report is not None:
                has = self._manifests.worker(Resources(**report["held"]))
                coming += [_state(f"{attempt_id}/{at}", has, report["launched_ns"]) for at in range(made, wanted)]
        return (*there, *coming)

    async def fit(self) -> None:
        """Nothing to do: no node is kept for later."""

    async def clear(self, job: str) -> None:
        """Ends the RayCluster of a RayJob that was deleted while it ran."""
        found, _ = await self._api.all("rayclusters", {**self._manifests.mine, names.ATTEMPT: job})
        for cluster in found:
            await self._api.delete("rayclusters", cluster["metadata"]["name"])

    async def end(self) -> None:
        """Nothing to do: every RayCluster is that of an attempt."""


def _attempt(pod: Resource) -> str:
    return str(pod["metadata"].get("annotations", {}).get(names.ATTEMPT_ID, ""))


def _state(unit: str, has: Resources, asked_ns: int | None) -> UnitState:
    nothing = Resources(gpu_model=has.gpu_model)
    return UnitState(unit_id=unit, total=has, free=nothing, ready=asked_ns is None, asked_ns=asked_ns)
