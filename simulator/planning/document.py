"""What a file of pools may say, as pydantic models: strict, each field with its meaning."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

UNITS = {"s": 1 / 3_600, "m": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0, "y": 8_760.0}


def _hours(value: Any) -> Any:
    """`5m`, `12h`, `30d`, `1y`, or a number of hours."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*([smhdwy])\s*", value) if isinstance(value, str) else None
    return float(match[1]) * UNITS[match[2]] if match else value


Hours = Annotated[float, BeforeValidator(_hours), Field(ge=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Names = tuple[str, ...]


class Part(BaseModel):
    """A part of the file; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(Part):
    """A price as the broker's configuration writes it."""

    usd_per_hour: Amount


class PoolPart(Part):
    """One way to buy GPUs."""

    kind: Literal["committed", "commitment", "cluster", "on_demand", "spot", "serverless"]
    usd_per_hour: Amount | None = None  # of a node; of serverless, of a GPU
    price: Price | Amount | None = None  # the same
    gpus: Annotated[int, Field(ge=1)] | None = None  # of a node
    accelerators: str | None = None  # MODEL:COUNT, for gpu and gpus
    gpu: str = ""
    max_nodes: Amount | None = None
    max_gpus: Amount | None = None
    max_gpu_hours: Amount | None = None
    region: str = ""
    isolation: Literal["shared", "dedicated"] = "shared"
    runtimes: Names = ()
    term: Hours | None = None  # of a commitment
    resize: Hours = 24.0  # how long a cluster keeps its size
    boot: Hours = 0.0  # paid before a node works; of serverless: a cold start
    minimum: Hours = 0.0  # that a started node is paid at least
    start_usd: Amount = 0.0
    running_nodes: Amount | None = None  # as the plan begins
    interruptions_per_hour: Amount = 0.0
    redo: Hours = 0.0  # of work lost in an interruption
    overhead: Amount = 0.0  # of serverless: paid hours without work, as a share of the work


class Match(Part):
    """Which jobs of a trace belong to a class: those of which each said column is among the values."""

    kind: Names = ()
    gpu_type: Names = ()
    user: Names = ()


class ClassPart(Part):
    """Work that is bound by the same rules."""

    match: Match | None = None  # None: jobs whose kind is the class's name, or all that no other class takes
    regions: Names = ()
    isolation: Literal["shared", "dedicated"] = "shared"
    runtime: str = ""
    interruptible: bool = True
    speeds: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)  # by GPU model
    pools: Names = ()  # only these
    max_wait: Hours = 0.0


class LimitPart(Part):
    """A limit on several pools together."""

    pools: Annotated[Names, Field(min_length=1)]
    max_gpus: Amount | None = None
    max_gpu_hours: Amount | None = None


class PoolsFile(Part):
    """A file of pools as a whole."""

    pools: Annotated[dict[str, PoolPart], Field(min_length=1)]
    classes: dict[str, ClassPart] = Field(default_factory=dict)
    limits: dict[str, LimitPart] = Field(default_factory=dict)
    budget_usd: Amount | None = None  # of the expected cost
    worst_usd: Amount | None = None  # of the cost in each course of demand
    commitments_usd: Amount | None = None  # that commitments made now may oblige to pay
