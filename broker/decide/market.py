"""What capacity costs and how it can change → the terms under which targets are chosen and simulated."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from broker.decide.workload import Floats

DAY_STEPS = 288  # of 300 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Prices per GPU-hour in one unit of money, and times in steps of `step_s` seconds."""

    step_s: float = 300.0
    cluster: float = 1.0  # on demand, from the moment it is asked for
    serverless: float = 1 / 0.45  # breakeven at 45 % utilisation
    boot: int = 1  # steps from asking for a GPU to using it
    node: int = 1  # GPUs come in nodes of this many
    resize_every: int = 1  # the cluster may change size only every so many steps
    commit: float | None = None  # price of a committed GPU; None where none is on offer
    commit_window: int = 0  # steps that a commitment lasts; all begin and end together
    warmup: int = 14 * DAY_STEPS  # steps of history whose cost does not count

    @property
    def breakeven(self) -> float:
        """The utilisation above which a cluster GPU is cheaper than serverless."""
        return self.cluster / self.serverless


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """How many GPUs to hold in each step; committed ones come on top of the cluster's."""

    cluster_gpus: Floats
    committed_gpus: Floats


SCENARIOS = MappingProxyType(
    {
        "elastic": Market(),
        "elastic-8gpu-nodes": Market(node=8),
        "slow-boot": Market(boot=6),
        "day-ahead": Market(boot=0, resize_every=DAY_STEPS),
        "commit-14d": Market(commit=0.6, commit_window=14 * DAY_STEPS),
    }
)
