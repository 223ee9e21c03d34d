"""Commands that take a job: submit runs it, offers only says what it would cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.failing import NO_POOL
from broker.cli.options import describes_a_job, document_of

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE.yaml|-] [-- COMMAND…]",
        help="A job file, - for standard input, or a command after --.",
        show_default=False,
    ),
]
ANY_JOB = "any-job"  # what a job is called of which only its needs are known

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@describes_a_job
def submit(
    flags: dict[str, Any],
    words: Words = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id and return at once.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what each pool would cost; start nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Run a job where it costs least, and follow it to its end.

    The broker is started if it is not up. Exits with the job's own exit code; Ctrl-C leaves the job running.
    Examples: broker submit train.yaml    broker submit --gpus H100 --workdir . -- python train.py
    """
    document = document_of(words or [], flags)
    connected = client(start=True)
    if dry_run:
        return _show_offers(connected.offers(document), as_json)
    found = connected.submit(document)
    for note in found["ignored"]:
        render.say(f"note: {note['field']}: {note['message']}", style="dim")
    for warning in found["warnings"]:
        render.say(f"warning: {warning}", style="yellow")
    if detach:
        _print_submitted(found, as_json)
        return 0
    from broker.cli.watch import exit_code, follow

    if as_json:
        ended = connected.wait(found["id"])
        render.as_json(connected.job(found["id"]))
        return exit_code(ended)
    render.say(f"{found['id']} submitted" + (f", {found['tasks']} tasks" if found["tasks"] else ""), style="bold")
    return follow(connected, found["id"], array=found["tasks"] is not None)


@describes_a_job
def offers(flags: dict[str, Any], words: Words = None, as_json: AsJson = False) -> int:
    """Show what a job would cost in each pool; starts nothing.

    Also when it would start, and what would be chosen. What it runs need not be said. Exits with 5 where no pool can
    ever run it.
    Example: broker offers --gpus L4 --est-runtime 10m
    """
    if not words:
        words, flags = ["true"], {**flags, "name": flags["name"] or ANY_JOB}
    return _show_offers(client(start=True).offers(document_of(words, flags)), as_json)


def _print_submitted(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        render.as_json(found)
    else:
        print(found["id"])


def _show_offers(placement: dict[str, Any], as_json: bool) -> int:
    from broker.cli.quotes import show_placement

    if as_json:
        render.as_json(placement)
    else:
        show_placement(placement)
    return NO_POOL if placement["verdict"] == "fail" else 0
