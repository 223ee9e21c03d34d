"""Usage of a pool and prices → charges that add up, to the nanodollar, to what the pool's units cost.

A unit's cost is one growing function of time, rounded once; a charge is the difference of that function between two
moments. So it does not matter how often, or when, a pool is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Final, TypeAlias
from urllib.parse import quote

from broker.decide.tariff import DAY_NS, PriceOf, Tariff, frozen
from broker.model.errors import ExecutorError
from broker.model.money import Money
from broker.model.pools import Pool, PoolKind
from broker.model.resources import Resources
from broker.model.usage import AttemptUsage, Book, Charge, ChargeKind, ProviderEstimate, UnitUsage, UsageReport

# Shares come from floats: below this part of a unit, two of them are the same.
_FINEST_SHARE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Claim:
    """For what, and on whose account, a part of a unit is paid."""

    kind: ChargeKind
    attempt_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """A time in which a claim holds, and its nanodollars; None where the price is not known."""

    claim: _Claim
    started_ns: int
    ended_ns: int
    amount: int | None


_Shares: TypeAlias = list[tuple[_Claim, Fraction]]


def settle(
    pool: Pool,
    watermark_ns: int,
    previously_open: Sequence[UnitUsage],
    report: UsageReport,
    price_of: PriceOf,
) -> tuple[Charge, ...]:
    """Charges for what lies in [watermark, as of): the time used, and what billing adds to units that ended in it.

    A unit that was open and is not reported any more ended at the watermark. Raises ExecutorError when an attempt is
    reported to hold a unit that is not reported.
    """
    reported = {unit.unit_id for unit in report.units}
    known = {unit.unit_id: unit for unit in previously_open}
    held: dict[str, list[AttemptUsage]] = {unit_id: [] for unit_id in (*reported, *known)}
    for usage in report.attempts:
        if usage.unit_id not in held:
            raise ExecutorError(
                f"pool {pool.name}: attempt {usage.attempt_id} is reported on {usage.unit_id}, which is not reported "
                f"itself, so its cost can't be known: the executor {pool.executor} must report both"
            )
        held[usage.unit_id].append(usage)
    gone = [replace(unit, ended_ns=watermark_ns) for unit in previously_open if unit.unit_id not in reported]
    charges: list[Charge] = []
    for unit in (*report.units, *gone):
        before = known[unit.unit_id].last_attempt if unit.unit_id in known else None
        life = _Life(pool, unit, held[unit.unit_id], before, Tariff(unit, price_of))
        charges += life.charges(watermark_ns, report.as_of_ns)
    return tuple(charges)


def estimated(pool: str, estimates: Iterable[ProviderEstimate]) -> tuple[Charge, ...]:
    """What the provider itself says that units have cost, in the book of estimates; once for each unit."""
    return tuple(
        Charge(
            key="/".join(quote(part, safe="") for part in (Book.ESTIMATED, pool, one.unit_id)),
            book=Book.ESTIMATED,
            kind=ChargeKind.JOB,
            pool=pool,
            unit_id=one.unit_id,
            attempt_id=one.attempt_id,
            started_ns=one.started_ns,
            ended_ns=one.ended_ns,
            amount=one.amount,
            offer=None,
        )
        for one in estimates
    )


class _Life:
    """One unit, who held it, and what it costs."""

    def __init__(
        self, pool: Pool, unit: UnitUsage, held: list[AttemptUsage], before: str | None, tariff: Tariff
    ) -> None:
        self._pool = pool
        self._unit = unit
        self._held = sorted(held, key=lambda usage: (usage.started_ns, usage.attempt_id))
        self._before = before
        self._tariff = tariff

    def charges(self, since_ns: int, until_ns: int) -> Iterator[Charge]:
        """Those of its life in [since, until)."""
        ended_ns = self._unit.ended_ns
        end = until_ns if ended_ns is None else min(ended_ns, until_ns)
        begin = max(self._unit.started_ns, since_ns)
        for piece in _merged(self._slices(begin, end)):
            yield self._charge(piece)
        if ended_ns is not None and since_ns <= ended_ns < until_ns and (added := self._tariff.rounding(ended_ns)):
            claim = _Claim(ChargeKind.ROUNDING, self._last_before(ended_ns))
            yield self._charge(_Slice(claim=claim, started_ns=ended_ns, ended_ns=ended_ns, amount=added))

    def _slices(self, begin: int, end: int) -> Iterator[_Slice]:
        cuts = {begin, end, *range(-(-begin // DAY_NS) * DAY_NS, end, DAY_NS)}
        for usage in self._held:
            cuts |= {usage.started_ns, usage.ended_ns or end}
        cuts.add(self._unit.ready_ns if self._unit.ready_ns is not None else end)
        for start, stop in pairwise(sorted(cut for cut in cuts if begin <= cut <= end)):
            shares = self._shares(start)
            amounts = self._amounts(start, stop, [share for _, share in shares])
            for (claim, _), amount in zip(shares, amounts, strict=True):
                yield _Slice(claim=claim, started_ns=start, ended_ns=stop, amount=amount)

    def _amounts(self, start: int, stop: int, weights: list[Fraction]) -> list[int | None]:
        if self._tariff.price(start) is None:
            return [None] * len(weights)
        before = _parts(self._tariff.cost(start), weights)
        after = _parts(self._tariff.cost(stop), weights)
        return [late - early for early, late in zip(before, after, strict=True)]

    def _shares(self, at_ns: int) -> _Shares:
        """Who pays for the unit from a cut to the next, in a fixed order; shares add up to one."""
        serverless = self._pool.kind is PoolKind.SERVERLESS
        if self._unit.head:
            return [(_Claim(ChargeKind.HEAD, self._unit.caused_by), Fraction(1))]
        if self._unit.ready_ns is None or at_ns < self._unit.ready_ns:
            kind = ChargeKind.COLD_START if serverless else ChargeKind.BOOT
            return [(_Claim(kind, self._unit.caused_by), Fraction(1))]
        shares: dict[str, Fraction] = {}
        for usage in self._held:
            if usage.started_ns <= at_ns and (usage.ended_ns is None or at_ns < usage.ended_ns):
                share = dominant_share(usage.resources, self._unit.resources)
                shares[usage.attempt_id] = shares.get(usage.attempt_id, Fraction(0)) + share
        if serverless and len(shares) == 1:
            # A container is paid for the one job that it runs, whatever part of it the job uses.
            shares = dict.fromkeys(shares, Fraction(1))
        whole = max(sum(shares.values(), start=Fraction(0)), Fraction(1))
        paid: _Shares = [
            (_Claim(ChargeKind.JOB, attempt_id), share / whole) for attempt_id, share in sorted(shares.items()) if share
        ]
        if idle := 1 - sum((share for _, share in paid), start=Fraction(0)):
            kind = ChargeKind.IDLE_TAIL if serverless else ChargeKind.IDLE
            paid.append((_Claim(kind, self._last_before(at_ns)), idle))
        return paid

    def _last_before(self, at_ns: int) -> str | None:
        """Serverless: the attempt that held it last, or for which it was started. A cluster's idle time is nobody's."""
        if self._pool.kind is not PoolKind.SERVERLESS:
            return None
        return last_holder(self._held, at_ns) or self._before or self._unit.caused_by

    def _charge(self, piece: _Slice) -> Charge:
        price = self._tariff.price(max(min(piece.started_ns, piece.ended_ns - 1), self._unit.started_ns))
        claim, pool, unit_id = piece.claim, self._pool.name, self._unit.unit_id
        parts = (Book.METERED, pool, unit_id, claim.kind, claim.attempt_id or "", piece.started_ns, piece.ended_ns)
        return Charge(
            key="/".join(quote(str(part), safe="") for part in parts),
            book=Book.METERED,
            kind=claim.kind,
            pool=pool,
            unit_id=unit_id,
            attempt_id=claim.attempt_id,
            started_ns=piece.started_ns,
            ended_ns=piece.ended_ns,
            amount=Money(piece.amount) if piece.amount is not None else None,
            offer=frozen(price, self._unit.resources) if price else None,
        )


def last_holder(held: Sequence[AttemptUsage], at_ns: int) -> str | None:
    """The attempt among the holders of one unit that runs at a moment, or ran last before it; None before the first."""

    def recency(usage: AttemptUsage) -> tuple[bool, int, int, str]:
        runs = usage.ended_ns is None or usage.ended_ns > at_ns
        return runs, 0 if runs else usage.ended_ns or 0, usage.started_ns, usage.attempt_id

    begun = [usage for usage in held if usage.started_ns <= at_ns]
    return max(begun, key=recency).attempt_id if begun else None


def dominant_share(held: Resources, whole: Resources) -> Fraction:
    """The largest part of GPUs, CPUs or memory that is held: what it keeps from others. At most one."""
    pairs = ((held.gpus, whole.gpus), (held.cpus, whole.cpus), (held.memory_bytes, whole.memory_bytes))
    shares = [Fraction(part) / Fraction(of) for part, of in pairs if of]
    return min(max(shares, default=Fraction(0)), Fraction(1)).limit_denominator(_FINEST_SHARE)


def _parts(total: int, weights: list[Fraction]) -> list[int]:
    """Whole parts of `total` that add up to it and of which none shrinks when `total` grows.

    Each in turn takes its share of what is left, rounded down. (The method of the largest remainder would take
    nanodollars back as the total grows, and charges would be negative.)
    """
    parts, left = [], Fraction(1)
    for weight in weights[:-1]:
        parts.append(int(total * weight / left))
        total, left = total - parts[-1], left - weight
    return [*parts, total]


def _merged(slices: Iterator[_Slice]) -> Iterator[_Slice]:
    """Slices of the same claim that follow each other become one, within a day: a day has one price."""
    last: dict[_Claim, _Slice] = {}
    for piece in slices:
        before = last.get(piece.claim)
        if before and before.ended_ns == piece.started_ns and piece.started_ns % DAY_NS:
            amount = before.amount + piece.amount if before.amount is not None and piece.amount is not None else None
            last[piece.claim] = replace(before, ended_ns=piece.ended_ns, amount=amount)
        else:
            if before:
                yield before
            last[piece.claim] = piece
    yield from last.values()
