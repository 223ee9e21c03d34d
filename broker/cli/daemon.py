"""Commands about the broker's own process: up, down, status, version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import render
from broker.cli.connection import client, config_file, only_here, state_dir, use_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.run.lifecycle import End

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def up(
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="Configuration to use.")] = None,
) -> None:
    """Start the broker: its daemon and what its pools run here.

    Returns once it is ready, and at once when it already runs. Example: broker up
    """
    from broker.run.lifecycle import is_running, start_daemon

    use_config(config)
    only_here("started")
    folder = state_dir()
    if not is_running(folder):
        render.say(f"starting the broker on {folder}", style="bold")
        start_daemon(folder, config_file(), lambda line: render.say(f"  {line}", style="dim"))
    else:
        for line in _left_out(folder):
            render.say(f"warning: {line}: `broker down`, then `broker up`, takes it", style="yellow")
    found = client().status()
    for name, problem in found["problems"].items():
        render.say(f"  pool {name} is out of use, and tried again: {problem}", style="yellow")
    render.say(f"the broker is up (process {found['pid']})", style="green")


def _left_out(folder: Path) -> Iterator[str]:
    """What a broker that runs has not read of the configuration that one started now would."""
    import os
    from datetime import datetime
    from pathlib import Path

    from broker.run.lifecycle import DaemonFile
    from broker.run.settings.load import find_config

    runs, wanted = DaemonFile.read(folder), config_file() or find_config(os.environ)
    if runs is None or wanted is None:
        return
    if not runs.config or not wanted.exists() or not Path(runs.config).resolve().samefile(wanted):
        yield f"the broker runs with {runs.config or 'no configuration'}, not with {wanted}"
    elif wanted.stat().st_mtime > datetime.fromisoformat(runs.started).timestamp():
        yield f"{wanted} was changed since the broker started"


def down(
    now: Annotated[bool, typer.Option("--now", help="Cancel what runs instead of waiting for it.")] = False,
) -> int:
    """End the broker and all that its pools started.

    Waits for what runs, unless --now. Queued jobs stay queued for the next `broker up`. Where the broker died, or was
    ended alone, what it left in its pools is ended all the same. Example: broker down --now
    """
    import time

    from broker.run.lifecycle import is_running

    only_here("ended")
    folder = state_dir()
    how = "cancelling what runs" if now else "waiting for what runs (--now cancels)"
    if is_running(folder):
        client().shutdown(drain=not now)
        render.say(f"ending the broker: {how}")
    elif not _take_over(folder, how, "now" if now else "drain"):
        render.say("no broker is running")
        return 0
    while is_running(folder):
        time.sleep(0.1)
    return _ended(folder)


def _take_over(folder: Path, how: str, end: End) -> bool:
    """Has a new daemon end what one that is gone left in its pools; whether there is anything."""
    from broker.run.aftermath import aftermath, checked_config
    from broker.run.lifecycle import start_daemon

    left = aftermath(folder)
    if not left.pools:
        return False
    render.say(f"no broker is running, but {left.how_it_ended}; what it started in its pools may still run")
    config = checked_config(left, config_file())
    render.say(f"taking over {' and '.join(left.pools)} to end them: {how}", style="bold")
    start_daemon(folder, config, lambda line: render.say(f"  {line}", style="dim"), end)
    return True


def _ended(folder: Path) -> int:
    """Says what is left where a pool could not be ended; the exit code."""
    from broker.run.aftermath import aftermath

    if not (pools := aftermath(folder).pools):
        render.say("the broker has ended", style="green")
        return 0
    names = " and ".join(pools)
    render.say(
        f"the broker has ended, but not all of {names}: that did not answer, or is in the configuration no more, and "
        f"may still cost money. {folder / 'daemon.log'} says why; `broker down` tries again",
        style="red",
    )
    return 6


def status(as_json: AsJson = False) -> None:
    """Say whether the broker runs, and what is wrong.

    Example: broker status
    """
    found = client().status()
    if as_json:
        render.as_json(found)
        return
    counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items() if count) or "none yet"
    print(f"broker {found['version']}, process {found['pid']}, up {render.seconds(found['uptime_s'])}")
    print(f"memory {found['memory_bytes'] / 2**20:.0f} MiB")
    print(f"jobs: {counts}")
    for each in found["brokers"] if len(found["brokers"]) > 1 else ():
        drives = f"drives {', '.join(each['pools'])}" if each["pools"] else "drives no pool"
        print(f"{'this ' if each['here'] else ''}broker {each['name']} {drives}{'; it leads' * each['leads']}")
    for name, problem in found["problems"].items():
        print(f"pool {name} is out of use: {problem}")


def autopilot(as_json: AsJson = False) -> None:
    """Show what the autopilot decided last, and why.

    About nodes and warm containers; and what it proposes to buy.

    `autopilot.mode` in the configuration switches it on. Example: broker autopilot
    """
    found = client().autopilot()
    if as_json:
        render.as_json(found)
        return
    if found["mode"] == "off":
        print('the autopilot is off: set autopilot.mode to "dry-run" or "on" in the configuration')
        return
    print(f"mode {found['mode']}, decides every {render.seconds(found['every_s'])}")
    if not found["decisions"] and not found["warm"]:
        print(
            "nothing has been decided yet: no pool can be steered, its price or start is not known, or it is too soon"
        )
    for columns, made in ((_NODES, found["decisions"]), (_WARM, found["warm"])):
        if made:
            render.table(columns, made[:20])
    for proposal in found["proposals"]:
        print(f"proposed for {proposal['pool']}, for a person to buy: {proposal['reason']}")


def _kept(setting: render.Row) -> str:
    """How containers are kept warm, in few words: the window, and what is kept without work."""
    window = render.seconds(setting["scaledown_window_s"])
    return f"{window}, {setting['min_containers']}+{setting['buffer_containers']}"


_AT_POOL = [
    render.Column(head="at", cell=lambda row: str(row["at"])[:19].replace("T", " ")),
    render.Column(head="pool", cell=lambda row: str(row["pool"])),
]
_DONE_WHY = [
    render.Column(head="done", cell=lambda row: "yes" if row["applied"] else ""),
    render.Column(head="why", cell=lambda row: str(row["reason"]), wrap=True),
]
_NODES = [*_AT_POOL, render.Column(head="nodes", cell=lambda row: f"{row['up']} → {row['nodes']}"), *_DONE_WHY]
_WARM = [
    *_AT_POOL,
    render.Column(head="window, min+buffer", cell=lambda row: f"{_kept(row['before'])} → {_kept(row['after'])}"),
    *_DONE_WHY,
]


def version() -> None:
    """Print the version. Example: broker version."""
    from importlib.metadata import version as version_of

    print(version_of("gpu-broker"))
