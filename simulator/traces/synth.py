"""Seeds → workloads like those that are recorded, so that tests and newcomers need no data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

DAY_S = 86_400.0
Random = np.random.Generator


def synth(kind: str, days: float, gpus: float, seed: int) -> pd.DataFrame:
    """Jobs of a kind over some days, with about so many GPUs busy on average; the same for the same seed.

    Columns are those of our CSV. Raises ValueError for a kind that does not exist (there are `KINDS`).
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}: use {', '.join(KINDS)}")
    parts = MIXED if kind == "mixed" else {kind: 1.0}
    rng = np.random.default_rng(seed)
    tables = [KINDS[name](rng, days, gpus * share) for name, share in parts.items()]
    table = pd.concat(tables, ignore_index=True)
    table = table[table["submit_s"] < days * DAY_S].sort_values("submit_s", kind="stable", ignore_index=True)
    return table.round({"submit_s": 1, "duration_s": 1})


def training(rng: Random, days: float, gpus: float) -> pd.DataFrame:
    """Few users, sizes of powers of two, and running times with a long tail: most end in minutes, some run for days."""
    sizes = np.array([1, 2, 4, 8])
    size = rng.choice(sizes, 4_000_000 if days * gpus > 1e5 else 200_000, p=[0.6, 0.2, 0.1, 0.1])
    duration = np.minimum(np.exp(rng.normal(7.0, 2.2, len(size))), 10 * DAY_S)
    count = _enough(size * duration, days, gpus)
    submit = _by_day(rng, days, count, night=0.4, weekend=0.5)
    users = rng.zipf(1.6, count) % 12
    return _table(submit, duration[:count], size[:count], [f"user{n}" for n in users], "training")


def serving(rng: Random, days: float, gpus: float) -> pd.DataFrame:
    """Requests of people: many by day, few by night, fewer at weekends; batches of some minutes on one GPU."""
    duration = rng.gamma(4.0, 60.0, max(int(days * gpus * DAY_S / 240.0 * 1.2), 10))
    count = _enough(duration, days, gpus)
    submit = _by_day(rng, days, count, night=0.15, weekend=0.6)
    return _table(submit, duration[:count], np.ones(count), ["serving"] * count, "serving")


def sweeps(rng: Random, days: float, gpus: float) -> pd.DataFrame:
    """Arrays of like jobs, submitted together, some times a day."""
    rows: list[tuple[float, float, int, str]] = []
    wanted, held = days * gpus * DAY_S, 0.0
    while held < wanted and len(rows) < 1_000_000:
        tasks, each = int(rng.integers(8, 120)), float(np.exp(rng.normal(7.5, 0.8)))
        submit, user = float(_by_day(rng, days, 1, night=0.3, weekend=0.4)[0]), f"user{rng.integers(0, 6)}"
        for _ in range(tasks):
            rows.append((submit, each * float(np.exp(rng.normal(0.0, 0.15))), 1, user))
        held += tasks * each
    table = pd.DataFrame(rows, columns=["submit_s", "duration_s", "gpus", "user"])
    return table.assign(kind="sweep")


def bursty(rng: Random, days: float, gpus: float) -> pd.DataFrame:
    """Jobs of a minute that come in bursts, with hours of nothing between."""
    duration = rng.exponential(60.0, max(int(days * gpus * DAY_S / 60.0 * 1.2), 10))
    count = _enough(duration, days, gpus)
    bursts = rng.uniform(0, days * DAY_S, max(int(days * 6), 1))
    submit = rng.choice(bursts, count) + rng.exponential(300.0, count)
    return _table(submit, duration[:count], np.ones(count), ["batch"] * count, "burst")


KINDS: dict[str, Callable[[Random, float, float], pd.DataFrame]] = {
    "training": training,
    "serving": serving,
    "sweeps": sweeps,
    "bursty": bursty,
    "mixed": training,  # of which MIXED says the parts
}
MIXED = {"training": 0.5, "serving": 0.3, "sweeps": 0.15, "bursty": 0.05}


def _enough(gpu_seconds: npt.NDArray[np.float64], days: float, gpus: float) -> int:
    """How many of these make up the GPU time that is wanted."""
    return max(int(np.searchsorted(np.cumsum(gpu_seconds), days * gpus * DAY_S)), 1)


def _by_day(rng: Random, days: float, count: int, *, night: float, weekend: float) -> npt.NDArray[np.float64]:
    """Times of submission: more of them in the afternoon than at night, fewer at weekends."""
    hours = np.arange(int(np.ceil(days * 24)))
    rate = night + (1 - night) * np.clip(np.sin((hours % 24 - 7) / 14 * np.pi), 0, None)
    rate = rate * np.where(hours // 24 % 7 >= 5, weekend, 1.0)
    hour = rng.choice(hours, count, p=rate / rate.sum())
    return np.sort((hour + rng.random(count)) * 3_600.0)


def _table(
    submit: npt.NDArray[np.float64],
    duration: npt.NDArray[np.float64],
    gpus: npt.NDArray[np.float64],
    user: list[str],
    kind: str,
) -> pd.DataFrame:
    columns = {"submit_s": submit, "duration_s": np.maximum(duration, 1.0), "gpus": gpus.astype(int)}
    return pd.DataFrame(columns | {"user": user, "kind": kind})
