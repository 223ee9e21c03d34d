"""Groups of machines, as AWS and Google have them: what is asked of a provider, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from broker.model.nodes import Node


@dataclass(frozen=True, slots=True)
class Member:
    """A machine as its group sees it."""

    node_id: str
    healthy: bool  # False: it has ended, or is about to
    started: bool = True  # False: its provider has yet to find it a place


@dataclass(frozen=True, slots=True)
class Group:
    """Machines that are made alike."""

    name: str
    pool: str  # by its tag; "" for none of ours
    wanted: int
    members: tuple[Member, ...]

    @property
    def there(self) -> int:
        """Machines that its provider has started, and that have not ended."""
        return sum(one.healthy and one.started for one in self.members)

    @property
    def coming(self) -> int:
        """Machines that there will be, if no more is asked for: those that are there, and those that are starting."""
        return sum(one.healthy for one in self.members)

    @property
    def ended(self) -> int:
        """Machines that ended by themselves, which it still counts."""
        return sum(not one.healthy for one in self.members)


class GroupCalls(Protocol):
    """Calls of a provider, each idempotent: what is there already, or gone already, is what was wanted."""

    def groups(self, names: Iterable[str]) -> dict[str, Group]:
        """Those of these groups that there are."""
        ...

    def machines(self, groups: Iterable[str]) -> tuple[Node, ...]:
        """All machines of groups, the head first, with those that ended lately as far as the provider tells."""
        ...

    def script(self, name: str) -> str | None:
        """What new machines of a group run when they boot; None where there is no template for them."""
        ...

    def want(self, name: str, machines: int) -> None:
        """Has a group want so many."""
        ...

    def give_up(self, name: str) -> None:
        """Has a group want no more than were started."""
        ...

    def problems(self, name: str) -> dict[str, str]:
        """Machines of a group that could not be started lately: what tells one from another, and the reason."""
        ...

    def end(self, node_id: str, group: str) -> None:
        """Ends a machine, its group wanting one fewer."""
        ...

    def delete_group(self, group: Group) -> None:
        """Ends a group with all its machines."""
        ...

    def delete_template(self, name: str) -> None:
        """Deletes what machines of a group were made from, if it is the pool's."""
        ...
