import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.price_book import PriceBook
from broker.model.errors import PriceMissing, StoreError
from broker.model.offers import Offer, Tier
from pricing.checks import CHECKS_OF_LIVE, problems
from pricing.live.answer import Part
from pricing.live.history import PriceHistory
from pricing.live.rows import dated, day_of
from pricing.live.source import LiveSource
from tests.pricing.offers import offer, serverless

DAY_S = 86_400
NOON_S = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp())
PART = Part(provider="aws", region="us-east-1", tiers=frozenset({Tier.ON_DEMAND}))


@pytest.fixture
def history(tmp_path: Path) -> PriceHistory:
    return PriceHistory(tmp_path / "state" / "prices.db")


def record(history: PriceHistory, at_s: int, *offers: Offer) -> int:
    now = [replace(each, valid_from=day_of(at_s)) for each in offers]
    return history.record(PART, now, 0, at_s).changed


def book(history: PriceHistory) -> list[tuple[str, Decimal]]:
    return [(f"{each.valid_from:%d}", each.usd_per_hour) for each in dated(history.prices())]


def test_what_is_kept_comes_back_whole(history: PriceHistory) -> None:
    kept = [offer(note="a, note"), serverless(), offer(sku="x", cpus=None, memory_gib=None, gpu_model="", gpu_count=0)]
    assert record(history, NOON_S, *kept) == 3
    back = list(LiveSource(history.path).offers())
    assert sorted(back, key=lambda each: each.id) == sorted(
        (replace(each, valid_from=day_of(NOON_S)) for each in kept), key=lambda each: each.id
    )


def test_a_price_that_stays_is_one_row_and_is_as_of_the_last_look(history: PriceHistory) -> None:
    for days in range(5):
        assert record(history, NOON_S + days * DAY_S, offer()) == (days == 0)
    assert len(history.prices()) == 1
    assert book(history) == [("01", Decimal("6.88")), ("05", Decimal("6.88"))]


def test_a_new_price_ends_the_old_one(history: PriceHistory) -> None:
    record(history, NOON_S, offer())
    record(history, NOON_S + 3 * DAY_S, offer())
    assert record(history, NOON_S + 4 * DAY_S, offer(usd_per_hour=Decimal(7))) == 1
    assert book(history) == [("01", Decimal("6.88")), ("04", Decimal("6.88")), ("05", Decimal(7))]
    assert PriceBook(dated(history.prices())).at(offer().id, day_of(NOON_S + 2 * DAY_S)).usd_per_hour == Decimal("6.88")


def test_of_two_prices_of_a_day_the_book_has_the_later_and_the_history_both(history: PriceHistory) -> None:
    record(history, NOON_S, offer())
    record(history, NOON_S + 60, offer(usd_per_hour=Decimal(7)))
    assert book(history) == [("01", Decimal(7))]
    assert [each.offer.usd_per_hour for each in history.prices(offer().id)] == [Decimal("6.88"), Decimal(7)]


def test_another_note_is_no_other_price(history: PriceHistory) -> None:
    record(history, NOON_S, offer())
    assert record(history, NOON_S + 60, offer(note="another zone")) == 0
    assert [each.offer.note for each in history.prices()] == ["another zone"]


def test_a_clock_set_back_loses_nothing(history: PriceHistory) -> None:
    record(history, NOON_S, offer())
    record(history, NOON_S - DAY_S, offer(usd_per_hour=Decimal(7)))
    record(history, NOON_S - DAY_S, offer(usd_per_hour=Decimal(7)))
    assert [each.offer.usd_per_hour for each in history.prices()] == [Decimal("6.88"), Decimal(7)]
    assert book(history) == [("01", Decimal(7))]


def test_the_last_refresh_of_each_part(history: PriceHistory) -> None:
    spot = replace(PART, tiers=frozenset({Tier.SPOT}))
    history.record(PART, [], 3, NOON_S)
    history.record(PART, [offer()], 1, NOON_S + 60)
    history.record(spot, [], 0, NOON_S)
    found = [(each.tiers, each.at_s - NOON_S, each.offers, each.refused) for each in history.last_refreshes()]
    assert found == [("on_demand", 60, 1, 1), ("spot", 0, 0, 0)]


def test_the_source_has_what_was_kept_since_it_last_looked(history: PriceHistory) -> None:
    source = LiveSource(history.path)
    assert source.offers() == ()
    record(history, NOON_S, offer())
    first = source.offers()
    assert source.offers() is first
    record(history, NOON_S + DAY_S, offer(usd_per_hour=Decimal(7)))
    assert [each.usd_per_hour for each in source.offers()] == [Decimal("6.88"), Decimal(7)]
    assert LiveSource(history.path.with_name("another.db")).offers() == ()


def test_nothing_asked_is_no_file_and_no_price(history: PriceHistory) -> None:
    assert history.prices() == [] and history.last_refreshes() == []
    assert not history.path.exists()


def test_two_refreshes_at_once_lose_nothing(history: PriceHistory) -> None:
    def work(who: str) -> None:
        for n in range(10):
            record(PriceHistory(history.path), NOON_S + n, offer(sku=f"{who}{n}"), offer(usd_per_hour=Decimal(7)))

    with ThreadPoolExecutor(2) as workers:
        list(workers.map(work, "ab"))
    assert len(history.prices()) == 21
    with sqlite3.connect(history.path) as db:
        assert db.execute("SELECT count(*) FROM refresh").fetchone() == (20,)
    db.close()


def test_all_of_an_answer_or_nothing(history: PriceHistory) -> None:
    def breaking() -> Iterator[Offer]:
        yield offer()
        raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        history.record(PART, breaking(), 0, NOON_S)
    assert history.prices() == [] and history.last_refreshes() == []


def test_a_damaged_file_is_named_with_what_to_do(history: PriceHistory) -> None:
    history.path.parent.mkdir()
    history.path.write_bytes(b"no database" * 1000)
    with pytest.raises(PriceMissing, match=r"prices\.db can't be used: .*; move it away and ask again"):
        list(LiveSource(history.path).offers())
    with pytest.raises(StoreError, match="move it away"):
        record(history, NOON_S, offer())


def test_a_newer_format_is_left_alone(history: PriceHistory) -> None:
    record(history, NOON_S, offer())
    with sqlite3.connect(history.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(PriceMissing, match="newer version of the broker"):
        history.prices()
    with pytest.raises(StoreError, match="newer version of the broker"):
        record(history, NOON_S, offer())


moments = st.lists(st.tuples(st.integers(1, 3 * DAY_S), st.integers(1, 3)), min_size=1, max_size=12)


@settings(max_examples=30)  # each writes a file
@given(moments)
def test_the_book_has_for_each_day_the_last_price_seen_until_then(looks: list[tuple[int, int]]) -> None:
    at_s, seen = NOON_S, {}
    with TemporaryDirectory() as folder:
        history = PriceHistory(Path(folder) / "prices.db")
        for after_s, usd in looks:
            at_s += after_s
            record(history, at_s, offer(usd_per_hour=Decimal(usd)))
            seen[day_of(at_s)] = Decimal(usd)
        offers = list(dated(history.prices()))
    assert not problems(offers, day_of(at_s), CHECKS_OF_LIVE)
    for day, usd in seen.items():
        assert PriceBook(offers).at(offer().id, day).usd_per_hour == usd
    assert max(each.valid_from for each in offers) == day_of(at_s)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from([600, 7_200, DAY_S, 4 * DAY_S]), st.integers(1, 9)), min_size=5, max_size=60))
def test_thinning_out_changes_no_day_of_the_last_five_weeks(looks: list[tuple[int, int]]) -> None:
    at_s, on_day = NOON_S, {}
    with TemporaryDirectory() as folder:
        history = PriceHistory(Path(folder) / "prices.db")
        for after_s, usd in looks:
            at_s += after_s
            record(history, at_s, offer(usd_per_hour=Decimal(usd)))
            on_day[day_of(at_s)] = Decimal(usd)
        kept = history.prices()
    dates = PriceBook(dated(kept))
    for day, usd in on_day.items():
        if (day_of(at_s) - day).days < 35:
            assert dates.at(offer().id, day).usd_per_hour == usd
    old = [each.offer.valid_from for each in kept if each.first_s < kept[-1].first_s - 36 * DAY_S]
    assert len({(day.year, day.month) for day in old}) >= len(old) - 1
    days = [each.offer.valid_from for each in kept if each.first_s < kept[-1].first_s - 8 * DAY_S]
    assert len(set(days)) == len(days)


def test_a_price_that_changes_all_the_time_keeps_few_rows(history: PriceHistory) -> None:
    """Two a day for a week, one a day for five weeks, one a month."""
    for half in range(75 * 2):
        record(history, NOON_S + half * DAY_S // 2, offer(usd_per_hour=Decimal(half + 1)))
    assert 7 * 2 + 27 <= len(history.prices()) <= 7 * 2 + 29 + 3
