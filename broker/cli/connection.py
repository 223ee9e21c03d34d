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


def only_here(what: str) -> None:
    """For what is about a broker of this machine. Raises `InvalidInput` where another is spoken to."""
    if url := elsewhere_at():
        from broker.model.errors import InvalidInput, Problem

        message = f"names the broker at {url}, which is {what} where it runs; unset it for one of this machine"
        raise InvalidInput(Problem(field="BROKER_URL", message=message))


def elsewhere_at() -> str | None:
    """The address of a broker that runs elsewhere; None: the one of this machine is meant."""
    return os.environ.get("BROKER_URL")


def name_state_dir() -> None:
    """Names the state folder in BROKER_STATE_DIR: commands of plugins and price sources find it there."""
    os.environ.setdefault("BROKER_STATE_DIR", str(state_dir()))


def client(*, start: bool = False) -> Client:
    """A client of the running broker; with `start`, one is started if none runs. Raises `DaemonError`.

    BROKER_URL and BROKER_TOKEN name a broker that runs elsewhere.
    """
    from broker.cli.render import say
    from broker.sdk.connect import connect, elsewhere

    if (url := elsewhere_at()) is not None:
        return elsewhere(url, os.environ.get("BROKER_TOKEN"))
    return connect(state_dir(), start=start, config=config_file(), progress=lambda line: say(f"  {line}", style="dim"))
