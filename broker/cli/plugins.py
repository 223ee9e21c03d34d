"""Commands of plugins: entry points of the group `broker.commands` → commands beside our own.

One that can't be loaded is listed with its reason, and says it again when called.
"""

from __future__ import annotations

import typer

from broker.model.errors import Misconfigured


def add_plugin_commands(app: typer.Typer) -> None:
    """Adds every installed plugin command under its entry point's name."""
    from importlib.metadata import entry_points

    for entry_point in sorted(entry_points(group="broker.commands"), key=lambda found: found.name):
        try:
            command = entry_point.load()
        except (ImportError, AttributeError) as error:
            command = _missing(entry_point.name, str(error))
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry_point.name)
        else:
            app.command(entry_point.name)(command)


def _missing(name: str, reason: str) -> object:
    def command() -> None:
        raise Misconfigured(f"the command {name!r} can't be loaded: {reason}; install what it needs")

    command.__doc__ = f"(not available: {reason})"
    return command
