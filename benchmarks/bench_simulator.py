"""How long the broker's policy takes on 90 days of five-minute steps, against Cackle's dynamic strategy in numpy."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.harness import report
from broker.decide import fluid
from broker.decide.demand import demand
from broker.decide.market import SCENARIOS
from broker.decide.workload import Workload
from simulator.policies import POLICIES
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


def main() -> None:
    """Runs both and reports the ratio."""
    ours, cackle = simulation()
    report(
        "simulation",
        {
            "90 days, the broker's policy": f"{ours:.2f} s",
            "90 days, Cackle's dynamic strategy": f"{cackle:.2f} s, {cackle / ours:.1f} times as long",
        },
        {"broker_s": ours, "cackle_s": cackle},
    )


if __name__ == "__main__":
    main()
