"""Projects, tokens, secrets, volumes, schedules and the audit log of the made-up team."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any, Final

from broker.api import audit as audit_views
from broker.api import projects as project_views
from broker.api import schedules as schedule_views
from broker.api import secrets as secret_views
from broker.api import tokens as token_views
from broker.api import volumes as volume_views
from broker.api.examples.past import ARRAY_ID, JOB_ID, PROJECT, USER
from broker.api.examples.pools import CLUSTER
from broker.api.examples.times import MIDNIGHT, NOW, SUBMITTED, at
from broker.decide.schedules import by_hand, upcoming
from broker.model.audit import DONE, AuditEntry
from broker.model.money import NS_PER_S
from broker.model.projects import DEFAULT_PROJECT, Project, Role
from broker.model.schedules import Concurrency, Firing, FiringState, Schedule
from broker.model.secrets import Secret
from broker.model.tokens import Scope, Token
from broker.model.volumes import EVERYBODY, Access, Volume
from broker.run.service.scheduling import ScheduleStanding
from broker.run.service.secret_keeping import SecretStanding
from broker.run.service.volumes import VolumeStanding
from broker.spec.build import dump
from broker.spec.read import from_mapping

DAY_NS: Final = 86_400 * NS_PER_S
TOKEN_ID: Final = "4f2a9c01d7be"
NIGHTLY: Final[dict[str, Any]] = {
    "name": "evaluate",
    "run": "python evaluate.py",
    "project": PROJECT,
    "resources": {"accelerators": "H100"},
    "est_runtime": "20m",
    "max_cost": "$5",
}
PROJECT_PART: Final[dict[str, Any]] = {
    "description": "Image models",
    "weight": 2.0,
    "max_priority": 80,
    "quota": {"gpus": {"H100": 16}, "jobs_running": 50, "jobs_queued": 10_000},
    "user_quota": {"gpus": {"H100": 8}},
}
_TOKEN: Final = Token(
    id=TOKEN_ID, user=USER, scope=Scope.SUBMIT, created_ns=at("08:55:31"), expires_ns=at("08:55:31") + 30 * DAY_NS
)
_PROJECT: Final = replace(
    project_views.ProjectPart.model_validate(PROJECT_PART).project(PROJECT),
    members={"ann": Role.ADMIN, USER: Role.SUBMITTER},
    created_ns=at("08:50:02"),
)
_SCHEDULE: Final = Schedule(
    id="3k8d",
    name="nightly",
    user=USER,
    cron="0 2 * * *",
    timezone="UTC",
    document=dump(from_mapping(NIGHTLY).document),
    concurrency=Concurrency.FORBID,
    starting_deadline_s=3_600.0,
    created_ns=at("00:00") - DAY_NS,
    decided_ns=NOW,
)

_VOLUME: Final = Volume(
    name="checkpoints", place=CLUSTER.volumes, user=USER, created_ns=at("08:58:12"), project=PROJECT
)


def project() -> project_views.ProjectView:
    """The team's project."""
    return project_views.project(_PROJECT)


def default_project() -> project_views.ProjectView:
    """The one that is always there."""
    return project_views.project(Project(name=DEFAULT_PROJECT))


def project_alone() -> project_views.ProjectView:
    """The same without its second member."""
    return project_views.project(replace(_PROJECT, members={"ann": Role.ADMIN}))


def project_made() -> project_views.ProjectView:
    """The same as it was made."""
    return project_views.project(replace(_PROJECT, members={}))


def token() -> token_views.TokenView:
    """A token without its text."""
    return token_views.token(_TOKEN)


def token_made() -> token_views.TokenMade:
    """The same with its text, which opens nothing."""
    return token_views.TokenMade(**token().model_dump(), token=f"broker_{TOKEN_ID}_EXAMPLE-do-not-use-this-text")


def token_revoked() -> token_views.TokenView:
    """The same after its end."""
    return token_views.token(replace(_TOKEN, revoked_ns=NOW))


def schedule(*, paused: bool = False) -> schedule_views.ScheduleView:
    """What is submitted every night."""
    return schedule_views.view(_standing(replace(_SCHEDULE, paused=paused)))


def schedule_moved() -> schedule_views.ScheduleView:
    """The same at half past three."""
    return schedule_views.view(_standing(replace(_SCHEDULE, cron="30 3 * * *")))


def firing() -> schedule_views.FiringView:
    """What became of it when somebody asked for it."""
    return schedule_views.firing(replace(by_hand(_SCHEDULE, NOW), state=FiringState.SUBMITTED))


def secret() -> secret_views.SecretView:
    """A secret without its value."""
    made = Secret(name="HF_TOKEN", version=2, user="ann", created_ns=at("08:51:40"), projects=(PROJECT,))
    return secret_views.view(SecretStanding(newest=made, key_id="9d1c40ab"))


def volume(used_by: tuple[str, ...] = (f"{ARRAY_ID}.16",), found: Volume | None = None) -> volume_views.VolumeView:
    """A folder that outlives jobs, on the file server of the cluster's nodes."""
    standing = VolumeStanding(volume=found or _VOLUME, pools=(CLUSTER.name,), used_by=used_by, size_bytes=None)
    return volume_views.view(standing)


def volume_shared() -> volume_views.VolumeView:
    """The same when everybody may read it."""
    return volume(found=replace(_VOLUME, shares={EVERYBODY: Access.READ}))


def volume_made() -> volume_views.VolumeView:
    """The same before anything used it."""
    return volume(used_by=())


def audit() -> audit_views.AuditList:
    """Who did what that morning, newest first."""
    said = (
        (SUBMITTED, USER, TOKEN_ID, "jobs.submit", JOB_ID, DONE),
        (at("09:02:17"), USER, TOKEN_ID, "tokens.create", "", "refused 403"),
        (at("08:55:31"), "ann", "", "tokens.create", TOKEN_ID, DONE),
    )
    entries = [
        AuditEntry(
            seq=412 - place,
            at_ns=at_ns,
            user=user,
            token_id=token_id,
            action=action,
            target=target,
            origin="10.0.3.7" if token_id else "socket",
            outcome=outcome,
        )
        for place, (at_ns, user, token_id, action, target, outcome) in enumerate(said)
    ]
    return audit_views.audit_list(entries, limit=100)


def audit_lines() -> str:
    """The same, a line each."""
    return "".join(f"{each.model_dump_json()}\n" for each in audit().entries)


def _standing(schedule: Schedule) -> ScheduleStanding:
    fired_ns = MIDNIGHT + 2 * 3_600 * NS_PER_S
    last = Firing(
        schedule=schedule.id,
        at_ns=fired_ns,
        state=FiringState.SUBMITTED,
        job_id=schedule.job_id(fired_ns),
        decided_ns=fired_ns,
    )
    return ScheduleStanding(
        schedule=schedule, next_ns=() if schedule.paused else upcoming(schedule, UTC, NOW, 5), last=(last,)
    )
