"""Watching jobs: logs, wait, and following a job from its placement to its end."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.failing import each_of

if TYPE_CHECKING:
    from broker.cli.job_output import JobOutput
    from broker.cli.tail import Tail
    from broker.sdk.client import Client
    from broker.sdk.events import StreamName

_LOST: Final = "the connection was lost; it is made again"
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job or an array.")]


def logs(
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="What it wrote to stderr only.")] = False,
    attempt: Annotated[
        int | None, typer.Option(help="Number of the attempt; by default the last, with --follow all.")
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="LINES", help="So many last lines of each; by default all.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="On a terminal, too, what would control it.")] = False,
) -> None:
    """Print what a job wrote.

    Its stdout to stdout, its stderr to stderr. A terminal gets colours, and nothing that would control it; a pipe gets
    every byte.

    Example: broker logs k3f9a2 -f --tail 20
    """
    from broker.cli.tail import Tail

    connected, streams = client(), _outputs(raw=raw)
    if stderr:
        del streams["stdout"]
    last = None if tail is None else Tail(connected, job, tail, attempt, streams)
    if follow:
        render.say(summary(_stream(connected, job, streams, attempt, last)), style="dim")
        return
    for name, out in streams.items():
        for data in connected.output(job, name, attempt=attempt, offset=last.before[name] if last else 0):
            out.write(data)
        out.close()


def wait(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB…", help="Ids of jobs or arrays.")],
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Give up waiting after this long.")] = None,
) -> int:
    """Wait for the end of a job, and exit with its code.

    Of several, for the end of all, and with the code of the first that did not succeed.
    Example: broker wait k3f9a2 --timeout 600
    """
    import time

    connected = client()
    until = None if timeout is None else time.monotonic() + timeout

    def ended(job: str) -> int:
        left_s = None if until is None else max(until - time.monotonic(), 0.0)
        found = connected.wait(job, timeout_s=left_s)
        if not found["ended"]:
            render.say(f"{job} is still {found['state']}")
            return 1
        render.line(summary(connected.job(job) if found["kind"] == "array" else found))
        return exit_code(found)

    return each_of(jobs, ended)


def follow(connected: Client, job_id: str, *, array: bool) -> int:
    """Follows a submitted job or array to its end; the exit code to give. Ctrl-C leaves it running."""
    try:
        found = _follow_array(connected, job_id) if array else _stream(connected, job_id, _outputs())
    except KeyboardInterrupt:
        render.say(f"\n{job_id} goes on; come back with: broker logs -f {job_id}   end it with: broker cancel {job_id}")
        return 130
    render.say(summary(found), style="green" if found["state"] == "succeeded" else "red")
    return exit_code(found)


def _outputs(*, raw: bool = False) -> dict[StreamName, JobOutput]:
    from broker.cli.job_output import JobOutput

    return {"stdout": JobOutput(sys.stdout, raw=raw), "stderr": JobOutput(sys.stderr, raw=raw)}


def _stream(
    connected: Client,
    job_id: str,
    outputs: Mapping[StreamName, JobOutput],
    attempt: int | None = None,
    last: Tail | None = None,
) -> dict[str, Any]:
    try:
        _show_events(connected, job_id, outputs, attempt, last)
    finally:
        for out in outputs.values():
            out.close()
    return connected.wait(job_id, timeout_s=0)


def _show_events(
    connected: Client,
    job_id: str,
    outputs: Mapping[StreamName, JobOutput],
    attempt: int | None = None,
    last: Tail | None = None,
) -> None:
    from broker.sdk.events import Seen

    told = ""
    for event in connected.follow(job_id, lambda: render.say(_LOST, style="dim")):
        if isinstance(event, Seen):
            reason = event.job["reason"]
            if reason and _words(reason) != told and not event.job["ended"]:
                render.say(f"[{event.job['state']}] {reason}", style="dim")
                told = _words(reason)
            continue
        if event.stream in outputs and attempt in (None, event.attempt):
            outputs[event.stream].write(last.of(event) if last else event.data)


def _words(reason: str) -> str:
    """Without its numbers: how long something may take is another one each time it is said."""
    return re.sub(r"\d+", "", reason)


def _follow_array(connected: Client, array_id: str) -> dict[str, Any]:
    live = sys.stderr.isatty()
    found = connected.wait(array_id, timeout_s=0)
    while True:
        counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items())
        if live:
            print(f"\r\033[K{array_id}: {counts}", end="", file=sys.stderr, flush=True)
        if found["ended"]:
            break
        found = connected.wait(array_id, since=found["revision"])
    if live:
        print(file=sys.stderr)
    return connected.job(array_id)


def summary(found: dict[str, Any]) -> str:
    """One line about an ended job or array."""
    paid = _paid(found.get("cost") or {})
    if found["kind"] == "array":
        counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items())
        return f"{found['id']} {found['state']}: {found['tasks']} tasks ({counts}), {paid}"
    where = (
        f" in {found['pool']}{' (emulated GPUs)' if found['emulated'] and found['gpus'] else ''}"
        if found["pool"]
        else ""
    )
    took = f" after {render.span(found['started_at'], found['ended_at'])}" if found["started_at"] else ""
    why = f": {found['reason']}" if found["reason"] and found["state"] != "succeeded" else ""
    return f"{found['id']} {found['state']}{where}{took}, {paid}{why}"


def _paid(cost: Mapping[str, Any]) -> str:
    """What it cost; right after an end, its last seconds are still to be charged."""
    if cost.get("complete", True):
        return render.usd(cost.get("usd"))
    from broker.model.money import Money

    paid = Money.of_usd(cost["usd"] or "0")
    return f"{paid} so far" if paid else "not charged yet"


def exit_code(found: dict[str, Any]) -> int:
    """What a script is told: the job's own code; 1 where it has none, or was cancelled."""
    if found["state"] == "succeeded":
        return 0
    return 1 if found["state"] == "cancelled" else int(found.get("exit_code") or 1)
