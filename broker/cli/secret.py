"""`broker secret`: what jobs find in their environment and nobody is told."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.render import Column
from broker.model.errors import InvalidInput, Problem
from broker.model.secrets import VARIABLE

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keep values that jobs need and nobody may see.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the environment variable.", show_default=False)]


@app.command("set")
def set_secret(
    name: Name,
    from_env: Annotated[str | None, typer.Option(metavar="NAME", help="Take the value of this variable.")] = None,
    from_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Take what this file holds.")] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="Only jobs of this project may name it; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a secret: asked for on a terminal, else read from the pipe.

    One newline at the end is left out. Example: broker secret set HF_TOKEN < token.txt
    """
    if not re.fullmatch(VARIABLE, name):
        raise InvalidInput(
            Problem(
                field=name,
                message="is no name of an environment variable: use letters, digits and _, and begin with no digit",
            )
        )
    found = client(start=True).set_secret(name, _value(name, from_env, from_file), projects=project or [])
    if as_json:
        render.as_json(found)
    else:
        render.say(f"secret {name} is set, version {found['version']}")


@app.command("list")
def list_secrets(as_json: AsJson = False) -> None:
    """List secrets, without their values.

    Example: broker secret list
    """
    found = client().secrets()
    render.rows(COLUMNS, found, as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one secret, without its value.

    Example: broker secret show HF_TOKEN
    """
    render.row(COLUMNS, client().secret(name), as_json)


@app.command()
def delete(name: Name) -> None:
    """Remove a secret with all its versions.

    Example: broker secret delete HF_TOKEN
    """
    client().delete_secret(name)
    render.say(f"secret {name} removed")


@app.command("rotate-key")
def rotate_key() -> None:
    """Seal all secrets with a new key, and drop the old one.

    Example: broker secret rotate-key
    """
    sealed = client().rotate_secrets_key()
    render.say(f"{sealed} {'version is' if sealed == 1 else 'versions are'} sealed with the new key")


def _value(name: str, from_env: str | None, from_file: Path | None) -> str:
    """The value, from one place. Raises `InvalidInput`, which never has it."""
    from broker.model.errors import InvalidInput, Problem

    if from_env is not None and from_file is not None:
        raise InvalidInput(Problem(field="--from-file", message="--from-env is given, too: keep one"))
    if from_env is not None:
        if (found := os.environ.get(from_env)) is None:
            raise InvalidInput(Problem(field="--from-env", message=f"there is no variable {from_env}"))
        return found
    try:
        data = from_file.read_bytes() if from_file is not None else _asked(name)
        return data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise InvalidInput(Problem(field="--from-file", message=f"{from_file}: {error.strerror}")) from error
    except UnicodeDecodeError:
        raise InvalidInput("the value is not UTF-8: encode it, as in base64") from None


def _asked(name: str) -> bytes:
    if not sys.stdin.isatty():
        return sys.stdin.buffer.read()
    value: str = typer.prompt(f"value of {name}", hide_input=True, err=True)
    return value.encode()


COLUMNS = [
    Column(head="secret", cell=lambda row: str(row["name"])),
    Column(head="version", cell=lambda row: str(row["version"]), right=True),
    Column(head="for", cell=lambda row: ", ".join(row["projects"]) or "everybody", wrap=True),
    Column(head="set by", cell=lambda row: str(row["user"])),
    Column(head="set (UTC)", cell=lambda row: str(row["set_at"])[:19].replace("T", " ")),
    Column(head="key", cell=lambda row: str(row["key"])),
]
