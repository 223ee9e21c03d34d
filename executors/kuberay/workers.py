"""The workers of a RayCluster: pods that come and go → units that are metered, have room, and are scaled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from broker.model.errors import NoCapacity
from broker.model.pools import Pool, UnitState
from broker.model.resources import Resources
from executors.kuberay import names
from executors.kuberay.api import Api, Resource
from executors.kuberay.cluster import found_or_made
from executors.kuberay.failures import NotFound
from executors.kuberay.manifests import Manifests
from executors.remote.meter import Meter
from executors.remote.room import Room, Share

_GROUP = "/spec/workerGroupSpecs/0"


class Workers:
    """What runs attempts in a pool. `room` counts what they hold from the moment that they are launched."""

    def __init__(self, pool: Pool, api: Api, manifests: Manifests, meter: Meter, initial: int) -> None:
        self._initial = min(initial, pool.max_units)
        self._pool, self._api, self._manifests, self._meter = pool, api, manifests, meter
        self._pods: dict[str, Resource] = {}  # those that are up or coming, by unit
        self._replicas = self._wanted = 0
        self._ending: set[str] = set()
        self._turn = asyncio.Lock()
        self.room = Room()
        self.cluster_uid = ""  # of the RayCluster, once it was found

    async def open(self) -> None:
        """Finds the RayCluster, or makes it. Raises `Misconfigured` for that of another broker."""
        cluster = await found_or_made(self._api, self._manifests, self._pool.name, self._initial)
        self._replicas = self._wanted = cluster["spec"]["workerGroupSpecs"][0]["replicas"]
        self.cluster_uid = str(cluster["metadata"]["uid"])

    def see(self, pods: Mapping[str, Resource], now_ns: int) -> None:
        """Takes over which pods there are."""
        self._pods = {names.unit_id(pod): pod for pod in pods.values() if _works(pod)}
        for unit, pod in self._pods.items():
            if _paid(pod) and not self._meter.lives(unit):
                self._meter.begin(unit, self.unit, None, now_ns)
            if _ready(pod):
                self._meter.ready(unit, now_ns)
        for life in self._meter.up():
            if life["attempt_id"] not in self._pods:
                self._meter.end(life["attempt_id"], now_ns)
        self._ending &= set(self._pods)
        self.room.nodes(self.ready())

    @property
    def unit(self) -> Resources:
        """What each of them has."""
        return self._pool.unit

    def ready(self) -> dict[str, Share]:
        """Those that attempts can be given to, with what they have."""
        return {unit: Share(resources=self.unit) for unit in self._usable()}

    def _usable(self) -> list[str]:
        return [unit for unit, pod in self._pods.items() if _ready(pod) and unit not in self._ending]

    def lives(self, unit: str) -> bool:
        """Whether it is there still."""
        return unit in self._pods

    def address(self, unit: str) -> str:
        """Where it is, in the cluster's network; Ray knows it by that. Raises `NoCapacity` where it is gone."""
        if unit not in self._pods:
            raise NoCapacity(f"pool {self._pool.name}: the worker {unit} is gone")
        return str(self._pods[unit]["status"]["podIP"])

    def states(self) -> tuple[UnitState, ...]:
        """Those that are ready, with their room, and those that are coming."""
        now = self.room.now()
        ready = [UnitState(unit_id=unit, total=total, free=free) for unit, (total, free) in now.items()]
        coming = [unit for unit, pod in self._pods.items() if not _ready(pod) and unit not in self._ending]
        nothing = Resources(gpu_model=self.unit.gpu_model)
        return (
            *ready,
            *(UnitState(unit_id=unit, total=self.unit, free=nothing, ready=False) for unit in coming),
        )

    async def scale(self, units: int) -> None:
        """Asks for so many; those that work go on, and leave when they have ended."""
        self._wanted = units
        await self.fit()

    async def fit(self) -> None:
        """Brings the number of replicas as near to what is wanted as what works allows."""
        async with self._turn:
            if self._wanted > self._replicas:
                await self._set(self._wanted)
            elif self._wanted < self._replicas:
                await self._shrink(self._replicas - self._wanted)

    async def _shrink(self, surplus: int) -> None:
        """Names those that leave, so that KubeRay takes none that works: what has not begun first."""
        up = [unit for unit in self._pods if unit not in self._ending]
        never_came = min(max(self._replicas - len(up), 0), surplus)
        idle = sorted(set(up) - self._meter.held(), key=self._is_ready)
        leaving = idle[: surplus - never_came]
        if leaving or never_came:
            await self._set(self._replicas - never_came - len(leaving), leaving)

    def _is_ready(self, unit: str) -> bool:
        return _ready(self._pods[unit])

    async def _set(self, replicas: int, leaving: Sequence[str] = ()) -> None:
        pods = [self._pods[unit]["metadata"]["name"] for unit in leaving]
        operations: list[dict[str, Any]] = [
            {"op": "add", "path": f"{_GROUP}/replicas", "value": replicas},
            {"op": "add", "path": f"{_GROUP}/scaleStrategy", "value": {"workersToDelete": pods}},
        ]
        self._close(self._ending | set(leaving))
        try:
            await self._api.patch("rayclusters", self._manifests.cluster, operations)
        except NotFound:  # somebody has deleted it
            cluster = await found_or_made(self._api, self._manifests, self._pool.name, replicas)
            self.cluster_uid = str(cluster["metadata"]["uid"])
        except BaseException:
            self._close(self._ending - set(leaving))
            raise
        self._replicas = replicas

    def _close(self, units: set[str]) -> None:
        self._ending = units
        self.room.nodes(self.ready())


def _works(pod: Resource) -> bool:
    """Whether it is a worker that has not ended."""
    worker = pod["metadata"]["labels"].get(names.NODE_TYPE) == "worker"
    return worker and pod.get("status", {}).get("phase", "Pending") in ("Pending", "Running")


def _paid(pod: Resource) -> bool:
    """Whether it is on a node."""
    return bool(pod["spec"].get("nodeName"))


def _ready(pod: Resource) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and bool(pod["status"].get("podIP")) and "deletionTimestamp" not in pod["metadata"]
