"""The connection of a command: which broker it talks to, found without more reading than needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.run.settings import Settings
    from broker.sdk.client import Client


def settings() -> Settings:
    """What the configuration says. Raises `InvalidInput`."""
    from broker.run.settings import load_settings

    return load_settings(config_file())


def use_config(named: str | None) -> None:
    """Takes a configuration that was named on the command line before all others, here and in a daemon started here."""
    if named is not None:
        os.environ["BROKER_CONFIG"] = named


def config_file() -> Path | None:
    """The configuration that was named; None where it is looked for in the usual places."""
    named = os.environ.get("BROKER_CONFIG")
    return Path(named).resolve() if named else None


def state_dir() -> Path:
    """The state folder; reading the configuration is spared where the environment says it."""
    named = os.environ.get("BROKER_STATE_DIR")
    return Path(named).expanduser().resolve() if named else settings().state_dir


def name_state_dir() -> None:
    """Names the state folder in BROKER_STATE_DIR: commands of plugins and price sources find it there."""
    os.environ.setdefault("BROKER_STATE_DIR", str(state_dir()))


def client(*, start: bool = False) -> Client:
    """A client of the running broker; with `start`, one is started if none runs. Raises `DaemonError`.

    BROKER_URL and BROKER_TOKEN name a broker that runs elsewhere.
    """
    from broker.cli.render import say
    from broker.sdk.connect import connect, elsewhere

    if (url := os.environ.get("BROKER_URL")) is not None:
        return elsewhere(url, os.environ.get("BROKER_TOKEN"))
    return connect(state_dir(), start=start, config=config_file(), progress=lambda line: say(f"  {line}", style="dim"))
