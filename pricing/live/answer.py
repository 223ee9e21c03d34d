"""What a provider was asked and what it answered: offers, what makes none of them, or why there is no answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from broker.model.errors import BrokerError
from broker.model.offers import Offer, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a refresh is to cover."""

    regions: tuple[str, ...]  # the provider's names; empty: wherever it gives prices without being asked for one
    skus: tuple[str, ...] = ()  # machines besides those with GPUs
    project: str = ""  # Google Cloud: whose machine types are listed; "" takes that of the credentials
    day: date  # on which it is asked: the answer's prices are as of then


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One question to a provider; each stands and fails alone."""

    provider: str
    region: str  # "" for all
    tiers: frozenset[Tier]

    def __str__(self) -> str:
        tiers = ", ".join(tier for tier in Tier if tier in self.tiers)
        return " ".join(word for word in (self.provider, self.region, tiers) if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something in an answer that is no price, or none to believe, and why. The old price stays."""

    thing: str  # an offer's id, or the provider's name for it
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered to one question."""

    part: Part
    offers: tuple[Offer, ...]
    refused: tuple[Refused, ...] = ()
    left_out: tuple[Refused, ...] = ()  # nothing is wrong with these: they are no offers of the broker's kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer. Nothing of it is taken over."""

    part: Part
    error: BrokerError  # Misconfigured: a person must act; Unreachable: it may be asked again


class Provider(Protocol):
    """A provider that can be asked for its prices."""

    name: str

    def answers(self, asked: Asked) -> Iterator[Answer | Failure]:
        """Asks, part after part, on-demand prices before those that are judged by them."""
        ...
