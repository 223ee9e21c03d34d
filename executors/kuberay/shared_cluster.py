"""The workers of a RayCluster that attempts share: pods → units that are metered, have room, and are scaled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from broker.model.errors import NoCapacity
from broker.model.jobs import LaunchRequest
from broker.model.pools import Pool, UnitState
from broker.model.resources import Resources
from executors.kuberay import names, pods
from executors.kuberay.api import Api, Resource
from executors.kuberay.api_errors import NotFound
from executors.kuberay.cluster import found, found_or_made
from executors.kuberay.manifests import Manifests
from executors.kuberay.metering import Metering
from executors.remote.meter import Meter
from executors.remote.room import Need, Room, Share

_GROUP = "/spec/workerGroupSpecs/0"


class SharedCluster:
    """What runs attempts in a pool. `room` counts what they hold from the moment that they are launched."""

    def __init__(self, pool: Pool, api: Api, manifests: Manifests, meter: Meter, initial: int | None) -> None:
        """`initial`: how many workers a new RayCluster has; None: none is made."""
        self._initial = None if initial is None else min(initial, pool.max_units)
        self._pool, self._api, self._manifests, self._meter = pool, api, manifests, meter
        self._metering = Metering(meter, manifests.head)
        self._pods: dict[str, Resource] = {}  # those that are up or coming, by unit
        self._replicas = self._wanted = 0
        self._ending: set[str] = set()
        self._turn = asyncio.Lock()
        self.room = Room()
        self.cluster_uid = ""  # of the RayCluster, once it was found

    @property
    def note(self) -> str:
        """Names the RayCluster, for people."""
        return f"KubeRay: RayCluster {self._manifests.cluster} in namespace {self._manifests.namespace}"

    async def open(self, going: Sequence[dict[str, Any]]) -> None:
        """Finds the RayCluster, or makes it. Raises `Misconfigured` for that of another broker."""
        cluster = await self._found_or_made()
        if cluster is None:
            return
        self._replicas = self._wanted = cluster["spec"]["workerGroupSpecs"][0]["replicas"]
        self.cluster_uid = str(cluster["metadata"]["uid"])
        self.room.load(list(going), self.ready())

    async def _found_or_made(self) -> Resource | None:
        if self._initial is None:
            return await found(self._api, self._manifests, self._pool.name)
        return await found_or_made(self._api, self._manifests, self._pool.name, self._initial)

    def see(self, known: Mapping[str, Resource], now_ns: int) -> None:
        """Takes over which pods there are."""
        alive = {names.unit_id(pod): pod for pod in known.values() if pods.lives(pod)}
        self._pods = {unit: pod for unit, pod in alive.items() if pods.is_worker(pod)}
        heads = {unit: pod for unit, pod in alive.items() if pods.is_head(pod)}
        self._metering.see(self._pods | heads, dict.fromkeys(self._pods, self.unit), now_ns)
        self._ending &= set(self._pods)
        self.room.nodes(self.ready())

    def take(self, request: LaunchRequest) -> list[str] | None:
        """Reserves room for an attempt on as many workers as it needs: their units; None where there is not enough."""
        return self.room.take(request.attempt_id, Need.of(request))

    def give_back(self, attempt_id: str) -> None:
        """An attempt has ended: frees its room."""
        self.room.give_back(attempt_id)

    def placed(self, attempt_id: str) -> bool:
        """Always: workers are chosen before anything is created."""
        return True

    def stop_grace_s(self, grace_s: float) -> float:
        """Its own: nothing can end one command of a worker sooner, or tell its agent another."""
        return grace_s

    def manifests(self, request: LaunchRequest, unit: str, files: Mapping[str, bytes]) -> tuple[Resource, Resource]:
        """Those of a job of the RayCluster. Raises `NoCapacity` where its worker is gone."""
        secret = self._manifests.secret(request.attempt_id, files, self.cluster_uid)
        return secret, self._manifests.ray_job(request, self._address(unit), files)

    @property
    def unit(self) -> Resources:
        """What each worker has."""
        return self._pool.unit

    def ready(self) -> dict[str, Share]:
        """Workers that attempts can be given to, with what they have."""
        return {unit: Share(resources=self.unit) for unit in self._usable()}

    def _usable(self) -> list[str]:
        return [unit for unit, pod in self._pods.items() if pods.is_ready(pod) and unit not in self._ending]

    def lives(self, unit: str) -> bool:
        """Whether a worker is still there."""
        return unit in self._pods

    def _address(self, unit: str) -> str:
        if unit not in self._pods:
            raise NoCapacity(f"pool {self._pool.name}: the worker {unit} is gone")
        return pods.address(self._pods[unit])

    def states(self) -> tuple[UnitState, ...]:
        """Workers that are ready, with their room, and those that are starting."""
        now = self.room.now()
        ready = [UnitState(unit_id=unit, total=total, free=free) for unit, (total, free) in now.items()]
        coming = {
            unit: pods.asked_ns(pod)
            for unit, pod in self._pods.items()
            if not pods.is_ready(pod) and unit not in self._ending
        }
        nothing = Resources(gpu_model=self.unit.gpu_model)
        return (
            *ready,
            *(
                UnitState(unit_id=unit, total=self.unit, free=nothing, ready=False, asked_ns=asked_ns)
                for unit, asked_ns in coming.items()
            ),
        )

    async def scale(self, units: int) -> None:
        """Sets how many workers are wanted; those that work are kept until their attempts have ended."""
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
        return pods.is_ready(self._pods[unit])

    async def _set(self, replicas: int, leaving: Sequence[str] = ()) -> None:
        named = [self._pods[unit]["metadata"]["name"] for unit in leaving]
        operations: list[dict[str, Any]] = [
            {"op": "add", "path": f"{_GROUP}/replicas", "value": replicas},
            {"op": "add", "path": f"{_GROUP}/scaleStrategy", "value": {"workersToDelete": named}},
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

    async def clear(self, job: str) -> None:
        """Nothing to do: nothing is created for one attempt alone."""

    async def end(self) -> None:
        """Ends the RayCluster."""
        await self._api.delete("rayclusters", self._manifests.cluster)
