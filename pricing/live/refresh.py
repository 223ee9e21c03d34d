"""Providers asked, their answers judged, and what is believed kept: one refresh of the prices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from broker.model.errors import BrokerError
from broker.model.offers import Offer
from pricing.live.answer import Answer, Asked, Failure, Part, Provider, Refused
from pricing.live.history import PriceHistory
from pricing.live.plausibility import Judge, Judged
from pricing.live.rows import day_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one question to a provider came to."""

    part: Part
    offers: int = 0  # believed
    changed: int = 0  # of these, new or at another price than before
    refused: tuple[Refused, ...] = ()
    left_out: tuple[Refused, ...] = ()
    error: BrokerError | None = None  # why there was no answer


def refresh(
    provider: Provider,
    known: Iterable[Offer],
    history: PriceHistory | None,
    now_s: Callable[[], int],
    *,
    regions: Collection[str] = (),
    skus: Collection[str] = (),
    project: str = "",
    accepted: Collection[str] = (),
) -> Iterator[Outcome]:
    """Asks one provider, part after part, and takes over what is believed of each answer at once.

    `known` are all dated prices so far, by which answers are judged. Without a `history` nothing is kept. Without
    `regions`, those are asked for in which prices of the provider are known. Raises `StoreError`.
    """
    book = list(known)
    day = day_of(now_s())
    wanted = tuple(regions) or _known_regions(book, provider.name, day)
    judge = Judge(book, day)
    asked = Asked(regions=wanted, skus=tuple(skus), project=project, day=day)
    for answer in provider.answers(asked):
        if isinstance(answer, Failure):
            yield Outcome(part=answer.part, error=answer.error)
            continue
        yield _taken(answer, judge.judged(answer, accepted), history, now_s())


def _taken(answer: Answer, judged: Judged, history: PriceHistory | None, at_s: int) -> Outcome:
    changed = 0
    if history is not None and judged.offers:
        changed = history.record(answer.part, judged.offers, len(judged.refused), at_s).changed
    return Outcome(
        part=answer.part,
        offers=len(judged.offers),
        changed=changed,
        refused=judged.refused,
        left_out=answer.left_out,
    )


def _known_regions(book: Iterable[Offer], provider: str, day: date) -> tuple[str, ...]:
    there = {offer.region for offer in book if offer.provider == provider and offer.valid_from <= day}
    return tuple(sorted(there - {"", "auto"}))
