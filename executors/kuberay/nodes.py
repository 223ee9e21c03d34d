"""What a pool of KubeRay asks of the pods that its attempts run on: those of one RayCluster, or each attempt's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from broker.model.jobs import LaunchRequest
from broker.model.pools import UnitState
from executors.kuberay.api import Resource


class Nodes(Protocol):
    """The pods of a pool, with their room."""

    @property
    def note(self) -> str:
        """A sentence for people on what the nodes are."""

    async def open(self, going: Sequence[dict[str, Any]]) -> None:
        """Finds what is there, for the attempts with these reports. Raises ExecutorError."""

    def see(self, pods: Mapping[str, Resource], now_ns: int) -> None:
        """Takes over which pods there are, by name, and meters them."""

    def take(self, request: LaunchRequest) -> list[str] | None:
        """Holds room for an attempt: the units that it has, as far as they are there. None: there is no room."""

    def give_back(self, attempt_id: str) -> None:
        """It has ended: its room is free."""

    def placed(self, attempt_id: str) -> bool:
        """Whether the units that it runs on are known."""

    def lives(self, unit: str) -> bool:
        """Whether what an attempt was given is there still; "" where that was nothing."""

    def stop_grace_s(self, grace_s: float) -> float:
        """How long a command that Ray stops may take to end at most, where its own grace is `grace_s`."""

    def manifests(self, request: LaunchRequest, unit: str, files: Mapping[str, bytes]) -> tuple[Resource, Resource]:
        """The Secret and the RayJob of an attempt. Raises `NoCapacity` where its unit is gone."""

    def states(self) -> tuple[UnitState, ...]:
        """Those that are ready, with their room, and those that are coming."""

    async def fit(self) -> None:
        """Lets go of what was only kept for an attempt that has ended. Raises ExecutorError."""

    async def clear(self, job: str) -> None:
        """Ends what was made for a RayJob of this name alone. Raises ExecutorError."""

    async def end(self) -> None:
        """Ends all that is not some attempt's. Raises ExecutorError."""
