"""A period in words and what to sum by → a report of what was spent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from broker.decide.spend import Period, SpendReport, parse_period, spend_report
from broker.model.errors import InvalidInput, Problem
from broker.model.query import SpendFilter
from broker.model.usage import BilledLine
from broker.run.broker import Broker
from broker.run.service.settling import Settling

_FRESH_S: Final = 1.0


class Spending:
    """Reports what was spent."""

    def __init__(self, broker: Broker, settling: Settling) -> None:
        self._broker = broker
        self._settling = settling

    async def report(self, wanted: SpendFilter, period: str | None = None) -> SpendReport:
        """What was spent, up to now. `period` in words narrows the filter's own times.

        Raises `InvalidInput` for a period or a column that does not exist.
        """
        narrowed = self._within(wanted, period) if period else wanted
        await self._settling.within(_FRESH_S)
        rows = await asyncio.to_thread(self._broker.store.spend, narrowed)
        return spend_report(rows, narrowed.by, Period(since_ns=narrowed.since_ns, until_ns=narrowed.until_ns))

    async def bill(self, wanted: SpendFilter, period: str | None = None) -> tuple[BilledLine, ...]:
        """The charges behind a report, by day, unit, job, kind and price. Raises as `report`."""
        narrowed = self._within(wanted, period) if period else wanted
        await self._settling.within(_FRESH_S)
        return await asyncio.to_thread(self._broker.store.billed, narrowed)

    def _within(self, wanted: SpendFilter, words: str) -> SpendFilter:
        try:
            period = parse_period(words, self._broker.clock.now_ns())
        except InvalidInput as error:
            raise InvalidInput(Problem(field="period", message=str(error))) from error
        begins = [ns for ns in (wanted.since_ns, period.since_ns) if ns is not None]
        ends = [ns for ns in (wanted.until_ns, period.until_ns) if ns is not None]
        return replace(wanted, since_ns=max(begins, default=None), until_ns=min(ends, default=None))
