"""A description of a workload → lines for people, with the demand and the load-duration curve drawn in characters."""

from __future__ import annotations

from typing import Any

import numpy as np

from broker.decide.demand import Demand
from broker.decide.workload import Floats, Workload
from simulator.plain import short
from simulator.traces.describe import busy_gpus

BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 72


def print_description(history: Workload | Demand, found: dict[str, Any]) -> None:
    """Prints what `describe` found in a workload."""
    busy = busy_gpus(history)
    print(f"{found['days']:.1f} days, {found['gpu_hours']:,.0f} GPU-hours")
    print(f"busy GPUs: mean {found['mean_gpus']:.1f}, most {found['peak_gpus']:.0f}")
    print(f"over time      |{drawn(busy)}|")
    print(f"load-duration  |{drawn(np.sort(busy)[::-1])}|")
    shares = ", ".join(f"{k}: {share:.0%}" for k, share in found["busy_share_of_gpu"].items())
    print(f"busy share of the k-th GPU: {shares}")
    print(
        f"worth holding at a breakeven of {found['breakeven']:.0%}, if nothing changed: {found['worth_holding']} GPUs"
    )
    print(f"alike to the day before: {alike(found['daily_cycle'])}; to the week before: {alike(found['weekly_cycle'])}")
    if "jobs" in found:
        lasts = ", ".join(f"{name} {shortly(value)}" for name, value in found["duration_s"].items())
        comes = ", ".join(f"{name} {shortly(value)}" for name, value in found["between_arrivals_s"].items())
        print(f"{found['jobs']:,} jobs; they last {lasts}; between two arrivals {comes}")
        print("users by GPU time: " + ", ".join(f"{short(name)} {share:.0%}" for name, share in found["users"].items()))
        for title, key in (("GPU model", "by_gpu_type"), ("class", "by_kind")):
            for name, part in found[key].items():
                print(
                    f"{title} {short(name)}: {part['gpu_hours']:,.0f} GPU-hours, mean {part['mean_gpus']:.1f}, "
                    f"most {part['peak_gpus']:.0f}, worth holding {part['worth_holding']}"
                )


def drawn(values: Floats) -> str:
    """Values as one line of bars, each the mean of a stretch of them."""
    means = np.array([part.mean() for part in np.array_split(values, min(WIDTH, max(len(values), 1)))])
    most = float(np.nan_to_num(means).max(initial=0.0))
    return "".join(BARS[round(mean / most * (len(BARS) - 1))] for mean in means) if most > 0 else " " * WIDTH


def alike(correlation: float | None) -> str:
    """A correlation in words."""
    if correlation is None:
        return "too short to say"
    words = "strongly" if correlation > 0.6 else "somewhat" if correlation > 0.3 else "hardly"
    return f"{words} (correlation {correlation:.2f})"


def shortly(seconds: float) -> str:
    """Seconds in the largest unit that fits: `1.5 h`."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
