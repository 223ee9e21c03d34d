"""Jobs seen, what a cold start costs and what was promised → how containers should be kept warm, and why.

The setting that would have cost least for the jobs seen, among those that kept the promise. Without a promise the best
window is known from the idle times; with one, windows are tried with numbers of containers. From there one of the three
numbers is changed at a time until that helps no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from broker.decide.warm.fleet import Played, play
from broker.decide.warm.idle import LEAST_S, MOST_S, best_window_s, idle_times
from broker.decide.wording import number, seconds
from broker.decide.workload import Workload
from broker.model.pools import KeepWarm

RECENT = 5_000  # jobs that are looked at
WINDOWS = (0.5, 0.8, 0.9, 0.95, 0.99)  # quantiles of idle times that are tried as windows
USUAL_S = (10.0, 60.0, 300.0)  # as are these
ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A share of jobs starts within a time after it was asked for."""

    within_s: float
    share: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between which settings the owner lets one choose."""

    least_window_s: float = LEAST_S
    most_window_s: float = MOST_S
    least_containers: int = 0  # of min_containers
    most_containers: int = 0  # of min_containers, and of buffer_containers


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What containers are kept warm for."""

    cold_start_s: float  # to a ready container, and paid for
    worth_s: float = 0.0  # what it is worth not to wait for one, in seconds of the container
    promise: Promise | None = None
    bounds: Bounds = field(default_factory=Bounds)
    jobs_per_container: int = 1

    def kept(self, played: Played) -> bool:
        """Whether the promise would have been kept."""
        return self.broken(played) == 0.0

    def broken(self, played: Played) -> float:
        """By which share of jobs the promise would have been broken."""
        if self.promise is None or self.cold_start_s <= self.promise.within_s:
            return 0.0
        return max(self.promise.share - played.warm_share, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to set, and what it would have come to for the jobs that were looked at."""

    setting: KeepWarm
    played: Played
    apart: Played  # the same jobs, each in a container of its own
    keeps: bool  # the promise, where there is one
    reason: str


def choose(jobs: Workload, wanted: Wanted, until_s: float | None = None) -> Choice:
    """The setting for the jobs to come, taken to be like the last ones seen. Without any, as little as is allowed.

    `until_s` is when one looks: containers that are kept without work are paid for until then.
    """
    recent = jobs if len(jobs) <= RECENT else jobs.take(np.arange(len(jobs) - RECENT, len(jobs)))
    bounds = wanted.bounds
    idle = idle_times(recent)
    best_s = best_window_s(idle, wanted.cold_start_s + wanted.worth_s, bounds.least_window_s, bounds.most_window_s)
    seen = idle.gap_s[np.isfinite(idle.gap_s)]
    tried = np.quantile(seen, WINDOWS) if len(seen) else np.zeros(0)
    windows = np.unique(
        np.clip([best_s, *tried, *USUAL_S, 0.0, bounds.most_window_s], bounds.least_window_s, bounds.most_window_s)
    )
    trials = Trials(recent, wanted, until_s)
    setting = KeepWarm(scaledown_window_s=best_s, min_containers=bounds.least_containers)
    if not wanted.kept(trials.played(setting)):
        setting = trials.best_pair(setting, windows.tolist())
    for _ in range(ROUNDS):
        better = trials.best(setting, windows.tolist())
        if better == setting:
            break
        setting = better
    played = trials.played(setting)
    apart = play(recent, KeepWarm(scaledown_window_s=0.0), wanted.cold_start_s)
    return Choice(
        setting=setting,
        played=played,
        apart=apart,
        keeps=wanted.kept(played),
        reason=_reason(setting, played, apart, wanted),
    )


class Trials:
    """Settings played on the same jobs, each once."""

    def __init__(self, jobs: Workload, wanted: Wanted, until_s: float | None) -> None:
        self._jobs = jobs
        self._wanted = wanted
        self._until_s = until_s
        self._played: dict[KeepWarm, Played] = {}

    def played(self, setting: KeepWarm) -> Played:
        """What a setting would have come to."""
        if setting not in self._played:
            wanted = self._wanted
            self._played[setting] = play(
                self._jobs,
                setting,
                wanted.cold_start_s,
                jobs_per_container=wanted.jobs_per_container,
                until_s=self._until_s,
            )
        return self._played[setting]

    def best_pair(self, setting: KeepWarm, windows: list[float]) -> KeepWarm:
        """The best of all windows with all numbers of containers that are kept up."""
        counts = _counts(self._wanted.bounds.least_containers, self._wanted.bounds.most_containers)
        pairs = (
            replace(setting, scaledown_window_s=window_s, min_containers=count)
            for window_s in windows
            for count in counts
        )
        return min(pairs, key=self._rank)

    def best(self, setting: KeepWarm, windows: list[float]) -> KeepWarm:
        """The best that is reached by changing each of the three numbers of a setting once, one after another."""
        bounds = self._wanted.bounds
        least, most = bounds.least_containers, bounds.most_containers
        ways: tuple[Callable[[KeepWarm], Iterator[KeepWarm]], ...] = (
            lambda old: (replace(old, scaledown_window_s=window_s) for window_s in windows),
            lambda old: (replace(old, min_containers=count) for count in _counts(least, most, near=old.min_containers)),
            lambda old: (
                replace(old, buffer_containers=count) for count in _counts(0, most, near=old.buffer_containers)
            ),
        )
        for way in ways:
            setting = min([setting, *way(setting)], key=self._rank)
        return setting

    def _rank(self, setting: KeepWarm) -> tuple[float, float]:
        played = self.played(setting)
        return self._wanted.broken(played), played.cost_gpu_s(self._wanted.worth_s)


def _counts(least: int, most: int, near: int = 0) -> list[int]:
    """0, 1, 2, 3, 4, 6, 8, 12 and so on within bounds, these included, and what is next to a number."""
    counts = {least, most, near - 1, near + 1}
    for power in range(most.bit_length()):
        counts |= {0, 1 << power, 3 << power >> 1}
    return sorted(count for count in counts if least <= count <= most)


def _reason(setting: KeepWarm, played: Played, apart: Played, wanted: Wanted) -> str:
    if not played.jobs:
        return "no jobs have been seen: as little is kept as is allowed"
    warm = f"{played.warm_share:.0%} of the last {played.jobs:,} jobs would have found a container"
    idle = f"{seconds(played.idle_gpu_s)} of idleness and {seconds(played.cold_gpu_s)} of starts"
    text = f"{warm}, for {idle}: {_compared(played.paid_gpu_s / apart.paid_gpu_s)} a container for each job"
    if not wanted.kept(played):
        return f"{text}; {_promised(wanted)} can't be kept within the limits"
    if wanted.promise and wanted.cold_start_s > wanted.promise.within_s:
        return f"{text}; {_promised(wanted)} is kept"
    return f"{text}; a start is worth {seconds(wanted.cold_start_s + wanted.worth_s)} of idleness"


def _compared(ratio: float) -> str:
    """What is paid over what else would be, in words that go before the other."""
    if ratio > 2:
        return f"{number(round(ratio, 1))} times the price of"
    return f"{abs(1 - ratio):.0%} {'less' if ratio <= 1 else 'more'} than"


def _promised(wanted: Wanted) -> str:
    assert wanted.promise is not None
    return f"the promise that {wanted.promise.share:.0%} start within {seconds(wanted.promise.within_s)}"
