"""This machine → the CPUs, memory and GPUs that its local pools may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from broker.model.resources import canonical_gpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this machine has for its local pools."""

    cpus: float  # virtual CPUs that this process may use
    memory_bytes: int
    gpu_count: int = 0  # real ones
    gpu_model: str = ""  # canonical; "" where there is none, or its name is not known


def this_machine(root: Path = Path("/")) -> Machine:
    """What this process may use, limits of its control group included. `root` is where /proc and /sys are."""
    count, model = _gpus(root)
    return Machine(cpus=_cpus(root), memory_bytes=_memory(root), gpu_count=count, gpu_model=model)


def _cpus(root: Path) -> float:
    there = float(len(os.sched_getaffinity(0)))
    quota, _, period = _first(root / "sys/fs/cgroup/cpu.max").partition(" ")
    if not period:
        quota = _first(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period = _first(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit():
        return max(min(there, float(int(int(quota) / int(period)))), 1.0)
    return there


def _memory(root: Path) -> int:
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    limits = (root / "sys/fs/cgroup/memory.max", root / "sys/fs/cgroup/memory/memory.limit_in_bytes")
    return min([total, *(int(limit) for path in limits if (limit := _first(path)).isdigit())])


def _gpus(root: Path) -> tuple[int, str]:
    devices = [path for path in (root / "dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()]
    model = ""
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        if _first(path).startswith("Model:"):
            model = _canonical(_first(path).removeprefix("Model:"))
            break
    return len(devices), model if devices else ""


def _canonical(name: str) -> str:
    """`NVIDIA H100 80GB HBM3` is an H100: the driver adds how it is built."""
    words = [word for word in name.split() if word not in ("Tesla", "HBM2", "HBM2e", "HBM3", "HBM3e", "PCIe", "NVL")]
    return canonical_gpu(" ".join(words).replace("-SXM4", "").replace("-PCIE", "").replace("-SXM2", ""))


def _first(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()[0].strip()
    except (OSError, IndexError):
        return ""
