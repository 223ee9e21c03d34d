"""`broker project`: whose jobs are whose, who may see and submit them, and how much they may use at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.render import Column, Row

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make projects, and say who is in them.")
member = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Say who is in a project.")
app.add_typer(member, name="member")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Name = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.", show_default=False)]
User = Annotated[str, typer.Argument(metavar="USER", help="User, as tokens name them.", show_default=False)]
Description = Annotated[str | None, typer.Option(help="For people.")]
Weight = Annotated[float | None, typer.Option(help="Its share of what is contended, beside others'; 1 if not said.")]
MaxPriority = Annotated[int | None, typer.Option(help="The largest priority of its jobs.")]
Gpus = Annotated[list[str] | None, typer.Option(metavar="MODEL:N", help="GPUs at once; may be repeated.")]
UserGpus = Annotated[list[str] | None, typer.Option(metavar="MODEL:N", help="The same for each user in it.")]
Running = Annotated[int | None, typer.Option(help="Jobs that run at once.")]
Queued = Annotated[int | None, typer.Option(help="Jobs that wait.")]
UserRunning = Annotated[int | None, typer.Option(help="Jobs of each user that run at once.")]
UserQueued = Annotated[int | None, typer.Option(help="Jobs of each user that wait.")]


class Role(StrEnum):
    """What a member may do."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    ADMIN = "admin"


@app.command()
def create(
    name: Name,
    description: Description = None,
    weight: Weight = None,
    max_priority: MaxPriority = None,
    gpus: Gpus = None,
    max_running: Running = None,
    max_queued: Queued = None,
    user_gpus: UserGpus = None,
    user_max_running: UserRunning = None,
    user_max_queued: UserQueued = None,
    as_json: AsJson = False,
) -> None:
    """Make a project.

    From the first one on, tokens that are not `admin` see the projects of their users alone.

    Example: broker project create vision --gpus H100:8 --user-gpus H100:4 --weight 2
    """
    given = _given(description, weight, max_priority)
    quota = _quota({}, gpus, max_running, max_queued)
    user_quota = _quota({}, user_gpus, user_max_running, user_max_queued)
    _print(client(start=True).create_project(name, **given, quota=quota, user_quota=user_quota), as_json)


@app.command("list")
def list_projects(as_json: AsJson = False) -> None:
    """List projects with their members and quotas.

    Example: broker project list
    """
    found = client().projects()
    render.rows(_COLUMNS, found, as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one project.

    Example: broker project show vision
    """
    _print(client().project(name), as_json)


@app.command("set")
def set_project(
    name: Name,
    description: Description = None,
    weight: Weight = None,
    max_priority: MaxPriority = None,
    gpus: Gpus = None,
    max_running: Running = None,
    max_queued: Queued = None,
    user_gpus: UserGpus = None,
    user_max_running: UserRunning = None,
    user_max_queued: UserQueued = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Forget its limits before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change a project; what is not given stays as it is.

    Example: broker project set vision --gpus H100:16
    """
    connected = client()
    found = connected.project(name)
    limits: dict[str, Any] = {"max_priority": None, "quota": {}, "user_quota": {}} if unlimited else {}
    wish = {key: found[key] for key in ("description", "weight", "max_priority", "quota", "user_quota")} | limits
    wish |= _given(description, weight, max_priority)
    wish["quota"] = _quota(wish["quota"], gpus, max_running, max_queued)
    wish["user_quota"] = _quota(wish["user_quota"], user_gpus, user_max_running, user_max_queued)
    _print(connected.set_project(name, wish), as_json)


@app.command()
def delete(name: Name) -> None:
    """Delete a project without jobs that wait or run; those that have ended keep its name.

    Example: broker project delete vision
    """
    client().delete_project(name)
    render.say(f"project {name} deleted")


@member.command("add")
def add_member(
    name: Name,
    user: User,
    role: Annotated[
        Role, typer.Option(help="viewer: see; submitter: submit, end one's own; admin: all jobs in it, its members.")
    ] = Role.SUBMITTER,
) -> None:
    """Make somebody a member, or give a member another role.

    Example: broker project member add vision mia --role admin
    """
    client().set_member(name, user, role.value)
    render.say(f"{user} is {role.value} in {name}")


@member.command("remove")
def remove_member(name: Name, user: User) -> None:
    """End a membership.

    Example: broker project member remove vision mia
    """
    client().remove_member(name, user)
    render.say(f"{user} is no member of {name} any more")


def _given(description: str | None, weight: float | None, max_priority: int | None) -> dict[str, Any]:
    named = {"description": description, "weight": weight, "max_priority": max_priority}
    return {name: value for name, value in named.items() if value is not None}


def _quota(before: Row, gpus: list[str] | None, running: int | None, queued: int | None) -> dict[str, Any]:
    """What was there, with what is given now."""
    found = dict(before)
    if gpus:
        found["gpus"] = {**found.get("gpus", {}), **dict(map(_gpu, gpus))}
    if running is not None:
        found["jobs_running"] = running
    if queued is not None:
        found["jobs_queued"] = queued
    return found


def _gpu(text: str) -> tuple[str, float]:
    from broker.model.errors import InvalidInput, Problem

    model, _, count = text.rpartition(":")
    try:
        return model or text, float(count)
    except ValueError as error:
        raise InvalidInput(Problem(field="--gpus", message=f"must be MODEL:N, like H100:8, not {text!r}")) from error


def _print(found: Row, as_json: bool) -> None:
    render.row(_COLUMNS, found, as_json)


def _members(row: Row) -> str:
    named = ", ".join(f"{user} ({role})" for user, role in row["members"].items())
    return named or ("everybody" if row["name"] == "default" else "none")


def _limits(row: Row, name: str) -> str:
    quota = row[name]
    said = [f"{count:g} {model}" for model, count in quota["gpus"].items()]
    for what in ("running", "queued"):
        if (most := quota[f"jobs_{what}"]) is not None:
            said.append(f"{most} {what}")
    return ", ".join(said) or "–"


_COLUMNS = [
    Column(head="project", cell=lambda row: str(row["name"])),
    Column(head="members", cell=_members, wrap=True),
    Column(head="weight", cell=lambda row: f"{row['weight']:g}", right=True),
    Column(head="at once", cell=lambda row: _limits(row, "quota"), wrap=True),
    Column(head="each user", cell=lambda row: _limits(row, "user_quota"), wrap=True),
    Column(
        head="priority", cell=lambda row: "" if row["max_priority"] is None else f"≤ {row['max_priority']}", right=True
    ),
    Column(head="about", cell=lambda row: str(row["description"]), spare=1, wrap=True),
]
