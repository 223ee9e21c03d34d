"""Commands about jobs that were submitted: list, show, cancel, retry, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.failing import each_of
from broker.cli.render import Column, Row
from broker.cli.watch import JobId

if TYPE_CHECKING:
    from broker.sdk.client import Client

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


_LONGEST_PAGE = 1_000  # that the API gives at once
_NO_JOB = "no job yet: `broker submit echo hello` runs one"
_NO_MATCH = "no job matches"


def _page(wanted: dict[str, Any], limit: int) -> dict[str, Any]:
    """As many jobs as are wanted, however many pages of the API they fill."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    found = client()
    while True:
        page = found.jobs(**wanted, limit=min(limit - len(items), _LONGEST_PAGE), cursor=cursor)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None or len(items) >= limit:
            return {"items": items, "next_cursor": cursor}


def list_jobs(
    state: Annotated[list[str] | None, typer.Option(help="queued, starting, running, succeeded, failed …")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only of this project; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="Only of this name.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only those that ran last in this pool.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; may be repeated.")] = None,
    array: Annotated[str | None, typer.Option(help="The tasks of this array.")] = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Each task of an array is a line.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, help="Lines at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first; an array is one line.

    Example: broker list --state running --tag team=research
    """
    from broker.model.errors import InvalidInput, Problem

    if wrong := [each for each in tag or () if "=" not in each]:
        raise InvalidInput(*(Problem(field="--tag", message=f"must be KEY=VALUE, not {each!r}") for each in wrong))
    wanted = {"state": state, "user": user, "name": name, "pool": pool, "tag": tag, "array": array, "project": project}
    page = _page(wanted | {"collapse": array is None and not tasks}, limit)
    if as_json:
        render.as_json(page)
        return
    is_filtered = any(each is not None for each in wanted.values())
    render.table(_LIST, page["items"], none=_NO_MATCH if is_filtered else _NO_JOB)
    if page["next_cursor"]:
        render.say(f"(more: --limit {2 * limit})")


def show(job: JobId, as_json: AsJson = False) -> None:
    """Show a job: its attempts, history and charges.

    Of an array, its tasks.

    Example: broker show k3f9a2
    """
    from broker.cli.detail import show_array, show_job

    connected = client()
    found = connected.job(job)
    if as_json:
        render.as_json(found)
    elif found["kind"] == "array":
        show_array(found, connected.jobs(array=job, limit=20)["items"])
    else:
        show_job(found)


def cancel(jobs: Annotated[list[str], typer.Argument(metavar="JOB…", help="Ids of jobs or arrays.")]) -> int:
    """End jobs. Queued ones end at once, running ones as soon as their processes have ended.

    One that can't be ended keeps no other from its end. Example: broker cancel k3f9a2
    """
    connected = client()
    return each_of(jobs, lambda job: _cancel(connected, job))


def _cancel(connected: Client, job: str) -> int:
    found = connected.cancel(job)
    render.say(f"{job}: {found['marked']} to be cancelled" if found["marked"] else f"{job} had ended already")
    return 0


def retry(
    job: JobId,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id and return at once.")] = False,
) -> int:
    """Run a failed or cancelled job again, as a new one.

    Of an array, the tasks that did not succeed.

    Example: broker retry k3f9a2
    """
    from broker.cli.watch import follow

    connected = client()
    found = connected.retry(job)
    if detach:
        print(found["id"])
        return 0
    render.say(f"{found['id']} submitted, again for {job}", style="bold")
    return follow(connected, found["id"], array=found["tasks"] is not None)


def explain(job: JobId, as_json: AsJson = False) -> None:
    """Say why a job runs where it does.

    What was chosen and what refused, the difference in dollars, and what would have changed the choice.

    Example: broker explain k3f9a2
    """
    from broker.cli.quotes import show_placement

    found = client().explain(job)
    if as_json:
        render.as_json(found)
        return
    if found["placement"]:
        show_placement(found["placement"])
    else:
        print("no decision was made about it yet")
    for line in found["rejected"]:
        render.line(f"not: {line}")
    if found["difference"]:
        print(_difference(found["difference"]["usd"]))
    for line in found["actual"]:
        render.line(f"came out: {line}")


def _difference(usd: str) -> str:
    if usd.startswith("-"):
        return f"the cheapest other pool would have added {render.usd(usd[1:])} less"
    return f"the cheapest other pool would have added {render.usd(usd)} more"


def _cost(row: Row) -> str:
    cost = row.get("cost")
    if cost is None:
        return ""
    if cost["usd"] is None and not cost["unknown"]:
        return ""
    return render.usd(cost["usd"]) + ("" if cost["complete"] else "+")


def _pool(row: Row) -> str:
    pool = row.get("pool") or ""
    return f"{pool} (emulated)" if row.get("emulated") and row.get("gpus") else pool


def _took(row: Row) -> str:
    return render.span(row.get("started_at"), row.get("ended_at")) if "started_at" in row else ""


def _state(row: Row) -> str:
    if row["kind"] != "array":
        return "held" if row["state"] == "queued" and row["reason"].startswith("held") else str(row["state"])
    counts: dict[str, Any] = row["counts"]
    return ", ".join(f"{count} {state}" for state, count in counts.items())


_LIST = [
    Column(head="id", cell=lambda row: str(row["id"])),
    Column(head="name", cell=lambda row: str(row["name"]), spare=1),
    Column(head="state", cell=_state, style=lambda row: render.STATE_STYLES.get(row["state"], "")),
    Column(head="pool", cell=_pool, spare=2),
    Column(head="gpus", cell=lambda row: str(row.get("gpus", "")), spare=4),
    Column(head="attempts", cell=lambda row: str(row.get("attempts", "")), right=True, spare=7),
    Column(head="submitted", cell=lambda row: render.ago(row["submitted_at"]), right=True, spare=5),
    Column(head="ran", cell=_took, right=True, spare=3),
    Column(head="cost", cell=_cost, right=True),
    Column(head="user", cell=lambda row: str(row["user"]), spare=6),
    Column(head="project", cell=lambda row: str(row["project"]), spare=8),
]
