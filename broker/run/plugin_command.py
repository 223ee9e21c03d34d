"""A command of a plugin, in a process of its own: `python -m broker.run.plugin_command NAME ARGUMENTS…`.

What is wrong is said as JSON on the last line of standard error, and the process ends with `REFUSED`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from importlib.metadata import entry_points
from typing import Final

from broker.model.errors import BrokerError, InvalidInput, Problem
from broker.run.plugins import COMMANDS

REFUSED: Final = 3  # the exit code where what was asked is wrong
MOST_MEMORY: Final = 8 << 30  # of addresses, of which only a part is ever used


def limit() -> None:
    """This process gets less memory than the broker may have, and time only when nobody else wants it."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    os.nice(10)


def main(arguments: list[str]) -> int:
    """Runs the command; its exit code."""
    import typer

    name, *rest = arguments
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    try:
        (found,) = entry_points(group=COMMANDS, name=name)
        app.command(name)(found.load())
        app(rest, standalone_mode=False)
    except (BrokerError, ValueError, ImportError, MemoryError) as error:
        problems = error.problems if isinstance(error, InvalidInput) else (Problem(message=_said(name, error)),)
        print(json.dumps([asdict(each) for each in problems]), file=sys.stderr)
        return REFUSED
    return 0


def _said(name: str, error: Exception) -> str:
    if isinstance(error, BrokerError):
        return str(error)
    if isinstance(error, MemoryError):
        return (
            f"{name} needs more than {MOST_MEMORY >> 30} GiB: ask for less (a shorter time, longer steps, fewer GPUs)"
        )
    return f"the command {name!r} is not installed, or can't be loaded: {error}"


if __name__ == "__main__":
    limit()
    sys.exit(main(sys.argv[1:]))
