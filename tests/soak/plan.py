"""A seed → the plan of a soak: what is submitted when, and what happens to the broker and its pools when."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tests.soak.shapes import Wish, wish

JOBS_PER_S: Final = 0.7
FAULTS_EVERY_S: Final = (8.0, 25.0)
CALM: Final = 0.75  # after this share of the time the daemon is left alone: a leak needs a long life to be seen

# Kind of fault → the pool whose attempts it may interrupt; "" for none.
DAEMON_FAULTS: Final = {"daemon killed": "", "daemon ended": "", "daemon stopped": "", "store away": ""}
POOL_FAULTS: Final = {
    "ray worker killed": "*",  # of either Ray pool
    "ray node killed": "lan",
    "ray head killed": "ray",
    "ray gateway killed": "",
    "ray supervisor killed": "*",
    "container killed": "burst",
    "container host killed": "burst",
}
WEIGHTS: Final = {
    "daemon killed": 6,
    "daemon ended": 3,
    "daemon stopped": 2,
    "store away": 4,
    "ray worker killed": 5,
    "ray node killed": 3,
    "ray head killed": 1,
    "ray gateway killed": 2,
    "ray supervisor killed": 2,
    "container killed": 5,
    "container host killed": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that happens to the broker or a pool."""

    kind: str
    at_s: float
    length_s: float  # how long it stays so: stopped, away, a node not started again
    draw: int  # which of several it hits


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a soak does; the same for the same seed and length."""

    seed: int
    length_s: float
    wishes: tuple[Wish, ...]
    faults: tuple[Fault, ...]


def plan(seed: int, length_s: float, only: Collection[str] | None = None) -> Plan:
    """What happens is drawn apart from what is submitted: with `only` some of the faults, the jobs are the same."""
    jobs, happens = random.Random(f"{seed} jobs"), random.Random(f"{seed} faults")
    wishes, at_s = [], jobs.expovariate(JOBS_PER_S)
    while at_s < length_s:
        wishes.append(wish(jobs, len(wishes), seed, at_s))
        at_s += jobs.expovariate(JOBS_PER_S)
    faults, at_s = [], happens.uniform(*FAULTS_EVERY_S)
    while at_s < length_s:
        kinds = POOL_FAULTS if at_s > CALM * length_s else WEIGHTS
        (kind,) = happens.choices(list(kinds), [WEIGHTS[kind] for kind in kinds])
        length = happens.uniform(0.5, 14.0)
        faults.append(Fault(kind=kind, at_s=at_s, length_s=length, draw=happens.randrange(1 << 30)))
        at_s += happens.uniform(*FAULTS_EVERY_S)
    chosen = tuple(fault for fault in faults if only is None or fault.kind in only)
    return Plan(seed=seed, length_s=length_s, wishes=tuple(wishes), faults=chosen)
