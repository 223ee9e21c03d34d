"""Brokers that share a store, and their leases: which of them drives a pool, and what it last said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEADER: Final = "*leader"  # the lease of what one broker does for all; no pool can be named like it


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One run of a broker, or of one of its API workers. It lives for as long as it renews its time."""

    id: str  # another one for every run
    name: str  # for people: host and process
    home: str  # of the state folder that only one broker has at a time; empty for an API worker, which has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to drive one pool, or to be the leader."""

    name: str  # of the pool, or LEADER
    place: str  # id of the folder with the pool's records; another broker can go on only where it has the same
    holder: str | None  # id of the broker that has it; None: nobody
    holder_name: str  # of who has it, or had it last
    epoch: int  # grows each time that another one takes it
    freed_ns: int | None = None  # since when nobody has it, by the store's clock
    view: str = ""  # what its holder last said of the pool; empty: nothing yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the store's brokers stand at one moment."""

    now_ns: int  # by the store's clock
    leases: tuple[Lease, ...]  # all of them, by name
    others: tuple[str, ...]  # names of the other brokers and API workers that live


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one broker asks whoever drives a pool."""

    id: int
    name: str  # of the pool
    body: str
