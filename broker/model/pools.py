"""Pools: places that run attempts, what they have, what they are free of, and what their executors can do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import Any

from broker.model.offers import Offer
from broker.model.resources import Resources


class PoolKind(StrEnum):
    """How a pool is paid."""

    CLUSTER = "cluster"  # nodes are paid while up, busy or idle
    SERVERLESS = "serverless"  # containers are paid per second while they live


class Isolation(StrEnum):
    """With whom the infrastructure is shared."""

    SHARED = "shared"  # other customers may run on it
    DEDICATED = "dedicated"  # ours alone


class Capability(StrEnum):
    """What an executor can do beyond running a command."""

    FUNCTIONS = "functions"  # pickled Python calls
    RAY_RUNTIME = "ray_runtime"  # jobs that are Ray programs
    GANG = "gang"  # several nodes, all or none
    IMAGES = "images"  # container images
    SCALE = "scale"  # implements Scalable
    HEAD = "head"  # meters a head beside the units that run attempts
    KEEP_WARM = "keep_warm"  # implements Warmable
    VOLUMES = "volumes"  # named folders that outlive attempts
    READ_ONLY_VOLUMES = "read_only_volumes"  # and jobs that may only read them are kept from writing
    SECRET_FILES = "secret_files"  # secrets in files that only the attempt can read, for as long as it runs
    NODE_SHARES = "node_shares"  # serverless: its containers are parts of nodes, and may be priced as such


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepWarm:
    """How long and how many serverless containers stay without work; the words are Modal's."""

    scaledown_window_s: float  # idle seconds before a container ends
    min_containers: int = 0  # up at least, busy or idle
    buffer_containers: int = 0  # idle beyond those that are busy, while any is


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmLimits:
    """Between which ways to keep containers warm the owner of a pool lets the broker choose, and what for."""

    least_window_s: float = 2.0  # of scaledown_window_s
    most_window_s: float = 1_200.0
    least_containers: int = 0  # of min_containers
    most_containers: int = 0  # of min_containers, and of buffer_containers
    start_within_s: float | None = None  # promise: jobs find a ready container within this; None: no promise
    start_share: float = 0.95  # of jobs that it is promised to
    worth_s: float = 0.0  # what it is worth not to wait for a start, in seconds of the container


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One place that runs attempts, as configured."""

    name: str
    kind: PoolKind
    executor: str  # entry point name in the group broker.executors
    unit: Resources  # what one node has, or the most that one container may have
    max_units: int  # nodes or containers at most
    gpu_models: tuple[str, ...] = ()  # models on offer here, canonical; a serverless pool may have several
    offers: tuple[Offer, ...] = ()  # what its units cost; empty: unknown (shown as unknown, never as zero)
    head_offers: tuple[Offer, ...] = ()  # what a head beside its units costs; empty: unknown
    region: str = ""
    isolation: Isolation = Isolation.SHARED
    emulated: bool = False  # its accelerators are logical: no GPU is there
    devices: tuple[
        int, ...
    ] = ()  # GPUs of this machine that are this pool's alone, by number; none where it is elsewhere
    capabilities: frozenset[Capability] = frozenset()
    volumes: str = ""  # where its volumes are, in its executor's words; pools that say the same share them; "": nowhere
    cold_start_s: float = 0.0  # prior for the time to a ready node or container; measured values replace it
    scaledown_window_s: float = 0.0  # serverless: idle seconds before a container ends
    warm: WarmLimits = field(default_factory=WarmLimits)  # serverless: what the autopilot may make of it
    options: dict[str, Any] = field(default_factory=dict)  # the executor's own settings, validated by it
    nodes: dict[str, Any] = field(
        default_factory=dict
    )  # cluster: how its machines are made; validated by the provider's

    @property
    def most_gpus(self) -> float:
        """GPUs that all its units may hold together: no more than this machine has for it, where it is here."""
        return min(self.unit.gpus * self.max_units, len(self.devices) or inf)

    def container(self, held: Resources, extra_bytes: int) -> Resources:
        """What a container has that is started for an attempt: what that holds, and more memory, where it may."""
        if not extra_bytes:
            return held
        most = max(self.unit.memory_bytes, held.memory_bytes)
        return replace(held, memory_bytes=min(held.memory_bytes + extra_bytes, most))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """One node or container now."""

    unit_id: str
    total: Resources
    free: Resources
    ready: bool = True  # False: booting
    asked_ns: int | None = None  # since when it boots; None: it does not, or that is not known
    warm_key: str = ""  # environment that a warm container holds; "" where it does not matter


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a pool has at one moment, as its executor sees it."""

    as_of_ns: int
    units: tuple[UnitState, ...]
    max_units: int  # how many units it may grow to
    extra_bytes: int = 0  # serverless: of memory, beside what its attempt holds, in a container (`Pool.container`)
    line: int = 0  # launches that it lets wait at once, each for the place of one like it (`LaunchRequest.in_line`)
    replaces_idle: bool = (
        False  # serverless: when full, it ends an idle container at once for one of another environment
    )
    backoff_until_ns: int = 0  # the pool starts nothing new before this (containers kept failing)
    note: str = ""  # for people: how work is isolated, why it is degraded
    keep_warm: KeepWarm | None = None  # how containers are kept warm now; None: not known, or not serverless
