"""A soak: a real broker with random jobs while things go wrong, held against an account of its own at the end.

`python -m tests.soak --minutes 10 --seed 7 [--store postgresql] [--keep]`; exit code 0 where nothing was found.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import time

from tests.soak.plan import plan
from tests.soak.report import Report
from tests.soak.soak import soak
from tests.soak.world import removed, world


def main() -> int:
    """Runs one, and prints what happened and what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long jobs are submitted (10)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the plan; default: a new one")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--only", help="only these faults, separated by commas; none: no faults")
    parser.add_argument(
        "--keep", action="store_true", help="keep the folder in any case; it is kept where something is wrong"
    )
    options = parser.parse_args()
    os.environ.pop("BROKER_CONFIG", None)
    wanted = plan(options.seed, options.minutes * 60, options.only.split(",") if options.only else None)
    report = Report(time.monotonic())
    report.say(
        f"seed {wanted.seed}: {len(wanted.wishes)} submissions and {len(wanted.faults)} faults in "
        f"{options.minutes:g} min on {options.store}; the clusters start"
    )
    with world(options.store) as here:
        report.say(f"the broker is up; all is in {here.folder}")
        soak(wanted, here, report, random.Random(f"{wanted.seed} clients"))
    report.end()
    if not report.wrong and not options.keep:
        removed(here)
    elif report.wrong:
        print(f"Kept to look at: {here.folder}")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
