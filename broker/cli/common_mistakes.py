"""Common mistakes in the arguments of `submit` → an error, or a warning, that shows what to write instead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from broker.cli.connection import elsewhere_at
from broker.model.errors import InvalidInput

JOB_FILES: Final = (".yaml", ".yml", ".json")
_RUN_BY: Final = {".py": "python", ".sh": "bash"}


# What other tools call our commands.
_OURS: Final = (
    dict.fromkeys(("jobs", "job", "ps", "ls", "queue", "squeue"), "list")
    | dict.fromkeys(("run", "launch", "exec", "apply", "sbatch"), "submit")
    | dict.fromkeys(("kill", "rm", "delete", "stop", "scancel"), "cancel")
    | dict.fromkeys(("describe", "inspect", "get"), "show")
    | dict.fromkeys(("cost", "costs", "bill", "cost-report"), "spend")
    | {"tail": "logs", "why": "explain", "quote": "offers", "start": "up", "shutdown": "down", "ui": "dashboard"}
)


class OurNames(TyperGroup):
    """Our commands; what others call them is told from what nobody does."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of the first word. Raises a usage error, with our name for it where there is one."""
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            if ours := _OURS.get(args[0]):
                error.message = f"No such command {args[0]!r}: here it is `broker {ours}`."
            raise


class TakesACommand(TyperCommand):
    """A command of ours that is given one of the user's, whose options it can't tell from its own before `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Splits the words; an option that is not ours may be the user's command's."""
        given = [*args]
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if hasattr(error, "option_name") and "--" not in given:
                error.message += f". A command and its options go after --: broker {self.name} -- python x.py --lr 1"
            raise


def refuse_what_is_no_command(words: Sequence[str], flags: Mapping[str, Any]) -> None:
    """Refuses a folder or a file that can't be run, where it is all that was said. Raises `InvalidInput`."""
    if len(words) != 1 or flags.get("image") or not os.path.exists(words[0]):
        return
    from shutil import which

    if which(words[0]) is not None:
        return
    if (path := Path(words[0])).is_dir():
        raise InvalidInput(_for_a_folder(path))
    if by := _RUN_BY.get(path.suffix):
        raise InvalidInput(f"{path} is a file, not a command: broker submit{_with_folder(path)} -- {by} {path}")
    raise InvalidInput(f"{path} is neither a command nor a job file, whose name ends in {', '.join(JOB_FILES)}")


def left_behind(words: Sequence[str], flags: Mapping[str, Any]) -> Iterator[str]:
    """What a command names that is here and, without a workdir, will not be where it runs."""
    if flags.get("workdir") or elsewhere_at() is not None:
        return
    for word in words:
        if not os.path.isabs(word) and not word.startswith("-") and os.path.exists(word):
            yield f"{word} does not go along: the job starts in an empty folder; with --workdir . in a copy of this one"
            return


def _for_a_folder(path: Path) -> str:
    found = sorted(each.name for each in path.glob("*") if each.suffix in JOB_FILES)
    if found:
        return f"{path} is a folder: name one of the job files in it, such as {path / found[0]}"
    return f"{path} is a folder, not a command: broker submit --workdir {path} -- COMMAND runs one in a copy of it"


def _with_folder(path: Path) -> str:
    return "" if path.is_absolute() else " --workdir ."
