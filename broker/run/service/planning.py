"""The broker's own history, pools and prices → the plan for what may come, made once for all who ask, and kept."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from broker.decide.wording import several
from broker.model.errors import InvalidInput, Problem
from broker.model.foresight import LOOK_BACK_S
from broker.model.money import NS_PER_S
from broker.model.resources import canonical_gpu
from broker.model.times import day_of
from broker.run.broker import Broker
from broker.run.plugins import price_offers
from broker.run.service.kept import Kept
from broker.run.service.studies import Studies

if TYPE_CHECKING:
    from broker.decide.buying import Way

DAYS: Final = 14.0
LEAST_HOURS: Final = 24  # that a forecast must have seen to be more than a guess
TIMEOUT_S: Final = 600.0  # nobody sits and waits for it
DEMAND_FILE: Final = "demand.csv"
POOLS_FILE: Final = "pools.json"  # JSON is YAML too


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPlan:
    """What to hold for the broker's own work on one GPU model, and what that was found from."""

    as_of_ns: int
    gpu: str
    gpu_hours: Mapping[str, float]  # of the work of each model that was looked back at, most first
    since_ns: int  # the first of the hours that were looked back at
    ways: tuple[Way, ...]  # to buy
    result: Mapping[str, Any]  # as `broker plan --json` has it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    gpu: str
    gpu_hours: Mapping[str, float]
    demand: tuple[float, ...]  # GPUs busy in each hour
    ways: tuple[Way, ...]


class Planning:
    """Plans for the broker itself."""

    def __init__(self, broker: Broker, studies: Studies) -> None:
        self._broker = broker
        self._studies = studies
        self._kept: Kept[OwnPlan] = Kept(broker.clock)

    async def plan(self, gpu: str | None = None, days: float = DAYS, max_age_s: float = 0.0) -> OwnPlan:
        """The plan for so many days to come, as of now or at most so long ago; without a GPU, of the one used most.

        Raises `InvalidInput` where no job with such a GPU ran, or all within a day, or nothing is known to buy, and
        what a study raises.
        """
        return await self._kept.answer((gpu, days), max_age_s, partial(self._made, gpu, days))

    async def _made(self, gpu: str | None, days: float) -> OwnPlan:
        now_ns = self._broker.clock.now_ns()
        asked = await asyncio.to_thread(self._question, gpu, now_ns)
        arguments = [
            f"--demand={DEMAND_FILE}",
            f"--pools={POOLS_FILE}",
            "--step=3600",
            f"--forecast={days:g}",
            "--whole-nodes",
        ]
        result = await self._studies.run("plan", [*arguments, "--sensitivity"], "", _files(asked), TIMEOUT_S)
        return OwnPlan(
            as_of_ns=now_ns,
            gpu=asked.gpu,
            gpu_hours=asked.gpu_hours,
            since_ns=now_ns - len(asked.demand) * 3_600 * NS_PER_S,
            ways=asked.ways,
            result=result,
        )

    def _question(self, gpu: str | None, now_ns: int) -> _Question:
        from broker.decide import buying

        since_ns = now_ns - round(LOOK_BACK_S * NS_PER_S)
        runs = self._broker.store.runs(since_ns)
        hours = buying.gpu_hours(runs, since_ns, now_ns)
        model = _chosen(gpu, hours)
        pools = [running.as_now for running in self._broker.pools.values()]
        found = buying.ways(model, pools, price_offers(), day_of(now_ns))
        if not found:
            raise InvalidInput(f"no price of {model} is known: give its pools prices, see `broker prices`")
        demand = tuple(map(float, buying.busy_gpus(runs, model, since_ns, now_ns)))
        if len(demand) < LEAST_HOURS:
            seen = several(len(demand), "hour")
            raise InvalidInput(f"work on {model} has been seen for {seen}: after a day of it, a plan is made")
        return _Question(gpu=model, gpu_hours=hours, demand=demand, ways=found)


def _chosen(asked: str | None, hours: Mapping[str, float]) -> str:
    """The model that is asked for, or the one that did most. Raises `InvalidInput`."""
    gpu = canonical_gpu(asked) if asked else None
    if not hours:
        raise InvalidInput("no job with a GPU has run yet: there is nothing to plan for")
    if gpu is not None and gpu not in hours:
        message = f"no job ran on {gpu!r} in the last {LOOK_BACK_S / 86_400:.0f} days; there are {', '.join(hours)}"
        raise InvalidInput(Problem(field="gpu", message=message))
    return gpu or next(iter(hours))


def _files(asked: _Question) -> dict[str, str]:
    from broker.decide.buying import document

    rows = io.StringIO()
    rows.write("step,gpus_busy\n")
    rows.writelines(f"{step},{gpus:.6g}\n" for step, gpus in enumerate(asked.demand))
    return {DEMAND_FILE: rows.getvalue(), POOLS_FILE: json.dumps(document(asked.ways, asked.gpu))}
