"""`broker dashboard`: the running broker → its dashboard in a browser, with the token and without showing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import render
from broker.cli.connection import client, elsewhere_at, state_dir

if TYPE_CHECKING:
    from pathlib import Path

    from broker.run.lifecycle import DaemonFile


def dashboard(
    browser: Annotated[bool, typer.Option(help="Open a browser; else only say where it is.")] = True,
) -> None:
    """Open the dashboard in a browser.

    Starts the broker if none runs. Example: broker dashboard
    """
    import webbrowser

    from broker.model.errors import DaemonError
    from broker.run.lifecycle import DaemonFile

    client(start=True)
    if (url := elsewhere_at()) is not None:
        print(url)
        if not browser or not webbrowser.open(url):
            render.say("open it in a browser; it asks for your token")
        return
    folder = state_dir()
    daemon = DaemonFile.read(folder)
    if daemon is None or not daemon.dashboard:
        raise DaemonError(
            'this broker serves no dashboard: set `dashboard = "loopback:0"` in its configuration and start it again'
        )
    print(f"{daemon.dashboard}/")
    if browser and webbrowser.open(_door(folder, daemon).as_uri()):
        return
    render.say(f"open it in a browser; it asks for the token in {daemon.token_file}")


def _door(folder: Path, daemon: DaemonFile) -> Path:
    """A file that only its owner can read and that leads to the dashboard: a browser's arguments are for all to see."""
    from pathlib import Path

    door = folder / "dashboard.html"
    door.unlink(missing_ok=True)
    door.touch(mode=0o600)
    token = Path(daemon.token_file).read_text(encoding="ascii").strip()
    address = f"{daemon.dashboard}/#token={token}"
    door.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}"><title>gpu-broker</title>\n')
    return door
