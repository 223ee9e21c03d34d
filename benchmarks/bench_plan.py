"""How long a plan of a year of hours takes, against HiGHS on the full programme built as a sparse matrix.

One problem made by hand, then others drawn at random: kinds, prices, limits and speeds of offers, for how long nodes
are held, what classes may use, and the course of demand. Both must find the same cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from benchmarks.harness import report
from broker.decide.plan import Class, Kind, Offer, Problem, Scenario, solve
from broker.decide.plan.build import modelled
from broker.decide.plan.highs import optimum
from broker.decide.workload import Floats
from simulator.native_output import silenced_native_output

T = TypeVar("T")
HOURS = 8_760
SPEEDS = {"H100": 1.0, "A100": 0.6}
USD = {Kind.COMMITTED: 1.4, Kind.HELD: 2.4, Kind.SERVERLESS: 4.5}
SAME = 1e-9  # of the cost


def timed(action: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what it gives."""
    begun = time.perf_counter()
    found = action()
    return time.perf_counter() - begun, found


def problem(offers: int, classes: int, resize_hours: float) -> Problem:
    """Commitments, nodes that are held for so long at a time, serverless; classes bound to some."""
    rng = np.random.default_rng(1)
    hours = np.arange(HOURS)
    daily = 12 + 8 * np.sin(hours / 24 * 2 * np.pi) + 3 * np.sin(hours / HOURS * 2 * np.pi)
    demand = np.stack([np.maximum(daily + rng.normal(0, 3, HOURS), 0) for _ in range(classes)])
    ways = []
    for n in range(offers):
        kind = (Kind.COMMITTED, Kind.SERVERLESS, Kind.HELD)[n % 3]
        most = None if n == 1 else 15.0 + n
        way = Offer(
            name=f"o{n}",
            kind=kind,
            usd_per_gpu_hour=USD[kind] + n / 20,
            max_gpus=most,
            gpu=("H100", "A100")[n % 2],
            region="any" if most is None else ("eu", "us")[n // 2 % 2],
            resize_hours=resize_hours,
        )
        ways.append(way)
    bound = tuple(
        Class(
            name=f"c{n}",
            speeds=SPEEDS if n % 2 else {},
            regions=frozenset({"eu", "any"}) if n % 3 == 2 else frozenset(),
        )
        for n in range(classes)
    )
    return _year(tuple(ways), bound, demand)


def drawn(offers: int, classes: int, seed: int) -> Problem:
    """A problem at random; its first offer has room for all work."""
    rng = np.random.default_rng(seed)
    ways = [
        Offer(name="any", kind=Kind.SERVERLESS, usd_per_gpu_hour=float(rng.uniform(4, 6)), gpu="H100", region="any")
    ]
    held = float(rng.choice([1.0, 24.0, 168.0]))
    for n in range(1, offers):
        kind = list(Kind)[int(rng.integers(3))]
        way = Offer(
            name=f"o{n}",
            kind=kind,
            usd_per_gpu_hour=float(USD[kind] * rng.uniform(0.7, 1.3)),
            node=int(rng.choice([1, 4, 8])),
            max_gpus=float(rng.integers(5, 40)) if rng.random() < 0.7 else None,
            gpu=str(rng.choice(list(SPEEDS))),
            region=str(rng.choice(["eu", "us", "any"])),
            resize_hours=held,
        )
        ways.append(way)
    bound = tuple(
        Class(
            name=f"c{n}",
            speeds={**SPEEDS, "A100": float(rng.uniform(0.4, 0.9))} if rng.random() < 0.5 else {},
            regions=frozenset({"eu", "any"}) if rng.random() < 0.4 else frozenset(),
        )
        for n in range(classes)
    )
    return _year(tuple(ways), bound, np.stack([_course(rng) for _ in bound]))


def _course(rng: np.random.Generator) -> Floats:
    """A year of one class: by day and week, in bursts, or in whole GPUs that persist."""
    hours, level = np.arange(HOURS), rng.uniform(3, 20)
    kind = rng.integers(3)
    if kind == 0:
        cycle = 1 + 0.6 * np.sin(hours / 24 * 2 * np.pi) + 0.2 * np.sin(hours / 168 * 2 * np.pi)
        return np.asarray(level * np.maximum(cycle + rng.normal(0, 0.2, HOURS), 0.0))
    if kind == 1:
        return np.asarray(level * rng.lognormal(-0.5, 1.0, HOURS))
    return np.asarray(np.maximum(np.round(level + rng.normal(0, 0.5, HOURS).cumsum()), 0.0))


def _year(offers: tuple[Offer, ...], classes: tuple[Class, ...], demand: Floats) -> Problem:
    scenarios = (Scenario(gpus=demand, weight=1.0),)
    return Problem(offers=offers, scenarios=scenarios, step_hours=1.0, classes=classes, period_hours=168.0)


def full(wanted: Problem) -> tuple[float, int]:
    """The cost that HiGHS finds for the programme with a column for each offer, class and hour, and its columns."""
    arrays = modelled(wanted, collapsed=False).programme.arrays()
    return optimum(arrays).cost, len(arrays.cost)


def against_full(wanted: Problem) -> tuple[float, float, int]:
    """Seconds of the plan and of HiGHS on the full programme, which must cost the same, and its columns."""
    planning, plan = timed(lambda: solve(wanted))
    solving, (whole, columns) = timed(lambda: full(wanted))
    if abs(plan.cost_usd / whole - 1) > SAME:
        raise SystemExit(f"the plan costs {plan.cost_usd}, the full programme {whole}: they must be the same")
    return planning, solving, columns


def main() -> None:
    """Runs all and reports the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=int, default=8, help="problems drawn at random")
    options = parser.parse_args()
    with silenced_native_output():
        solve(problem(8, 4, 1.0))
        hourly, weekly = against_full(problem(8, 4, 1.0)), against_full(problem(8, 4, 168.0))
        others = [against_full(drawn(8, 4, seed)) for seed in range(options.drawn)]
        large, _ = timed(lambda: solve(problem(12, 6, 1.0)))
    shares = sorted(planning / solving for planning, solving, _ in others)
    rows = {"a year of hours, 8 offers, 4 classes": _words(*hourly), "the same, nodes held for weeks": _words(*weekly)}
    if shares:
        said = ", ".join(f"{share:.3f}" for share in shares)
        rows[f"{len(shares)} others of that size, at random"] = f"of HiGHS's time: {said}"
    rows["a year of hours, 12 offers, 6 classes"] = f"{large:.2f} s"
    figures = {"hourly": hourly[0] / hourly[1], "weekly": weekly[0] / weekly[1], "large_s": large}
    report("plan of a year", rows, figures | {f"drawn_{n}": each[0] / each[1] for n, each in enumerate(others)})


def _words(planning: float, solving: float, columns: int) -> str:
    return f"{planning:.2f} s; HiGHS on {columns:,} columns {solving:.2f} s: {planning / solving:.3f} of it"


if __name__ == "__main__":
    main()
