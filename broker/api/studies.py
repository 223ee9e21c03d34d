"""What plans and simulations are asked with, and how their answers are shown."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from broker.api.amounts import time
from broker.api.decisions import price
from broker.api.schemas import PriceView
from broker.decide.price_book import stale
from broker.model.times import day_of
from broker.run.service.planning import OwnPlan

if TYPE_CHECKING:  # what it needs weighs more than a daemon that is never asked
    from broker.decide.buying import Way

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
POOLS_FILE = "pools.yaml"
DEMAND_FILE = "demand.csv"


class StudyWish(BaseModel):
    """What a study is about: the broker's own history, or a trace that is sent."""

    model_config = ConfigDict(extra="forbid")

    trace: str | None = Field(
        None,
        description="A workload as CSV (`submit_s,duration_s,gpus`, also `user`); null: the broker's own GPU jobs.",
        examples=["submit_s,duration_s,gpus\n0,3600,8\n1800,7200,4\n"],
    )
    period: str = Field("90d", max_length=40, description="In words: of which time the broker's own jobs are.")


class PlanWish(StudyWish):
    """What is to be planned for."""

    demand: str | None = Field(None, description="The demand itself, in place of jobs, as CSV (`step,gpus_busy`).")
    gpu: str = Field("H100", pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,39}$", description="Whose prices are taken.")
    pools: dict[str, Any] | None = Field(
        None, description="Offers, classes and limits, as the file of `broker plan --pools`; null: today's prices."
    )
    step_s: float = Field(300.0, ge=1, le=86_400, allow_inf_nan=False, description="Seconds of a step of the demand.")
    forecast_days: float | None = Field(
        None, ge=0.1, le=3_660, allow_inf_nan=False, description="Plan for what may come in so many days, not what was."
    )
    whole_nodes: bool | None = Field(
        None, description="Buy whole nodes only; null: where `pools` is null, since nobody sells a part of one."
    )
    budget_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="What the whole may cost.")

    @property
    def arguments(self) -> list[str]:
        """As those of the command."""
        optional = {"--forecast": self.forecast_days, "--budget": self.budget_usd}
        given = [f"{name}={value}" for name, value in optional.items() if value is not None]
        given += [f"--gpu={self.gpu}", f"--step={self.step_s}"]
        given += [] if self.whole_nodes is None else ["--whole-nodes" if self.whole_nodes else "--parts"]
        given += [f"--pools={POOLS_FILE}"] if self.pools is not None else []
        return [*given, f"--demand={DEMAND_FILE}"] if self.demand is not None else [*given, "-"]

    @property
    def files(self) -> dict[str, str]:
        """What the command reads."""
        found = {} if self.pools is None else {POOLS_FILE: json.dumps(self.pools)}
        return found if self.demand is None else {**found, DEMAND_FILE: self.demand}


class SimulationWish(StudyWish):
    """What is to be played."""

    scenarios: list[Name] = Field(["elastic"], min_length=1, max_length=10, description="Terms of the market.")
    policies: list[Name] = Field([], max_length=20, description="Policies to play; none: the usual ones.")
    replicates: int = Field(0, ge=0, le=100, description="Resampled traces behind each interval.")

    @property
    def arguments(self) -> list[str]:
        """As those of the command."""
        given = [f"--scenario={name}" for name in self.scenarios] + [f"--policy={name}" for name in self.policies]
        return ["-", *given, f"--replicates={self.replicates}"]


class Study(BaseModel):
    """What came of it."""

    source: str = Field(description="What it is about: `trace`, `demand`, or the period of the broker's own jobs.")
    result: dict[str, Any] = Field(description="As `broker plan --json`, `broker simulate --json` have it.")


class WayView(BaseModel):
    """One way to buy GPUs that a plan may choose from."""

    name: str = Field(description="Of a pool, or of an offer where the broker has no such pool.")
    gpu: str = Field(description="The model.")
    kind: Literal["committed", "cluster", "serverless"]
    usd_per_hour: float = Field(description="Of a node; of serverless, of a GPU with its part of CPUs and memory.")
    node: int = Field(description="GPUs of a node.")
    prices: list[PriceView] = Field(description="What it is made of, with its age.")


class WorkView(BaseModel):
    """Work for which the same GPU models would do."""

    name: str = Field(description="As in the `demand_gpus` of the result, where there is more than one.")
    speeds: dict[str, float] = Field(description="By model: 1 for that of which the work takes fewest GPUs.")
    gpu_hours: float = Field(description="Of it, in GPUs of speed 1.")


class OwnPlanView(BaseModel):
    """What the broker should hold for its own work, and what that was found from."""

    at: datetime = Field(description="When it was made: it is for what may come from then on.")
    gpu: str | None = Field(description="The model whose work is planned for; null: all.")
    gpu_hours: dict[str, float] = Field(description="Of the work that ran on each model in 90 days, most first.")
    since: datetime = Field(description="The first hour that was looked back at.")
    works: list[WorkView] = Field(description="What is planned for, by the models that would do for it.")
    ways: list[WayView] = Field(description="What could be bought.")
    left_out: dict[str, str] = Field(description="Models whose work is not planned for, with the reason.")
    result: dict[str, Any] = Field(description="As `broker plan --json` has it.")


def own_plan(found: OwnPlan, stale_days: int) -> OwnPlanView:
    """A plan of the broker's own."""
    day = day_of(found.as_of_ns)
    return OwnPlanView(
        at=time(found.as_of_ns),
        gpu=found.gpu,
        gpu_hours=dict(found.gpu_hours),
        since=time(found.since_ns),
        works=[
            WorkView(name=each.name, speeds=dict(each.speeds), gpu_hours=round(float(each.gpus.sum()), 3))
            for each in found.works
        ],
        ways=[_way(each, day, stale_days) for each in found.ways],
        left_out=dict(found.left_out),
        result=dict(found.result),
    )


def _way(way: Way, day: date, stale_days: int) -> WayView:
    return WayView(
        name=way.name,
        gpu=way.gpu,
        kind=way.kind,
        usd_per_hour=way.usd_per_hour,
        node=way.node,
        prices=[price(each, age_days=each.age_days(day), stale=stale(each, day, stale_days)) for each in way.offers],
    )
