"""Resources: what a job asks for, what a node or container has, and the standard names of GPUs.

GPU names are canonical (`A100-80GB`); what people write elsewhere is translated by `canonical_gpu`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

GIB = 1024**3

# Memory in GiB of one GPU, by canonical name.
GPU_MEMORY_GIB: Final[dict[str, int]] = {
    "T4": 16,
    "L4": 24,
    "A10": 24,
    "A10G": 24,
    "L40S": 48,
    "V100": 16,
    "V100-32GB": 32,
    "A100-40GB": 40,
    "A100-80GB": 80,
    "RTX-PRO-6000": 96,
    "H100": 80,
    "H200": 141,
    "B200": 192,
}

_ALIASES: Final[dict[str, str]] = {
    "A100": "A100-40GB",
    "A100-40": "A100-40GB",
    "A100-40G": "A100-40GB",
    "A100-80G": "A100-80GB",
    "A100-80": "A100-80GB",
    "H100-80GB": "H100",
    "H100!": "H100",
    "H200-141GB": "H200",
    "B200-192GB": "B200",
    "RTXPRO6000": "RTX-PRO-6000",
    "RTX6000PRO": "RTX-PRO-6000",
    "V100-16GB": "V100",
}


def canonical_gpu(name: str) -> str:
    """The canonical name of a GPU model as SkyPilot, dstack, Modal or a provider writes it.

    `a100:80gb`, `A100_80GB`, `NVIDIA A100 80GB` are all `A100-80GB`. An unknown model is returned in upper case: new
    models must not need a release of the broker.
    """
    plain = re.sub(r"[\s:_]+", "-", name.strip().upper()).removeprefix("NVIDIA-")
    return _ALIASES.get(plain, plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A number of GPUs of one model."""

    model: str  # canonical name; "" is any model
    count: float = 1.0  # per node; a fraction shares one GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Concrete resources of one node or container, or the part of one that an attempt holds."""

    cpus: float = 0.0  # virtual CPUs (a physical core is two)
    memory_bytes: int = 0
    gpus: float = 0.0
    gpu_model: str = ""  # canonical; "" where there is no GPU
    disk_bytes: int = 0

    def fits(self, need: Resources) -> bool:
        """Whether `need` can be taken out of this."""
        return (
            need.cpus <= self.cpus + 1e-9
            and need.memory_bytes <= self.memory_bytes
            and need.gpus <= self.gpus + 1e-9
            and (not need.gpus or not need.gpu_model or need.gpu_model == self.gpu_model)
            and need.disk_bytes <= self.disk_bytes
        )

    def minus(self, taken: Resources) -> Resources:
        """What is left when `taken` is held; never below zero."""
        return replace(
            self,
            cpus=max(self.cpus - taken.cpus, 0.0),
            memory_bytes=max(self.memory_bytes - taken.memory_bytes, 0),
            gpus=max(self.gpus - taken.gpus, 0.0),
            disk_bytes=max(self.disk_bytes - taken.disk_bytes, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequest:
    """What each node of a job asks for, with alternatives for its GPUs."""

    gpu_choices: tuple[Gpu, ...] = ()  # empty: no GPU needed
    gpu_ordered: bool = False  # True: earlier choices are preferred; False: any will do
    cpus: float | None = None  # virtual CPUs; None: the pool's default for one job
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    num_nodes: int = 1  # all or none start (a gang)
    spot_policy: str = "auto"  # auto | spot | on-demand
    max_hourly_cost: str | None = None  # decimal dollars for the whole job, per hour
    extra: dict[str, float] = field(default_factory=dict)  # custom Ray resources, by name
