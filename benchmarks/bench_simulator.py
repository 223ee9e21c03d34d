"""How long the broker's policy takes on 90 days of five-minute steps, against Cackle's dynamic strategy in numpy; and
how long a plan of a year of hours takes, against HiGHS on the full programme built as a sparse matrix."""

from __future__ import annotations

import time
from collections.abc import Callable

import highspy
import numpy as np
import scipy.sparse

from benchmarks.harness import report
from broker.decide import fluid
from broker.decide.demand import demand
from broker.decide.market import SCENARIOS
from broker.decide.plan import Kind, Offer, Problem, Scenario, solve
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


def problem() -> Problem:
    """A year of hours, four scenarios of demand, eight offers."""
    rng = np.random.default_rng(1)
    hours = np.arange(8_760)
    daily = 40 + 25 * np.sin(hours / 24 * 2 * np.pi) + 8 * np.sin(hours / 8_760 * 2 * np.pi)
    courses = [np.round(np.maximum(daily + rng.normal(0, 8, len(hours)), 0)) for _ in range(4)]
    committed = [Offer(name=f"c{n}", kind=Kind.COMMITTED, usd_per_gpu_hour=1.4 + n / 10, max_gpus=15) for n in range(3)]
    held = [Offer(name=f"h{n}", kind=Kind.HELD, usd_per_gpu_hour=2.4 + n / 10, max_gpus=20) for n in range(3)]
    burst = [
        Offer(name=f"s{n}", kind=Kind.SERVERLESS, usd_per_gpu_hour=4.5 + n, max_gpus=None if n else 30)
        for n in range(2)
    ]
    scenarios = tuple(Scenario(gpus=course, weight=0.25) for course in courses)
    return Problem(offers=(*committed, *held, *burst), scenarios=scenarios, step_hours=1.0, block_steps=8_760)


def full(wanted: Problem) -> float:
    """The cost that HiGHS finds for the programme with a variable for each offer, hour and scenario."""
    steps, offers = wanted.steps, wanted.offers
    costs, uppers, columns = [], [], []
    for offer in offers:
        most = np.inf if offer.max_gpus is None else offer.max_gpus
        if offer.kind is Kind.COMMITTED:
            costs.append(offer.usd_per_gpu_hour * wanted.hours)
            uppers.append(most)
            columns.append(scipy.sparse.csc_matrix(np.ones((steps * len(wanted.scenarios), 1))))
            continue
        for number, scenario in enumerate(wanted.scenarios):
            block = np.zeros((len(wanted.scenarios), 1))
            block[number] = 1
            per_step = scipy.sparse.identity(steps) if offer.kind is Kind.SERVERLESS else np.ones((steps, 1))
            hours = 1.0 if offer.kind is Kind.SERVERLESS else wanted.hours
            columns.append(scipy.sparse.kron(block, per_step, format="csc"))
            costs += [offer.usd_per_gpu_hour * hours * scenario.weight] * columns[-1].shape[1]
            uppers += [most] * columns[-1].shape[1]
    matrix = scipy.sparse.hstack(columns, format="csc")
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.shape[1], matrix.shape[0]
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.array(costs), np.zeros(lp.num_col_), np.array(uppers)
    lp.row_lower_ = np.concatenate([scenario.gpus for scenario in wanted.scenarios])
    lp.row_upper_ = np.full(lp.num_row_, np.inf)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.passModel(lp)
    solver.run()
    return float(solver.getInfo().objective_function_value)


def main() -> None:
    """Runs both and reports the ratios."""
    ours, cackle = simulation()
    wanted = problem()
    begun = time.perf_counter()
    planned = solve(wanted).cost_usd
    planning = time.perf_counter() - begun
    begun = time.perf_counter()
    whole = full(wanted)
    solving = time.perf_counter() - begun
    if abs(planned / whole - 1) > 1e-6:
        raise SystemExit(f"the plan costs {planned}, the full programme {whole}: they must be the same")
    report(
        "simulation and plan",
        {
            "90 days, the broker's policy": f"{ours:.2f} s",
            "90 days, Cackle's dynamic strategy": f"{cackle:.2f} s, {cackle / ours:.1f} times as long",
            "a year of hours, the plan": f"{planning:.2f} s",
            "a year of hours, HiGHS on the full programme": f"{solving:.2f} s, {solving / planning:.1f} times as long",
        },
        {"broker_s": ours, "cackle_s": cackle, "plan_s": planning, "full_s": solving},
    )


if __name__ == "__main__":
    main()
