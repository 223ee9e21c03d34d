"""`broker schedule`: jobs that are submitted again and again."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.options import describes_a_job, document_of
from broker.cli.render import Column, Row
from broker.cli.submit import Words
from broker.model.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Run jobs again and again, at times of a clock.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.", show_default=False)]


@app.command()
@describes_a_job
def create(
    flags: dict[str, Any],
    schedule: Name,
    cron: Annotated[str, typer.Option(help="'MINUTE HOUR DAY MONTH WEEKDAY', or @hourly, @daily, …")],
    words: Words = None,
    timezone: Annotated[str, typer.Option(help="Whose clock it goes by: Europe/Berlin.")] = "UTC",
    concurrency: Annotated[
        str, typer.Option(help="While an earlier job has not ended: allow, forbid or replace.")
    ] = "allow",
    catch_up: Annotated[str, typer.Option(help="After a time without a broker: last or all.")] = "last",
    starting_deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="A firing that is later than this is missed. Default: never.")
    ] = None,
    jitter: Annotated[str, typer.Option(metavar="TIME", help="Fires up to this much later, always by the same.")] = "0",
    paused: Annotated[bool, typer.Option("--paused", help="Fires only when it is asked to.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a schedule: a file or a command, and when it runs.

    Example: broker schedule create nightly --cron "0 2 * * *" --timezone Europe/Berlin train.yaml
    """
    wish: dict[str, Any] = {
        "timezone": timezone,
        "concurrency": concurrency,
        "catch_up": catch_up,
        "starting_deadline": starting_deadline,
        "jitter": jitter,
        "paused": paused,
    }
    job = document_of(words or [], flags)
    _print(client(start=True).create_schedule(schedule, job, cron=cron, **wish), as_json)


@app.command()
@describes_a_job
def edit(
    flags: dict[str, Any],
    schedule: Name,
    words: Words = None,
    cron: Annotated[str | None, typer.Option(help="When it runs: 'MINUTE HOUR DAY MONTH WEEKDAY'.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Whose clock it goes by: Europe/Berlin.")] = None,
    concurrency: Annotated[str | None, typer.Option(help="allow, forbid or replace.")] = None,
    catch_up: Annotated[str | None, typer.Option(help="last or all.")] = None,
    starting_deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="A firing that is later than this is missed; or never.")
    ] = None,
    jitter: Annotated[str | None, typer.Option(metavar="TIME", help="Fires up to this much later.")] = None,
    paused: Annotated[bool | None, typer.Option("--paused/--resumed", help="Whether it waits to be asked.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a schedule: what is given, and its whole job where a file, a command or a flag of a job is.

    Example: broker schedule edit nightly --cron "30 3 * * *"
    """
    change: dict[str, Any] = {
        "cron": cron,
        "timezone": timezone,
        "concurrency": concurrency,
        "catch_up": catch_up,
        "starting_deadline": starting_deadline,
        "jitter": jitter,
        "paused": paused,
    }
    given: dict[str, Any] = {name: value for name, value in change.items() if value is not None}
    if starting_deadline == "never":
        given["starting_deadline"] = None
    job = document_of(words or [], flags) if words or any(value is not None for value in flags.values()) else None
    if not given and job is None:
        raise InvalidInput("nothing is to be changed: name an option, a file or a command")
    _print(client().change_schedule(schedule, job, **given), as_json)


@app.command("list")
def list_schedules(as_json: AsJson = False) -> None:
    """List schedules with their next time and what became of the last.

    Example: broker schedule list
    """
    found = client().schedules()
    render.rows(COLUMNS, found, as_json, "no schedule yet: `broker schedule create NAME --cron … train.yaml` makes one")


@app.command()
def show(schedule: Name, as_json: AsJson = False) -> None:
    """Show a schedule with its next times and last firings.

    Example: broker schedule show nightly
    """
    _print(client().schedule(schedule), as_json)


@app.command()
def pause(schedule: Name) -> None:
    """Fire no more until it is resumed.

    Example: broker schedule pause nightly
    """
    client().pause_schedule(schedule)
    render.say(f"schedule {schedule} is paused")


@app.command()
def resume(schedule: Name) -> None:
    """Go on from now; what would have fired meanwhile is not made up for.

    Example: broker schedule resume nightly
    """
    render.say(f"schedule {schedule} fires next {_next(client().resume_schedule(schedule))}")


@app.command("run-now")
def run_now(schedule: Name, as_json: AsJson = False) -> int:
    """Submit its job now, and print the job's id.

    Example: broker schedule run-now nightly
    """
    fired = client().run_schedule(schedule)
    if as_json:
        render.as_json(fired)
    elif fired["state"] == "submitted":
        print(fired["job_id"])
    else:
        render.say(f"{fired['state']}: {fired['reason']}", style="red")
    return 0 if fired["state"] == "submitted" else 1


@app.command()
def delete(schedule: Name) -> None:
    """Remove a schedule; its jobs stay, and go on.

    Example: broker schedule delete nightly
    """
    client().delete_schedule(schedule)
    render.say(f"schedule {schedule} removed")


def _print(found: Row, as_json: bool) -> None:
    if as_json:
        render.as_json(found)
        return
    job = found["job"]
    what = job.get("run") or shlex.join(job.get("argv", ())) or job["function"]["name"]
    render.line(f"{found['name']}  {found['in_words']} ({found['cron']}, {found['timezone']})")
    render.line(f"runs:  {what.strip().splitlines()[0]}, as {found['user']}")
    print(f"while an earlier one has not ended: {found['concurrency']}; catches up: {found['catch_up']}" + _late(found))
    print(f"next:  {'paused' if found['paused'] else ', '.join(map(_minute, found['next'][:3])) + ' UTC'}")
    if found["last"]:
        print()
        render.table(FIRINGS, found["last"])


def _late(found: Row) -> str:
    deadline = found["starting_deadline_s"]
    late = f", at most {render.seconds(deadline)} late" if deadline is not None else ""
    return late + (f"; jitter up to {render.seconds(found['jitter_s'])}" if found["jitter_s"] else "")


def _minute(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _next(row: Row) -> str:
    return "paused" if row["paused"] else _minute(row["next"][0]) + " UTC"


def _last(row: Row) -> str:
    return f"{row['last'][0]['state']} {_minute(row['last'][0]['at'])}" if row["last"] else "–"


COLUMNS = [
    Column(head="schedule", cell=lambda row: str(row["name"])),
    Column(head="user", cell=lambda row: str(row["user"]), spare=3),
    Column(head="when", cell=lambda row: f"{row['cron']} {row['timezone']}", spare=2),
    Column(head="in words", cell=lambda row: str(row["in_words"]), wrap=True, spare=4),
    Column(head="next", cell=_next),
    Column(head="last", cell=_last),
]
FIRINGS = [
    Column(
        head="fired (UTC)", cell=lambda row: row["at"][:19].replace("T", " ") + (" by hand" if row["by_hand"] else "")
    ),
    Column(head="state", cell=lambda row: str(row["state"])),
    Column(head="job", cell=lambda row: str(row["job_id"]) if row["state"] in ("due", "submitted") else "–"),
    Column(head="why", cell=lambda row: str(row["reason"] or "–"), wrap=True),
]
