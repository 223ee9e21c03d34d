"""Errors → what is said of them on a terminal, and exit codes that scripts can use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from broker.cli.render import say
from broker.model.errors import BrokerError, Conflict, DaemonError, ExecutorError, InvalidInput, PriceMissing

_OPTIONS: Final = {"period": "--for", "state": "--state"}  # of parameters that are called otherwise here
NO_POOL: Final = 5  # exit code: no pool, executor or price can do it


def each_of(names: Sequence[str], act: Callable[[str], int]) -> int:
    """Acts on each by its name, whatever became of those before; the exit code of the first that failed."""
    codes = []
    for name in names:
        try:
            codes.append(act(name))
        except DaemonError:
            raise
        except BrokerError as error:
            codes.append(explained(error))
    return next(filter(None, codes), 0)


def in_our_words(error: BrokerError) -> str:
    """What is wrong, by what was written here: the API's period is given as --for, its state as --state."""
    if not isinstance(error, InvalidInput):
        return str(error)
    return "\n".join(
        str(replace(problem, field=_OPTIONS.get(problem.field, problem.field))) for problem in error.problems
    )


def explained(error: BrokerError) -> int:
    """Says what went wrong in words and returns the exit code."""
    for line in in_our_words(error).splitlines():
        say(f"error: {line}", style="red")
    codes: dict[type[BrokerError], int] = {
        InvalidInput: 2,
        DaemonError: 3,
        Conflict: 4,
        ExecutorError: NO_POOL,
        PriceMissing: NO_POOL,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 6)
