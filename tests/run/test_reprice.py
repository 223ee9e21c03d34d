"""A running broker takes new prices over; what is broken leaves the old ones."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from broker.decide.price_book import PriceBook, unit_price
from broker.model.errors import PriceMissing
from broker.run.build import build_broker
from broker.run.settings import load_settings
from pricing.catalog_source import CatalogSource
from pricing.live.answer import Part
from pricing.live.history import PriceHistory
from pricing.live.location import prices_file
from simulator.prices import known_offers

OFFER = "aws/ec2/p5.48xlarge/us-east-1/on_demand"
CONFIG = f"""
[pools.aws]
executor = "local_serverless"
kind = "serverless"
cpus = 1
memory = "1GiB"
accelerators = {{ H100 = 1 }}
emulated = true
price = {{ provider = "modal", product = "functions" }}

[pools.own]
executor = "ray"
kind = "cluster"
cpus = 1
memory = "1GiB"
accelerators = "H100:8"
emulated = true
price = "{OFFER}"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BROKER_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    path = tmp_path / "broker.toml"
    path.write_text(CONFIG)
    return path


def asked(usd: str, offer_id: str = OFFER) -> None:
    """As if the provider had been asked just now."""
    known = next(offer for offer in CatalogSource().offers() if offer.id == offer_id)
    part = Part(provider="aws", region="us-east-1", tiers=frozenset({known.tier}))
    at = datetime.now(UTC)
    now = replace(known, usd_per_hour=Decimal(usd), valid_from=at.date(), source="live: a test")
    PriceHistory(prices_file()).record(part, [now], 0, int(at.timestamp()))


async def test_new_prices_are_taken_over_while_it_runs(config: Path) -> None:
    broker = build_broker(load_settings(config))
    assert broker.repricing is not None
    own, today = broker.pools["own"], datetime.now(UTC).date()

    def node() -> Decimal:
        found = unit_price(own.as_now.offers, own.pool.unit, today)
        assert found is not None
        return found.usd_per_hour

    assert node() == Decimal("55.04")
    before = broker.pools["aws"].pool
    asked("50")
    await broker.repricing.look()
    assert node() == Decimal(50)
    assert broker.pools["aws"].pool is before
    yesterdays = unit_price(own.pool.offers, own.pool.unit, datetime(2026, 11, 1, tzinfo=UTC).date())
    assert yesterdays is not None and yesterdays.usd_per_hour == Decimal("55.04")


async def test_what_is_proposed_and_planned_is_at_new_prices_too(config: Path) -> None:
    broker = build_broker(load_settings(config))
    assert broker.repricing is not None
    commitment = OFFER.replace("on_demand", "commit_3y")

    def proposed() -> Decimal:
        return PriceBook(broker.autopilot.book).at(commitment, datetime.now(UTC).date()).usd_per_hour

    before = proposed()
    asked("24", commitment)
    await broker.repricing.look()
    assert (before, proposed()) == (Decimal("20.6951"), Decimal(24))
    assert PriceBook(known_offers()).at(commitment, datetime.now(UTC).date()).usd_per_hour == 24


async def test_prices_that_cannot_be_read_leave_the_old_ones(config: Path) -> None:
    broker = build_broker(load_settings(config))
    assert broker.repricing is not None
    before = broker.pools["own"].pool
    prices_file().write_bytes(b"no database" * 1000)
    with pytest.raises(PriceMissing, match="move it away"):
        await broker.repricing.look()
    assert broker.pools["own"].pool is before
