"""Providers asked by schedule: when, with what, what is said of failures, and that the old prices stay."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broker.live_prices import LivePrices
from broker.model.errors import InvalidInput, Misconfigured, StoreError, Unreachable
from broker.model.money import NS_PER_S
from broker.model.price_news import PriceNews
from broker.run.money.asking_prices import AGAIN_S, AskingPrices, pause_s
from broker.run.plugins import live_prices
from broker.run.settings import load_settings
from broker.run.settings.price_refresh import PriceRefreshSettings

AWS = PriceRefreshSettings(providers=("aws",), regions={"aws": ("eu-west-1",)})
NOW_S = 1_795_000_000


class Now:
    def now_ns(self) -> int:
        return NOW_S * NS_PER_S


@dataclass
class Prices:
    """A price source that answers what it is told."""

    news: list[PriceNews | Exception] = field(default_factory=list)
    last_s: int | None = None
    asked: list[tuple[str, Sequence[str], str]] = field(default_factory=list)
    providers = ("aws", "modal")

    def last_asked_s(self, provider: str) -> int | None:
        return self.last_s

    def ask(self, provider: str, regions: Sequence[str] = (), project: str = "") -> Iterator[PriceNews]:
        self.asked.append((provider, regions, project))
        for each in self.news:
            if isinstance(each, Exception):
                raise each
            yield each


class Taken:
    count = 0

    async def __call__(self) -> None:
        self.count += 1


async def asked(*news: PriceNews | Exception, settings: PriceRefreshSettings = AWS) -> tuple[bool, AskingPrices, Taken]:
    taken = Taken()
    asking = AskingPrices(settings, Prices(list(news)), Now(), taken, Random(1))
    return await asking.ask("aws"), asking, taken


async def test_new_prices_are_taken_over_at_once_and_the_same_ones_are_nothing_new() -> None:
    good, asking, taken = await asked(PriceNews(part="aws eu-west-1", offers=4, changed=1))
    assert (good, taken.count, asking.failing) == (True, 1, {})
    _, _, same = await asked(PriceNews(part="aws eu-west-1", offers=4))
    assert same.count == 0


async def test_what_fails_is_said_and_is_no_reason_to_stop() -> None:
    lost, denied = Unreachable("no route to aws"), Misconfigured("ec2:DescribeSpotPriceHistory is missing")
    with capture_logs() as logs:
        good, asking, _ = await asked(
            PriceNews(part="aws spot", error=denied),
            PriceNews(part="aws on_demand", offers=1, refused=("aws/x: tenfold",)),
        )
    assert good and asking.failing == {"aws": str(denied)}
    assert [each.get("error") or each.get("refused") for each in logs] == [str(denied), 1, "aws/x: tenfold"]
    for news in (PriceNews(part="aws", error=lost), StoreError("the disk is full")):
        good, asking, taken = await asked(news)
        assert not good and asking.failing and not taken.count
    assert asking.failing == {"aws": "the disk is full"}


async def test_each_provider_is_asked_again_and_again_where_the_configuration_says(monkeypatch) -> None:
    slept: list[float] = []
    enough = asyncio.Event()

    really, mine = asyncio.sleep, asyncio.get_running_loop()

    async def sleep(seconds: float) -> None:
        if asyncio.get_running_loop() is not mine:  # of a library, in a thread of its own
            return await really(seconds)
        slept.append(seconds)
        if len(slept) > 3:
            enough.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("broker.run.money.asking_prices.asyncio.sleep", sleep)
    prices = Prices([Unreachable("away")], last_s=NOW_S - 100)
    asking = AskingPrices(replace(AWS, jitter=0.0), prices, Now(), Taken(), Random(1))
    running = asyncio.create_task(asking.run())
    async with asyncio.timeout(60.0):
        await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert prices.asked == [("aws", ("eu-west-1",), "")] * 3
    assert slept[0] == AWS.every_s - 100
    assert AGAIN_S <= slept[1] < slept[2] < slept[3] <= AWS.every_s


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True), st.floats(0, 0.9), st.sampled_from([300.0, 21_600.0]))
def test_pauses_are_around_what_was_configured(failures: int, chance: float, jitter: float, every_s: float) -> None:
    pause = pause_s(PriceRefreshSettings(every_s=every_s, jitter=jitter), failures, chance)
    assert 0 < pause <= every_s * (1 + jitter)
    if not failures:
        assert pause >= every_s * (1 - jitter) - 1e-9


def test_ours_can_be_asked_and_others_are_named() -> None:
    found = live_prices(["aws", "modal", "azure", "gcp"])
    assert isinstance(found, LivePrices)
    with pytest.raises(Misconfigured, match=r"prices\.refresh: aw can't be asked for prices; there are: aws, azure"):
        live_prices(["aws", "aw"])


def test_the_configuration_says_who_and_how_often(tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    assert load_settings(None, {}).prices == PriceRefreshSettings()
    file.write_text('[prices]\nrefresh = ["AWS", "gcp", "aws"]\nevery = "1h"\nregions = {aws = ["eu-west-1"]}\n')
    made = load_settings(file, {}).prices
    assert (made.providers, made.every_s, made.regions) == (("aws", "gcp"), 3600.0, {"aws": ("eu-west-1",)})
    for wrong, said in (('every = "1m"', "at least 5m"), ("jitter = 1", "between 0 and 0.9"), ("often = 1", "often")):
        file.write_text(f"[prices]\n{wrong}\n")
        with pytest.raises(InvalidInput, match=said):
            load_settings(file, {})
