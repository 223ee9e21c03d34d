"""How long a forecast takes on 90 days of history, beside one fit of statsforecast's MSTL to it; and what each loses.

The loss is the mean pinball loss of hourly quantiles a day ahead, over the mean load; MSTL's quantiles are its own
intervals. MSTL knows daily and weekly cycles, and neither jobs nor errors of the past.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from statsforecast.models import MSTL

from benchmarks.bench_capacity import history, recorded
from benchmarks.harness import p50, report, timed
from broker.decide.demand import Demand, demand
from broker.decide.forecast import LEVELS, forecast
from broker.decide.forecast.calibration import pinball
from broker.decide.workload import Floats, Workload

DAY, HOUR, DAYS = 86_400.0, 3_600.0, 90
SHARED = Path(__file__).parents[2] / "shared" / "traces"


def ninety_days(jobs_a_day: int) -> Workload:
    """Jobs of lognormal length, more of them by day, of some sizes and users."""
    rng = np.random.default_rng(1)
    count = jobs_a_day * DAYS
    hour = rng.choice(24, count, p=np.where(np.arange(24) // 8 == 1, 2.0, 1.0) / 32)
    submit = rng.integers(0, DAYS, count) * DAY + (hour + rng.random(count)) * HOUR
    users = [f"u{n}" for n in rng.integers(0, 40, count)]
    return Workload.of(submit, rng.lognormal(8.0, 1.8, count), rng.choice([1, 2, 4, 8], count), user=users)


def mstl(levels: Floats) -> Floats:
    """Quantiles of the next day's hours, (levels, 24), from hourly levels."""
    band = [round(100 * (1 - 2 * low)) for low in LEVELS[:4]]
    model = MSTL(season_length=[24, 168])
    found = model.forecast(y=levels, h=24, level=band)
    rows = [found[f"lo-{each}"] for each in band] + [found["mean"]] + [found[f"hi-{each}"] for each in reversed(band)]
    return np.maximum(np.array(rows), 0.0)


def losses(busy: Floats, past: Workload | Demand, first: int, every: int) -> tuple[float, float]:
    """Ours and MSTL's, a day ahead of each of some midnights."""
    ours, theirs = [], []
    for day in range(first, len(busy) // 24 - 1, every):
        came = busy[day * 24 : day * 24 + 24]
        found = forecast(past, day * DAY, 24, HOUR, np.random.default_rng(1))
        ours.append(pinball(found.quantiles(LEVELS.tolist()), came))
        theirs.append(pinball(mstl(busy[: day * 24]), came))
    return float(np.mean(ours) / busy.mean()), float(np.mean(theirs) / busy.mean())


def quality(every: int) -> dict[str, tuple[float, float]]:
    """Losses on recorded clusters, and on the recorded rates of serving, which have a daily cycle."""
    found = {}
    for path in recorded():
        past = history(path)
        fine = past if isinstance(past, Demand) else demand(past, 300.0)
        busy = fine.gpus[: len(fine) // 12 * 12].reshape(-1, 12).mean(1)
        found[path.name.removesuffix(".csv.gz")] = losses(busy, past, 21, every)
    for name in ("servegen-m-large-rps", "servegen-m-small-rps"):
        rate = pd.read_csv(SHARED / f"{name}.csv.gz")["rps"].to_numpy(float)
        busy = rate[: len(rate) // 6 * 6].reshape(-1, 6).mean(1)
        found[name] = losses(busy, Demand(step_s=HOUR, gpus=busy), 9, 1)
    return found


def coverage() -> dict[str, float]:
    """Share of the last 40 days of each recorded cluster in which the calibrated 90 % band, a day ahead, held."""
    found = {}
    for path in recorded():
        past = history(path)
        busy = past if isinstance(past, Demand) else demand(past, 300.0)
        now_s = len(busy) // 288 * DAY
        held = forecast(past, now_s, 24, HOUR, np.random.default_rng(1)).coverage
        found[path.name.removesuffix(".csv.gz")] = float("nan") if held is None else held
    return found


def main() -> None:
    """Times both; with `--quality` compares what they lose, with `--coverage` says how often the 90 % band held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quality", action="store_true", help="also losses on the recorded workloads (minutes)")
    parser.add_argument("--coverage", action="store_true", help="also how often the band held on recorded clusters")
    arguments = parser.parse_args()
    rows, figures = {}, {}
    for jobs_a_day in (100, 1_000):
        jobs = ninety_days(jobs_a_day)
        levels = demand(jobs, HOUR, DAYS * DAY).gpus
        ask = partial(forecast, jobs, DAYS * DAY, 288, 300.0, np.random.default_rng(1))
        fit = partial(mstl, levels)
        begun = time.perf_counter()
        for action in (ask, fit):  # compiled code is loaded once
            action()
        first_s = time.perf_counter() - begun
        ours, theirs = p50(timed(3, ask)), p50(timed(3, fit))
        rows[f"{jobs_a_day} jobs a day"] = (
            f"{ours:.2f} s, MSTL {theirs:.2f} s: {ours / theirs:.2f} (first: {first_s:.1f} s)"
        )
        figures |= {f"forecast_s_{jobs_a_day}": ours, f"against_mstl_{jobs_a_day}": ours / theirs}
    for name, (ours, theirs) in (quality(7) if arguments.quality else {}).items():
        rows[name] = f"loss {ours:.3f}, MSTL {theirs:.3f}"
        figures |= {f"loss_{name}": ours, f"loss_mstl_{name}": theirs}
    for name, held in (coverage() if arguments.coverage else {}).items():
        rows[f"band, {name}"] = f"held {held:.3f} of the time"
        figures[f"coverage_{name}"] = held
    report("forecast of a day in steps of 5 minutes from 90 days", rows, figures)


if __name__ == "__main__":
    main()
