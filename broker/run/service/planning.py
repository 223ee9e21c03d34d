"""The broker's own history, pools and prices → the plan for what may come, made once for all who ask, and kept."""

from __future__ import annotations

import asyncio
import csv
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
    from broker.decide.models_of_work import Work
    from broker.decide.workload import Floats

DAYS: Final = 14.0
LEAST_HOURS: Final = 24  # that a forecast must have seen to be more than a guess
TIMEOUT_S: Final = 600.0  # nobody sits and waits for it
TOTAL: Final = "gpus_busy"  # the column of demand where there is one class of work
DEMAND_FILE: Final = "demand.csv"
POOLS_FILE: Final = "pools.json"  # JSON is YAML too
_UNPRICED: Final = "no price of it is known: give its pools prices, see `broker prices`"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPlan:
    """What to hold for the broker's own work, and what that was found from."""

    as_of_ns: int
    gpu: str | None  # the model that was asked for; None: all
    gpu_hours: Mapping[str, float]  # by the model that the work ran on, of all that was looked back at, most first
    since_ns: int  # the first of the hours that were looked back at
    works: tuple[Work, ...]  # that are planned for, by the models that would do for them
    ways: tuple[Way, ...]  # to buy
    left_out: Mapping[str, str]  # models whose work is not planned for, with the reason
    result: Mapping[str, Any]  # as `broker plan --json` has it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    gpu: str | None
    gpu_hours: Mapping[str, float]
    works: tuple[Work, ...]
    ways: tuple[Way, ...]
    left_out: Mapping[str, str]

    @property
    def hours(self) -> int:
        """That were looked back at."""
        return max(len(work.gpus) for work in self.works)


class Planning:
    """Plans for the broker itself."""

    def __init__(self, broker: Broker, studies: Studies) -> None:
        self._broker = broker
        self._studies = studies
        self._kept: Kept[OwnPlan] = Kept(broker.clock)

    async def plan(self, gpu: str | None = None, days: float = DAYS, max_age_s: float = 0.0) -> OwnPlan:
        """The plan for so many days to come, as of now or at most so long ago; with a GPU, of what ran on that model.

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
            since_ns=now_ns - asked.hours * 3_600 * NS_PER_S,
            works=asked.works,
            ways=asked.ways,
            left_out=asked.left_out,
            result=result,
        )

    def _question(self, gpu: str | None, now_ns: int) -> _Question:
        from broker.decide import buying, models_of_work

        since_ns = now_ns - round(LOOK_BACK_S * NS_PER_S)
        runs = self._broker.store.runs(since_ns)
        hours = models_of_work.gpu_hours(runs, since_ns, now_ns)
        model = _chosen(gpu, hours)
        pools = [running.as_now for running in self._broker.pools.values()]
        offers, day = price_offers(), day_of(now_ns)
        there = [model] if model else dict.fromkeys([*hours, *models_of_work.models(pools)])
        market = {each: buying.ways(each, pools, offers, day) for each in there}
        sold = {each for each, ways in market.items() if ways}
        if model is not None:  # what ran on it, as if it could run on nothing else
            runs, pools = tuple(run for run in runs if run.resources.gpu_model == model), []
        works = models_of_work.works(runs, pools, sold, since_ns, now_ns)
        used = {each for work in works for each in work.speeds}
        asked = _Question(
            gpu=model,
            gpu_hours=hours,
            works=tuple(work for work in works if sold.issuperset(work.speeds)),
            ways=buying.told_apart(way for each in market if each in used for way in market[each]),
            left_out={work.name: _UNPRICED for work in works if not sold.issuperset(work.speeds)},
        )
        _check(asked)
        return asked


def _check(asked: _Question) -> None:
    """Raises `InvalidInput` where there is nothing to buy, or too little was seen to say how much."""
    if not asked.works:
        names = " or ".join(asked.left_out)
        raise InvalidInput(f"no price of {names} is known: give its pools prices, see `broker prices`")
    if asked.hours < LEAST_HOURS:
        names = " and ".join(work.name for work in asked.works)
        seen = several(asked.hours, "hour")
        raise InvalidInput(f"work on {names} has been seen for {seen}: after a day of it, a plan is made")


def _chosen(asked: str | None, hours: Mapping[str, float]) -> str | None:
    """The model that is asked for, if any. Raises `InvalidInput` where nothing ran on it, or on any."""
    gpu = canonical_gpu(asked) if asked else None
    if not hours:
        raise InvalidInput("no job with a GPU has run yet: there is nothing to plan for")
    if gpu is not None and gpu not in hours:
        message = f"no job ran on {gpu!r} in the last {LOOK_BACK_S / 86_400:.0f} days; there are {', '.join(hours)}"
        raise InvalidInput(Problem(field="gpu", message=message))
    return gpu


def _files(asked: _Question) -> dict[str, str]:
    """What the command reads: where there are classes, demand has a column for each, empty until its first work."""
    from broker.decide.buying import document

    pools = document(asked.ways, asked.works)
    names = [work.name for work in asked.works] if len(asked.works) > 1 else [TOTAL]
    rows = io.StringIO()
    write = csv.writer(rows, lineterminator="\n").writerow
    write(["step", *names])
    columns = [_column(work.gpus, asked.hours) for work in asked.works]
    for step, cells in enumerate(zip(*columns, strict=True)):
        write([step, *cells])
    return {DEMAND_FILE: rows.getvalue(), POOLS_FILE: json.dumps(pools)}


def _column(gpus: Floats, hours: int) -> list[str]:
    """Work that is newer than a day was none for the rest of it."""
    idle = max(min(hours, LEAST_HOURS) - len(gpus), 0)
    return [""] * (hours - idle - len(gpus)) + ["0"] * idle + [f"{each:.6g}" for each in gpus]
