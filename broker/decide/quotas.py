"""Quotas and what is held in them → which jobs may begin with what, why not, and which can never be taken.

Jobs of one project are never overtaken in a quota: once one waits for it, those after it that need the same wait too,
so that small jobs do not keep a large one out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Final

from broker.decide.wording import number
from broker.model.errors import Problem
from broker.model.jobs import JobSpec
from broker.model.placement import Placement, Refusal, Verdict
from broker.model.projects import Holding, Project, Quota, Waiting
from broker.model.resources import Resources

QUOTA: Final = "quota"  # what a refusal is about
JOBS: Final = "jobs"  # beside the models of GPUs
_MOST_NAMED: Final = 3
_SLACK: Final = 1e-9

Scope = tuple[str, str | None]  # a project, and a user or all


class Quotas:
    """All quotas in one round of placements, with what jobs of the round have taken so far."""

    def __init__(self, projects: Iterable[Project], holdings: Iterable[Holding]) -> None:
        self._projects = {each.name: each for each in projects if _limits(each)}
        self._held: defaultdict[tuple[str, str], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._closed: set[tuple[Scope, str]] = set()
        self._against_it: set[tuple[Scope, str]] = set()  # what the job that is decided about has no room in
        for each in holdings:
            if each.project in self._projects:
                self._add(each.project, each.user, each.gpu_model, each.gpus, each.jobs)

    @property
    def projects(self) -> tuple[Project, ...]:
        """Those with a quota that may keep a job waiting."""
        return tuple(self._projects.values())

    def limit(self, project: str) -> bool:
        """Whether a project has a quota that may keep a job waiting."""
        return project in self._projects

    def refused(self, project: str, user: str, pool: str, resources: Resources, nodes: int) -> Refusal | None:
        """Why a job may not begin in a pool with these resources on each node; None where quotas have room."""
        found = self._projects.get(project)
        if found is None:
            return None
        needs = _needs(resources, nodes)
        for scope, quota in _scopes(found, user):
            for what, need in needs:
                most = quota.jobs_running if what == JOBS else quota.gpus.get(what)
                if most is not None and (said := self._against(scope, what, need, most)):
                    self._against_it.add((scope, what))
                    return Refusal(
                        pool=pool,
                        constraint=QUOTA,
                        message=said,
                        have=f"{number(most)} {what}",
                        need=f"{number(need)} {what}",
                        permanent=False,
                    )
        return None

    def begin(self, project: str, user: str, resources: Resources, nodes: int) -> None:
        """Counts a job that begins."""
        if project in self._projects:
            self._add(project, user, resources.gpu_model, resources.gpus * nodes, 1)

    def decided(self, placement: Placement) -> None:
        """Hears what became of the job that was asked about last: where it waits for a quota, nobody overtakes it."""
        if held(placement):
            self._closed |= self._against_it
        self._against_it = set()

    def _against(self, scope: Scope, what: str, need: float, most: float) -> str | None:
        used = self._used(scope, what)
        fits = used + need <= most + _SLACK
        if fits and (scope, what) not in self._closed:
            return None
        by = self._by(scope[0], what) if scope[1] is None else ""
        said = f"{_name(scope)}: {number(used)} of {number(most)} {what} in use{by}"
        if need > most + _SLACK:
            return f"{said}, and this job needs {number(need)}, more than all of it: raise the quota, or ask for less"
        return f"{said}, and {'jobs that came before wait for it' if fits else f'this job needs {number(need)}'}"

    def _used(self, scope: Scope, what: str) -> float:
        project, user = scope
        users = self._users[project] if user is None else [user]
        return sum(self._held[project, each][what] for each in users if (project, each) in self._held)

    def _by(self, project: str, what: str) -> str:
        shares = sorted(((self._held[project, user][what], user) for user in self._users[project]), reverse=True)
        named = [f"{user} {number(amount)}" for amount, user in shares if amount]
        more = [f"and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
        return f" ({', '.join(named[:_MOST_NAMED] + more)})" if named else ""

    def _add(self, project: str, user: str, model: str, gpus: float, jobs: int) -> None:
        held_ = self._held[project, user]
        self._users[project].add(user)
        held_[JOBS] += jobs
        if gpus:
            held_[model] += gpus


NO_QUOTAS: Final = Quotas((), ())


def held(placement: Placement) -> bool:
    """Whether a decision is to hold a job for a quota: but for it, some pool might take the job."""
    named = any(each.constraint == QUOTA for each in placement.refusals)
    return placement.verdict is Verdict.WAIT and placement.chosen is None and named


def impossible(spec: JobSpec, project: Project) -> list[Problem]:
    """What keeps a job from ever being run in its project, whoever else runs there."""
    found = []
    if project.max_priority is not None and spec.priority > project.max_priority:
        message = f"is {spec.priority}, and jobs of the project {project.name!r} have at most {project.max_priority}"
        found.append(Problem(field="priority", message=message))
    asked = spec.resources
    for quota, whose in ((project.quota, "all its jobs"), (project.user_quota, "each user's jobs in it")):
        if quota.jobs_running == 0:
            found.append(Problem(field="project", message=f"{project.name!r} may run no jobs ({whose})"))
        over = [gpu for gpu in asked.gpu_choices if gpu.count * asked.num_nodes > quota.gpus.get(gpu.model, inf)]
        if over and len(over) == len(asked.gpu_choices):
            gpu = over[0]
            message = (
                f"needs {number(gpu.count * asked.num_nodes)} {gpu.model}; the project {project.name!r} may use "
                f"{number(quota.gpus[gpu.model])} at once ({whose}): ask for less, or have its quota raised"
            )
            found.append(Problem(field="resources.accelerators", message=message))
    return found


def waiting(project: Project, user: str) -> tuple[Waiting, ...]:
    """How many jobs of a project, and of a user in it, may wait."""
    both = ((None, project.quota.jobs_queued), (user, project.user_quota.jobs_queued))
    return tuple(Waiting(project=project.name, user=whose, most=most) for whose, most in both if most is not None)


def _limits(project: Project) -> bool:
    return project.quota.limits_use or project.user_quota.limits_use


def _scopes(project: Project, user: str) -> Iterator[tuple[Scope, Quota]]:
    yield (project.name, None), project.quota
    yield (project.name, user), project.user_quota


def _needs(resources: Resources, nodes: int) -> Sequence[tuple[str, float]]:
    gpus = [(resources.gpu_model, resources.gpus * nodes)] if resources.gpus else []
    return [*gpus, (JOBS, 1.0)]


def _name(scope: Scope) -> str:
    project, user = scope
    return f"quota of project {project}" if user is None else f"quota of {user} in project {project}"
