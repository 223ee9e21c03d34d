"""Instance types as EC2 describes them → what is in a node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.model.resources import GPU_MEMORY_GIB, canonical_gpu
from pricing.live.answer import Refused

_MIB_PER_GIB: Final = 1024
_BY_MEMORY: Final = {"A100": ("A100-40GB", "A100-80GB"), "V100": ("V100", "V100-32GB")}  # models sold in two sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a machine of an instance type has."""

    sku: str
    cpus: float
    memory_gib: float
    gpu_model: str  # canonical; "" for none
    gpu_count: int


def shapes(described: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Shape], list[Refused]]:
    """The shapes by instance type, and what is left out: types whose GPUs can't be told in whole numbers."""
    found: dict[str, Shape] = {}
    refused: list[Refused] = []
    for one in described:
        sku = str(one["InstanceType"])
        gpus = (one.get("GpuInfo") or {}).get("Gpus") or []
        if reason := _why_not(gpus):
            refused.append(Refused(thing=sku, reason=reason))
            continue
        found[sku] = Shape(
            sku=sku,
            cpus=float(one["VCpuInfo"]["DefaultVCpus"]),
            memory_gib=one["MemoryInfo"]["SizeInMiB"] / _MIB_PER_GIB,
            gpu_model=_model(gpus[0]) if gpus else "",
            gpu_count=int(gpus[0].get("Count", 0)) if gpus else 0,
        )
    return found, refused


def _why_not(gpus: list[Mapping[str, Any]]) -> str:
    if len(gpus) > 1:
        return "has GPUs of several models"
    if gpus and float(gpus[0].get("GpuPartitionSize", 1) or 1) < 1:
        return "has a part of a GPU"
    if gpus and not int(gpus[0].get("Count", 0)):
        return "does not say how many GPUs it has"
    return ""


def _model(gpu: Mapping[str, Any]) -> str:
    name = canonical_gpu(str(gpu.get("Name", "")))
    mib = (gpu.get("MemoryInfo") or {}).get("SizeInMiB", 0)
    for prefix, models in _BY_MEMORY.items():
        if name.startswith(prefix):
            return next((model for model in models if mib <= (GPU_MEMORY_GIB[model] + 4) * _MIB_PER_GIB), models[-1])
    return canonical_gpu("RTX-PRO-6000") if "RTX" in name and "6000" in name else name
