"""A refresh of ten thousand on-demand and spot prices, from answers as AWS writes them to the price book.

Times are processor seconds: what else the machine does is not in them.
"""

from __future__ import annotations

import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.harness import report
from broker.model.offers import Tier
from pricing.catalog_source import CatalogSource
from pricing.live.answer import Answer, Asked, Part
from pricing.live.history import PriceHistory
from pricing.live.refresh import refresh
from pricing.live.source import LiveSource
from pricing.sources.aws.offers import on_demand, spot
from pricing.sources.aws.shapes import Shape

REGIONS, TYPES, ZONES = 50, 100, 3
GPUS = (("L4", 0.8), ("A10G", 1.0), ("L40S", 1.9), ("A100-40GB", 2.8), ("H100", 6.9))
DAYS = 10
START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Recorded:
    """A provider whose answers were recorded: what is timed is what becomes of them."""

    name = "aws"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._shapes = {sku: shape for sku, shape, _ in machines()}
        self._listed = {region: [product(sku, usd, region) for sku, _, usd in machines()] for region in regions()}
        self.bytes = sum(len(text) for texts in self._listed.values() for text in texts)
        self.answers_json = [text for texts in self._listed.values() for text in texts]
        self.at = START

    def spot_entries(self, region: str) -> list[dict[str, Any]]:
        return [
            {
                "InstanceType": sku,
                "AvailabilityZone": f"{region}{zone}",
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{usd * self._random.uniform(0.3, 0.6):.4f}",
                "Timestamp": self.at,
            }
            for sku, _, usd in machines()
            for zone in "abc"[:ZONES]
        ]

    def answers(self, asked: Asked) -> Iterator[Answer]:
        for region in regions():
            listed, refused = on_demand(self._listed[region], self._shapes, region, asked.day)
            yield Answer(part=part(region, Tier.ON_DEMAND), offers=tuple(listed), refused=tuple(refused))
            entries = self.spot_entries(region)
            offered, refused = spot(entries, self._shapes, region, asked.day)
            yield Answer(part=part(region, Tier.SPOT), offers=tuple(offered), refused=tuple(refused))


def part(region: str, tier: Tier) -> Part:
    return Part(provider="aws", region=region, tiers=frozenset({tier}))


def regions() -> list[str]:
    return [f"region-{n}" for n in range(REGIONS)]


def machines() -> Iterator[tuple[str, Shape, float]]:
    for n in range(TYPES):
        model, usd = GPUS[n % len(GPUS)]
        count = (1, 2, 4, 8)[n // len(GPUS) % 4]
        sku = f"t{n}.xlarge"
        yield sku, Shape(sku=sku, cpus=16, memory_gib=64, gpu_model=model, gpu_count=count), usd * count


def product(sku: str, usd: float, region: str) -> str:
    """A product of the Price List; true ones have some forty attributes more."""
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": f"{usd:.10f}"}, "description": "per On Demand Linux"}
    attributes = {"instanceType": sku, "regionCode": region, **{f"attribute{n}": "a value" for n in range(40)}}
    terms = {"OnDemand": {"T": {"priceDimensions": {"D": dimension}, "termAttributes": {}}}}
    document = {"product": {"attributes": attributes, "sku": f"{sku}{region}"}, "terms": terms}
    return json.dumps({**document, "publicationDate": "2026-11-20T00:00:00Z"})


def timed_refresh(provider: Recorded, history: PriceHistory, known: list[Any]) -> tuple[float, float, int]:
    """Processor seconds, seconds by the clock, prices believed."""
    begun, at = time.process_time(), time.perf_counter()
    at_s = int(provider.at.timestamp())
    outcomes = list(refresh(provider, known, history, lambda: at_s, regions=regions()))
    assert not any(outcome.refused or outcome.error for outcome in outcomes)
    believed = sum(outcome.offers for outcome in outcomes)
    return time.process_time() - begun, time.perf_counter() - at, believed


def main() -> None:
    provider, catalogue = Recorded(seed=1), list(CatalogSource().offers())
    with tempfile.TemporaryDirectory() as folder:
        history = PriceHistory(Path(folder) / "prices.db")
        source = LiveSource(history.path)
        first_s, by_clock_s, offers = timed_refresh(provider, history, catalogue)
        begun = time.process_time()
        for text in provider.answers_json:
            json.loads(text)
        json_s = time.process_time() - begun
        again = []
        for _ in range(1, DAYS):
            provider.at += timedelta(days=1)
            again.append(timed_refresh(provider, history, [*catalogue, *source.offers()])[0])
        begun = time.process_time()
        dated = sum(1 for _ in source.offers())
        load_s = time.process_time() - begun
        size_mb = history.path.stat().st_size / 1e6
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report(
        f"{offers:,} prices",
        {
            "the first refresh": f"{first_s:.1f} s; by the clock {by_clock_s:.1f} s",
            f"one with {DAYS - 1} days of history": f"{again[-1]:.1f} s",
            "json.loads of the same on-demand answers alone": f"{json_s:.2f} s",
            f"reading {dated:,} dated prices": f"{load_s:.1f} s",
            "on disk": f"{size_mb:.0f} MB",
            "peak memory": f"{peak_mib:.0f} MiB",
        },
        {
            "first_s": first_s,
            "first_by_clock_s": by_clock_s,
            "last_s": again[-1],
            "json_s": json_s,
            "load_s": load_s,
            "mb": size_mb,
        },
    )


if __name__ == "__main__":
    main()
