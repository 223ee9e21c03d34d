"""What pools in virtual time have used → charges, by the function that charges what the live broker uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from broker.decide.charge import settle
from broker.decide.price_book import price_in
from broker.decide.tariff import Price, PriceOf
from broker.model.money import ZERO, Money
from broker.model.times import day_of
from broker.model.usage import AttemptUsage, Charge, ChargeKind, UnitUsage
from simulator.virtual.pool import SimPool

Spent = Mapping[tuple[str, ChargeKind], Money]


class Ledger:
    """Charges, summed by pool and kind. Raises ValueError for a pool without a price: simulated dollars need one."""

    def __init__(self, pools: Iterable[SimPool], began_ns: int, charged: Callable[[Charge], None]) -> None:
        self._pools = list(pools)
        self._charged = charged
        self._watermark_ns = began_ns
        self._open: dict[str, list[UnitUsage]] = {each.pool.name: [] for each in self._pools}
        self._spent: defaultdict[tuple[str, ChargeKind], Money] = defaultdict(lambda: ZERO)
        self.of_job: defaultdict[str, Money] = defaultdict(lambda: ZERO)

    @property
    def spent(self) -> Spent:
        """What was charged, by what it was for."""
        return dict(self._spent)

    def settle(self, now_ns: int) -> None:
        """Charges all pools up to now."""
        for each in self._pools:
            name, report = each.pool.name, each.usage()
            report = replace(report, as_of_ns=now_ns)
            for charge in settle(each.pool, self._watermark_ns, self._open[name], report, _prices(each)):
                if charge.amount is None:
                    raise ValueError(f"pool {name} has no price")
                self._charged(charge)
                self._spent[name, charge.kind] += charge.amount
                if charge.attempt_id:
                    self.of_job[charge.attempt_id.rpartition("-a")[0]] += charge.amount
            last = _last_holders(report.attempts)
            before = {unit.unit_id: unit.last_attempt for unit in self._open[name]}
            self._open[name] = [
                replace(unit, last_attempt=last.get(unit.unit_id) or before.get(unit.unit_id))
                for unit in report.units
                if unit.ended_ns is None
            ]
        self._watermark_ns = now_ns


def _last_holders(attempts: Iterable[AttemptUsage]) -> dict[str, str]:
    ordered = sorted(attempts, key=lambda usage: (usage.ended_ns is None, usage.ended_ns or 0, usage.started_ns))
    return {usage.unit_id: usage.attempt_id for usage in ordered}


def _prices(each: SimPool) -> PriceOf:
    found: dict[object, Price | None] = {}

    def price_of(unit: UnitUsage, at_ns: int) -> Price | None:
        day = day_of(at_ns)
        key = (unit.resources, day)
        if key not in found:
            found[key] = price_in(each.pool, unit.resources, day)
        return found[key]

    return price_of
