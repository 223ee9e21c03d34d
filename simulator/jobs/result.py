"""What a run came to: cost and its parts, GPU-hours, waiting, and where each job ran; as a value and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from broker.decide.workload import Floats
from simulator.jobs.state import BIN_SHIFT, ONE_BITS, Ints, Records
from simulator.jobs.terms import Terms

SHARES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds that jobs spent on anything but their work: queues, cold starts, and work done again."""

    mean_s: float
    longest_s: float
    up_to_s: Floats  # bounds of the bins; the first is 0, for jobs that did not wait
    jobs: Ints  # in each bin

    def quantile(self, share: float) -> float:
        """The wait that so large a share of the jobs does not exceed, to within 7 %."""
        cumulated = np.cumsum(self.jobs)
        at = int(np.searchsorted(cumulated, share * cumulated[-1] - 1e-9))
        return float(min(self.up_to_s[min(at, len(self.up_to_s) - 1)], self.longest_s))

    @classmethod
    def of(cls, sums: Records, bins: Ints) -> Waits:
        """From what the kernel counted."""
        mean_s = float(sums["wait_s"]) / max(int(sums["jobs"]), 1)
        return cls.counted(bins, mean_s, float(sums["longest_wait_s"]))

    @classmethod
    def counted(cls, bins: Ints, mean_s: float, longest_s: float) -> Waits:
        """From jobs in each of the kernel's bins."""
        filled = int(np.flatnonzero(bins).max(initial=0)) + 1
        bits = (np.arange(filled) << BIN_SHIFT) + ONE_BITS
        bounds = bits.view(np.float64) - 1.0
        return cls(mean_s=mean_s, longest_s=longest_s, up_to_s=bounds, jobs=bins[:filled].copy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What it came to. Money is in the terms' unit; columns have a row for each job, where they were asked for."""

    cost: float
    parts: Mapping[str, float]  # money: on_demand, spot, serverless, cold_start, idle_tail, rounding
    cluster_gpu_hours: float  # held, busy or not, on demand
    spot_gpu_hours: float
    busy_gpu_hours: float  # of both, what jobs used
    boot_gpu_hours: float
    serverless_gpu_hours: float  # running or starting
    tail_gpu_hours: float  # warm and idle
    lost_gpu_hours: float  # work that had to be done again
    jobs: int
    on_serverless: int
    cold_starts: int
    interruptions: int
    waits: Waits
    most_in_flight: int
    events: int
    end_s: float
    start_s: Floats  # of a job's last attempt
    ended_s: Floats
    serverless: npt.NDArray[np.bool_]

    @property
    def mean_wait_s(self) -> float:
        """Mean wait of all jobs, in seconds."""
        return self.waits.mean_s

    @property
    def longest_wait_s(self) -> float:
        """Longest wait of any job, in seconds."""
        return self.waits.longest_s


def parts(sums: Records, terms: Terms) -> dict[str, float]:
    """What was paid, and for what; rounding of nodes is part of what they cost."""
    hours = {name: float(sums[name]) / 3_600 for name in sums.dtype.names or () if name.endswith("gpu_s")}
    return {
        "on_demand": hours["held_gpu_s"] * terms.cluster,
        "spot": hours["spot_gpu_s"] * terms.spot,
        "serverless": hours["run_gpu_s"] * terms.serverless,
        "cold_start": hours["cold_gpu_s"] * terms.serverless,
        "idle_tail": hours["tail_gpu_s"] * terms.serverless,
        "rounding": hours["rounding_gpu_s"] * terms.serverless,
    }


def document(result: Result) -> dict[str, Any]:
    """The result as plain values, all finite; columns are left out."""
    waits = result.waits
    numbers = {
        name: getattr(result, name)
        for name in Result.__dataclass_fields__
        if isinstance(getattr(result, name), int | float)
    }
    return {
        **numbers,
        "parts": dict(result.parts),
        "waits": {
            "mean_s": waits.mean_s,
            "longest_s": waits.longest_s,
            "quantiles": {f"{share:g}": waits.quantile(share) for share in SHARES},
            "histogram": [
                {"up_to_s": float(bound), "jobs": int(jobs)}
                for bound, jobs in zip(waits.up_to_s, waits.jobs, strict=True)
                if jobs
            ],
        },
    }
