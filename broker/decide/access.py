"""Who asks, and the projects that there are → which of them they see, and what they may do in one."""

from __future__ import annotations

from collections.abc import Iterable

from broker.model.projects import DEFAULT_PROJECT, Project, Role
from broker.model.tokens import Identity, Scope


def role(who: Identity, project: Project) -> Role | None:
    """What somebody is in a project; None: nothing of it is theirs to see."""
    if who.user is None or who.scope is Scope.ADMIN:
        return Role.ADMIN
    found = project.members.get(who.user)
    return Role.SUBMITTER if found is None and project.name == DEFAULT_PROJECT else found


def visible(who: Identity, projects: Iterable[Project]) -> frozenset[str] | None:
    """The projects that somebody sees; None: everything, also where there is but the default project."""
    there = list(projects)
    if who.user is None or who.scope is Scope.ADMIN or all(each.name == DEFAULT_PROJECT for each in there):
        return None
    return frozenset(each.name for each in there if role(who, each) is not None)
