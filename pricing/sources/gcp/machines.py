"""Machine types as Compute Engine describes them → what is in a node, and what its price is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pricing.live.answer import Refused
from pricing.sources.gcp.skus import CORE, GPU, RAM, SLICE, SSD, Part

GIB_PER_DISK: Final = 375  # of a local SSD
MIB_PER_GIB: Final = 1024
GPUS: Final = {  # as machine types call them
    "nvidia-a100-80gb": "A100-80GB",
    "nvidia-b200": "B200",
    "nvidia-h100-80gb": "H100",
    "nvidia-h100-mega-80gb": "H100-MEGA",
    "nvidia-h200-141gb": "H200",
    "nvidia-l4": "L4",
    "nvidia-rtx-pro-6000": "RTX-PRO-6000",
    "nvidia-tesla-a100": "A100-40GB",
    "nvidia-tesla-t4": "T4",
}
SERIES: Final = {"a3-megagpu": "A3PLUS", "a3-ultragpu": "A3ULTRA"}  # where billing has another name
BY_SLICE: Final = ("a4",)  # series that are priced by the GPU alone
OTHER_DISKS: Final = ("C4", "C4A", "C4D", "H4D", "Z3")  # series whose local disks have prices of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What one machine type has."""

    sku: str
    region: str
    cpus: float
    memory_gib: float
    gpu_model: str  # canonical; "" for none
    gpu_count: int
    disk_gib: int  # that it always has
    series: str  # as prices call it

    def parts(self) -> Iterator[tuple[Part, float]]:
        """What is paid for, and how much of it."""
        if self.sku.split("-")[0] in BY_SLICE:
            yield Part(SLICE, self.gpu_model), self.gpu_count
            return
        yield Part(CORE, self.series), self.cpus
        yield Part(RAM, self.series), self.memory_gib
        if self.gpu_count:
            yield Part(GPU, self.gpu_model), self.gpu_count
        if self.disk_gib:
            yield Part(SSD), self.disk_gib


def machines(described: Iterable[tuple[str, Any]], region: str) -> tuple[list[Machine], list[Refused]]:
    """The machines of a region, of which each zone has its own list, and what is left out."""
    found: dict[str, Machine] = {}
    left_out: dict[str, Refused] = {}
    for zone, one in described:
        if zone.rpartition("-")[0] != region or one.name in found:
            continue
        series = "-".join(one.name.split("-")[:2])
        machine = Machine(
            sku=one.name,
            region=region,
            cpus=float(one.guest_cpus),
            memory_gib=one.memory_mb / MIB_PER_GIB,
            gpu_model=GPUS.get(one.accelerators[0].guest_accelerator_type, "") if one.accelerators else "",
            gpu_count=sum(each.guest_accelerator_count for each in one.accelerators),
            disk_gib=GIB_PER_DISK * one.bundled_local_ssds.partition_count,
            series=SERIES.get(series) or one.name.split("-")[0].upper(),
        )
        if reason := _why_not(one, machine):
            left_out[one.name] = Refused(thing=f"{one.name} {region}", reason=reason)
        else:
            found[one.name] = machine
    return list(found.values()), list(left_out.values())


def _why_not(one: Any, machine: Machine) -> str:
    if machine.gpu_count and (len(one.accelerators) != 1 or not machine.gpu_model):
        kinds = ", ".join(each.guest_accelerator_type for each in one.accelerators)
        return f"has GPUs that are not known here: {kinds}"
    if one.is_shared_cpu:
        return "shares its CPUs"
    if machine.disk_gib and machine.series in OTHER_DISKS:
        return f"has local disks at a price of the series {machine.series}"
    return ""
