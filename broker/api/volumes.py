"""Volumes as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from broker.api.amounts import time
from broker.model.projects import DEFAULT_PROJECT
from broker.model.volumes import Access
from broker.run.service.volumes import VolumeStanding


class VolumeWish(BaseModel):
    """What a new volume is to be."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=255, description="1 to 40 of a-z, 0-9, - and _.", examples=["checkpoints"])
    place: str | None = Field(
        None, max_length=255, description="Where it is to live, as pools say it; null: on the broker's machine."
    )
    project: str = Field(
        DEFAULT_PROJECT, max_length=40, description="Whose jobs may use it; other projects' where it is shared."
    )


class ShareWish(BaseModel):
    """What jobs of another project may do with a volume."""

    model_config = ConfigDict(extra="forbid")
    access: Access = Field(Access.READ, description="`read`, or `write` (and read).")


class OwnerWish(BaseModel):
    """Whose a volume is to be."""

    model_config = ConfigDict(extra="forbid")
    project: str = Field(max_length=40, description="Its project from now on.", examples=["vision"])


class VolumeView(BaseModel):
    """A volume as it is now."""

    name: str
    place: str = Field(description="Where it lives; pools that say the same share it.")
    pools: list[str] = Field(description="Pools that reach it: jobs that use it run in these only.")
    project: str = Field(description="Whose jobs may write to it, and read.")
    shares: dict[str, Access] = Field(
        description="What jobs of other projects that who asks sees may do, `*` for all: `read`, or `write` (and read)."
    )
    user: str = Field(description="Who made it.")
    created_at: datetime
    used_by: list[str] = Field(description="Jobs that use it and have not ended, at most twenty.")
    size_bytes: int | None = Field(description="What is in it; null: it is elsewhere, or has too many files to count.")


class VolumeList(BaseModel):
    """All volumes, by name."""

    volumes: list[VolumeView]


class VolumeRemoved(BaseModel):
    """What became of a volume."""

    name: str
    emptied: bool = Field(description="False: what was in it is still there, as that is not on the broker's machine.")


def volumes(found: Iterable[VolumeStanding]) -> VolumeList:
    """Volumes as they are answered."""
    return VolumeList(volumes=[view(each) for each in found])


def view(standing: VolumeStanding) -> VolumeView:
    """A volume as it is answered."""
    found = standing.volume
    return VolumeView(
        name=found.name,
        place=found.place,
        pools=list(standing.pools),
        project=found.project,
        shares=dict(found.shares),
        user=found.user,
        created_at=time(found.created_ns),
        used_by=list(standing.used_by),
        size_bytes=standing.size_bytes,
    )
