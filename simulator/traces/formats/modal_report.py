"""Modal's usage, `modal billing report --show-resources -r h --csv` → jobs: what each app held in each interval.

The report has dollars. They become GPU-hours by the price of Modal's that was valid then; the broker's price book has
it. An app that held several GPUs, or one for a part of an hour, is a job that held as many on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from broker.model.offers import Offer, Tier
from simulator.prices import known_offers
from simulator.traces.formats.source import Source, jobs

COLUMNS = ("Object ID", "Description", "Interval Start", "Resource", "Cost")
NO_GPU = ("cpu", "memory", "volume", "disk", "storage", "egress")
HOUR_S, DAY_S = 3_600.0, 86_400.0
DATE = 10  # characters of an interval's start where it is a day


def modal_report(source: Source) -> pd.DataFrame:
    """Rows of GPUs; those of CPUs, memory and storage are left out. Raises `InvalidInput` with the line."""
    prices, pieces = _prices(), []
    for piece in source.separated(",", COLUMNS):
        resource = piece["Resource"].str.strip()
        held = piece[~resource.str.lower().str.startswith(NO_GPU)]
        began, paid = source.seconds(held, "Interval Start"), source.numbers(held, "Cost")
        lasts = np.where(held["Interval Start"].str.len() == DATE, DAY_S, HOUR_S)
        models = [_model(name) for name in held["Resource"]]
        hourly = [_price(source, prices, model, began[at], held.index[at] + 2) for at, model in enumerate(models)]
        gpus = paid / np.array(hourly, np.float64) / (lasts / HOUR_S)
        pieces.append(jobs(began, lasts, gpus, user=held["Description"], kind="modal", gpu_type=models))
    return source.table(pieces)


def _model(resource: str) -> str:
    """The price book's name of a GPU: Nvidia H100 → H100, A100 80GB → A100-80GB."""
    words = resource.strip().upper().replace("NVIDIA", "").replace("GPU", "").replace("(", " ").replace(")", " ")
    name = "-".join(words.replace("_", " ").replace("-", " ").split())
    return "A100-40GB" if name == "A100" else name


def _price(source: Source, prices: Mapping[str, list[Offer]], model: str, at_s: float, line: int) -> float:
    """Of a GPU-hour at a time; before the first price that is known, that one."""
    offers = prices.get(model)
    if offers is None:
        known = ", ".join(sorted(prices))
        raise source.wrong(f"Modal has no price of a {model} here; of {known}", line=line, column="Resource")
    day: date = datetime.fromtimestamp(at_s, UTC).date()
    valid = [offer for offer in offers if offer.valid_from <= day] or offers[:1]
    return float(valid[-1].usd_per_hour)


def _prices() -> Mapping[str, list[Offer]]:
    """Modal's offers of each GPU, oldest first."""
    found: dict[str, list[Offer]] = {}
    for offer in sorted(known_offers(), key=lambda each: each.valid_from):
        if offer.provider == "modal" and offer.tier is Tier.SERVERLESS and offer.gpu_model:
            found.setdefault(offer.gpu_model.upper(), []).append(offer)
    return found
