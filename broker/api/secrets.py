"""Secrets as the API shows them: all but their values, which come in and never out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from broker.api.amounts import time
from broker.run.service.secret_keeping import LONGEST, SecretStanding


class SecretWish(BaseModel):
    """What a secret is to be."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    projects: list[Annotated[str, Field(max_length=40)]] = Field(
        [], max_length=1_000, description="Whose jobs may name it; none: everybody's."
    )
    value: str = Field(max_length=LONGEST, description="The value; nobody is told it again.", repr=False)


class SecretView(BaseModel):
    """A secret without its value."""

    name: str
    version: int = Field(description="1 for the first; the newest is what jobs get.")
    projects: list[str] = Field(description="Whose jobs may name it; none: everybody's.")
    user: str = Field(description="Who set it.")
    set_at: datetime
    key: str = Field(description="Which key it is sealed with.")


class SecretList(BaseModel):
    """All secrets, by name."""

    secrets: list[SecretView]


class Rotated(BaseModel):
    """What became of a change of keys."""

    sealed: int = Field(description="Versions that are sealed with the new key.")


def secrets(found: Iterable[SecretStanding]) -> SecretList:
    """Secrets as they are answered."""
    return SecretList(secrets=[view(each) for each in found])


def view(standing: SecretStanding) -> SecretView:
    """A secret as it is answered."""
    newest = standing.newest
    return SecretView(
        name=newest.name,
        version=newest.version,
        projects=list(newest.projects),
        user=newest.user,
        set_at=time(newest.created_ns),
        key=standing.key_id,
    )
