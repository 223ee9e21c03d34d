"""How long the broker's policy takes on 90 days of five-minute steps, against Cackle's dynamic strategy in numpy; and
how long a plan of a year of hours takes, against HiGHS on the full programme built as a sparse matrix."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import report
from broker.decide import fluid
from broker.decide.demand import demand
from broker.decide.market import SCENARIOS
from broker.decide.plan import Class, Kind, Offer, Problem, Scenario, solve
from broker.decide.plan.build import modelled
from broker.decide.plan.highs import optimum
from broker.decide.workload import Workload
from simulator.policies import POLICIES
from simulator.quiet import quiet
from simulator.traces.synth import synth


def timed(action: Callable[[], object]) -> float:
    """Seconds, after a first run that compiles."""
    action()
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def simulation() -> tuple[float, float]:
    """Seconds of the broker's policy and of Cackle's, each with the pricing of its targets."""
    table = synth("mixed", 90.0, 40.0, 1)
    history = Workload.of(table["submit_s"], table["duration_s"], table["gpus"])
    market = SCENARIOS["elastic"]
    busy = demand(history, market.step_s)
    play = {
        name: timed(lambda name=name: fluid.cost(busy, market, POLICIES[name].choose(history, market)))
        for name in ("broker", "cackle")
    }
    return play["broker"], play["cackle"]


def problem(offers: int, classes: int, resize_hours: float) -> Problem:
    """A year of hours: commitments, nodes that are held for so long at a time, serverless; classes bound to some."""
    rng = np.random.default_rng(1)
    hours = np.arange(8_760)
    daily = 12 + 8 * np.sin(hours / 24 * 2 * np.pi) + 3 * np.sin(hours / 8_760 * 2 * np.pi)
    demand = np.stack([np.maximum(daily + rng.normal(0, 3, len(hours)), 0) for _ in range(classes)])
    ways = []
    for n in range(offers):
        kind = (Kind.COMMITTED, Kind.SERVERLESS, Kind.HELD)[n % 3]
        price = {Kind.COMMITTED: 1.4, Kind.HELD: 2.4, Kind.SERVERLESS: 4.5}[kind] + n / 20
        most = None if n == 1 else 15.0 + n
        gpu, region = ("H100", "A100")[n % 2], ("eu", "us")[n // 2 % 2]
        ways.append(
            Offer(
                name=f"o{n}",
                kind=kind,
                usd_per_gpu_hour=price,
                max_gpus=most,
                gpu=gpu,
                region="any" if most is None else region,
                resize_hours=resize_hours,
            )
        )
    speeds = {"H100": 1.0, "A100": 0.6}
    bound = tuple(
        Class(
            name=f"c{n}",
            speeds=speeds if n % 2 else {},
            regions=frozenset({"eu", "any"}) if n % 3 == 2 else frozenset(),
        )
        for n in range(classes)
    )
    return Problem(
        offers=tuple(ways),
        scenarios=(Scenario(gpus=demand, weight=1.0),),
        step_hours=1.0,
        classes=bound,
        period_hours=168.0,
    )


def full(wanted: Problem) -> tuple[float, int]:
    """The cost that HiGHS finds for the programme with a column for each offer, class and hour, and its columns."""
    arrays = modelled(wanted, collapsed=False).programme.arrays()
    return optimum(arrays).cost, len(arrays.cost)


def timed_once(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gives."""
    begun = time.perf_counter()
    found = action()
    return time.perf_counter() - begun, found


def main() -> None:
    """Runs both and reports the ratios."""
    ours, cackle = simulation()
    with quiet():
        hourly, weekly = _against_full(problem(8, 4, 1.0)), _against_full(problem(8, 4, 168.0))
        large, _ = timed_once(lambda: solve(problem(12, 6, 1.0)))
    report(
        "simulation and plan",
        {
            "90 days, the broker's policy": f"{ours:.2f} s",
            "90 days, Cackle's dynamic strategy": f"{cackle:.2f} s, {cackle / ours:.1f} times as long",
            "a year of hours, 8 offers, 4 classes": _words(*hourly),
            "the same, nodes held for weeks": _words(*weekly),
            "a year of hours, 12 offers, 6 classes": f"{large:.2f} s",
        },
        {"broker_s": ours, "cackle_s": cackle, "hourly_s": hourly, "weekly_s": weekly, "large_s": large},
    )


def _against_full(wanted: Problem) -> tuple[float, float, int]:
    """Seconds of the plan and of HiGHS on the full programme, which must cost the same, and its columns."""
    planning, plan = timed_once(lambda: solve(wanted))
    solving, (whole, columns) = timed_once(lambda: full(wanted))
    if abs(plan.cost_usd / whole - 1) > 1e-6:
        raise SystemExit(f"the plan costs {plan.cost_usd}, the full programme {whole}: they must be the same")
    return planning, solving, columns


def _words(planning: float, solving: float, columns: int) -> str:
    return f"{planning:.2f} s; HiGHS on {columns:,} columns {solving:.2f} s, {solving / planning:.1f} times as long"


if __name__ == "__main__":
    main()
