"""Jobs with a deadline on recorded spot availability: what each rule costs, against running on demand.

    .venv/bin/python benchmarks/bench_spot.py TRACE.csv.gz…

Without traces there is nothing to play: those of the docs are SkyPilot's (skypilot-org/spot-traces).
"""

import sys
from pathlib import Path

from broker.decide.spot import SpotRule
from simulator.jobs.availability import load
from simulator.virtual.spot_deadlines import Case, played

SLACKS = (1.15, 1.3, 1.6, 2.0)


def main(files: list[str]) -> None:
    if not files:
        print("no traces given: skipped")
        return
    print("| trace | there | " + " | ".join(f"{slack:g}: cheapest | uniform" for slack in SLACKS) + " | late |")
    print("|---" * (3 + 2 * len(SLACKS)) + "|")
    for file in files:
        levels = load(file, 1)
        spans = [*levels.time_s[1:], levels.period_s] - levels.time_s
        cells, late, jobs = [], 0, 0
        for slack in SLACKS:
            for rule in SpotRule:
                got = played(levels, Case(slack=slack), rule)
                cells.append(f"{got.cost:.2f}")
                late, jobs = late + got.late, jobs + got.jobs
        name = Path(file).name.removesuffix(".csv.gz")
        there = float((spans * levels.nodes).sum() / levels.period_s)
        print(f"| {name} | {there:.0%} | {' | '.join(cells)} | {late} of {jobs} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
