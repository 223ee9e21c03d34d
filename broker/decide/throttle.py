"""A token bucket → whether one more request may pass now, and when the next may (Turner 1986)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How much may pass."""

    per_s: float  # in the long run
    burst: int  # at once, after a quiet time

    @property
    def window_s(self) -> int:
        """Seconds in which an empty bucket is full again."""
        return max(ceil(self.burst / self.per_s), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What is left for one user."""

    level: float  # requests that may pass at once
    at_s: float  # when that was so, by a clock that only goes forward


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one request."""

    bucket: Bucket
    wait_s: float  # 0: it passes; else how long until it would

    @property
    def passes(self) -> bool:
        """Whether it may pass now."""
        return self.wait_s == 0

    @property
    def left(self) -> int:
        """How many more may pass at once."""
        return int(self.bucket.level)


def take(bucket: Bucket | None, rate: Rate, now_s: float) -> Taken:
    """One more request at `now_s`. `bucket` None: the first. A request that may not pass takes nothing."""
    before = bucket or Bucket(level=rate.burst, at_s=now_s)
    level = min(before.level + max(now_s - before.at_s, 0.0) * rate.per_s, rate.burst)
    if level >= 1:
        return Taken(bucket=Bucket(level=level - 1, at_s=now_s), wait_s=0.0)
    return Taken(bucket=Bucket(level=level, at_s=now_s), wait_s=(1 - level) / rate.per_s)
