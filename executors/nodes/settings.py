"""Settings of a pool's nodes, as its configuration has them, checked: what is the same at every provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from broker.model.errors import Misconfigured

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]
Settings = TypeVar("Settings", bound="NodeSettings")

NAME_LIMIT = 40  # of a cluster's name: what is made from it must be short enough for every provider


class NodeSettings(BaseModel):
    """What nodes are made of, how they are bought, and when they end themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    provider: Text
    name: str = Field("", pattern=r"^([a-z][a-z0-9-]*[a-z0-9])?$", max_length=NAME_LIMIT)  # of the cluster; "": pool's
    image: Text  # what machines boot from
    head_type: str = ""  # "": the head is like the nodes, and works; else it holds the cluster together and no more
    disk_gib: int = Field(100, ge=10)
    public_ip: bool = False  # machines are reached, and reach out, through the private network alone
    buy: Literal["on_demand", "spot", "mixed"] = "on_demand"  # nodes; the head is always on demand
    on_demand_base: int = Field(0, ge=0)  # mixed: so many nodes are on demand first …
    spot_share: Share = 1.0  # … and this share of the others is spot
    tags: dict[str, str] = {}  # beside those that carry pool, owner and role

    python: str = ""  # version of Python on the nodes; "": the broker's own, which Ray demands
    packages: tuple[str, ...] = ()  # Python packages beside Ray, as pip names them
    setup: tuple[str, ...] = ()  # commands that run as root before Ray starts

    idle_s: Seconds = 900.0  # without work, after which a node ends itself
    max_lifetime_s: Seconds = 86_400.0
    head_idle_s: Seconds = 3_600.0  # without nodes, work or broker, after which the head does
    head_max_lifetime_s: Seconds = 604_800.0
    drain_s: float = Field(600.0, ge=0)  # before the end of its lifetime, a node takes no new work
    boot_s: Seconds = 1_800.0  # until Ray runs
    lost_s: Seconds = 300.0  # without Ray
    launch_wait_s: Seconds = 300.0  # how long the provider may take to find machines
    patience_s: float = Field(30.0, ge=0)  # after it said that it has none: another of its zones may have some
    every_s: Seconds = 2.0  # between looks while that is waited for

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for limit in ("max_lifetime_s", "head_max_lifetime_s"):
            if getattr(self, limit) <= self.drain_s:
                raise ValueError(f"{limit} must be more than drain_s, {self.drain_s:g}")
        if self.buy != "mixed" and (self.on_demand_base or self.spot_share != 1.0):
            raise ValueError('on_demand_base and spot_share are for buy = "mixed"')
        return self


def checked(kind: type[Settings], pool: str, given: Mapping[str, Any]) -> Settings:
    """The settings of a pool. Raises `Misconfigured` with everything that is wrong."""
    try:
        return kind.model_validate({name: _plain(value) for name, value in given.items()})
    except ValidationError as error:
        wrong = "; ".join(_said(pool, kind, each["loc"], each["msg"]) for each in error.errors())
        raise Misconfigured(wrong) from None


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return value


def _said(pool: str, kind: type[NodeSettings], place: tuple[int | str, ...], message: str) -> str:
    path = ".".join(("pools", pool, "nodes", *(str(part) for part in place)))
    if message.startswith("Extra inputs"):
        message = f"there is no such setting; there are: {', '.join(sorted(kind.model_fields))}"
    return f"{path}: {message.removeprefix('Value error, ')}"


def span(seconds: float) -> str:
    """A time for people, in the largest unit that it fills whole."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def ends(settings: NodeSettings, *, head: bool) -> str:
    """When a machine ends itself, for people."""
    if head:
        return f"ends itself after {span(settings.head_idle_s)} alone, or {span(settings.head_max_lifetime_s)} in all"
    return f"ends itself after {span(settings.idle_s)} without work, or {span(settings.max_lifetime_s)} in all"
