"""Providers asked for their prices again and again; what fails is said, and the old price stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import structlog

from broker.decide.backoff import doubling
from broker.live_prices import LivePrices
from broker.model.errors import BrokerError
from broker.model.money import NS_PER_S
from broker.model.price_news import PriceNews
from broker.ports import Clock
from broker.run.aside import aside
from broker.run.settings.price_refresh import PriceRefreshSettings

log = structlog.get_logger()

AGAIN_S: Final = 900.0  # after the first question in vain; then twice as long each time, up to the usual time
FIRST_S: Final = 60.0  # within which one that is overdue is asked after the start


class AskingPrices:
    """Asks each provider that the configuration names."""

    def __init__(
        self,
        settings: PriceRefreshSettings,
        prices: LivePrices,
        clock: Clock,
        took_over: Callable[[], Awaitable[None]],
        chance: Random,
    ) -> None:
        """`took_over` is called when there are new prices."""
        self.settings = settings
        self._prices, self._clock = prices, clock
        self._took_over = took_over
        self._chance = chance
        self.failing: dict[str, str] = {}  # provider -> why it gave no answer when it was last asked

    async def run(self) -> None:
        """Asks until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for provider in self.settings.providers:
                tasks.create_task(self._again_and_again(provider))

    async def _again_and_again(self, provider: str) -> None:
        failures = 0
        wait_s = await asyncio.to_thread(self._first_wait_s, provider)
        while True:
            await asyncio.sleep(wait_s)
            failures = 0 if await self.ask(provider) else failures + 1
            wait_s = pause_s(self.settings, failures, self._chance.random())

    def _first_wait_s(self, provider: str) -> float:
        try:
            last_s = self._prices.last_asked_s(provider)
        except BrokerError as error:
            log.warning("when prices were last asked for is not known", provider=provider, error=str(error))
            last_s = None
        now_s = self._clock.now_ns() / NS_PER_S
        since_s = now_s - last_s if last_s is not None else self.settings.every_s
        due_s = pause_s(self.settings, 0, self._chance.random()) - since_s
        return max(due_s, FIRST_S * self._chance.random())

    async def ask(self, provider: str) -> bool:
        """Asks one provider now and says what came of it. Whether it answered at least in part."""
        regions = self.settings.regions.get(provider, ())
        try:
            news = await aside(lambda: list(self._prices.ask(provider, regions, self.settings.project)))
            if any(each.changed for each in news):
                await self._took_over()
        except BrokerError as error:
            news = [PriceNews(part=provider, error=error)]
        for each in news:
            _say(each)
        errors = dict.fromkeys(str(each.error) for each in news if each.error)
        self.failing.pop(provider, None)
        if errors:
            self.failing[provider] = "; ".join(errors)
        return any(each.error is None for each in news)


def pause_s(settings: PriceRefreshSettings, failures: int, chance: float) -> float:
    """Seconds to the next question after so many in vain; `chance` in [0, 1) says where in the jitter it falls."""
    usual_s = settings.every_s * (1 + settings.jitter * (2 * chance - 1))
    return doubling(AGAIN_S * (1 + chance), failures - 1, usual_s) if failures else usual_s


def _say(news: PriceNews) -> None:
    if news.error is not None:
        log.warning("no prices; the old ones stay", part=news.part, error=str(news.error))
        return
    log.info("prices", part=news.part, offers=news.offers, changed=news.changed, refused=len(news.refused))
    for each in news.refused:
        log.warning("a price was not believed; the old one stays", part=news.part, refused=each)
