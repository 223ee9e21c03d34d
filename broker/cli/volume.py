"""`broker volume`: named folders that outlive jobs."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.render import Column, Row

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keep checkpoints and data between jobs.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
EVERYBODY: Final = "*"
With = Annotated[str, typer.Option("--project", help="The other project; * is all.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the volume.", show_default=False)]


@app.command()
def create(
    name: Name,
    place: Annotated[
        str | None, typer.Option(help="Where it lives, as pools say it. Default: on the broker's machine.")
    ] = None,
    project: Annotated[str, typer.Option(help="Whose jobs may use it.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Make a volume of a project.

    Example: broker volume create checkpoints --project vision
    """
    _print(client(start=True).create_volume(name, place, project=project), as_json)


@app.command("list")
def list_volumes(as_json: AsJson = False) -> None:
    """List volumes with their sizes and who uses them.

    Example: broker volume list
    """
    found = client().volumes()
    render.rows(COLUMNS, found, as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one volume.

    Example: broker volume show checkpoints
    """
    _print(client().volume(name), as_json)


@app.command()
def share(
    name: Name,
    project: With = EVERYBODY,
    write: Annotated[bool, typer.Option("--write", help="Let them write to it, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let jobs of another project, or of all, read a volume. For admins of its project.

    Example: broker volume share imagenet --project speech
    """
    _print(client().share_volume(name, project, "write" if write else "read"), as_json)


@app.command()
def unshare(name: Name, project: With = EVERYBODY, as_json: AsJson = False) -> None:
    """Take that back; jobs that run keep what they have.

    Example: broker volume unshare imagenet --project speech
    """
    _print(client().share_volume(name, project, None), as_json)


@app.command()
def move(
    name: Name,
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Its project from now on.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Make a volume another project's. For admins of both.

    Example: broker volume move imagenet vision
    """
    _print(client().give_volume(name, project), as_json)


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a volume with all that is in it.

    One that a job uses which has not ended is not removed. Example: broker volume delete checkpoints --yes
    """
    connected = client()
    found = connected.volume(name)
    if not yes:
        typer.confirm(f"remove the volume {name} with all that is in it ({_size(found)})?", abort=True, err=True)
    removed = connected.delete_volume(name)
    left = "" if removed["emptied"] else f"; what was in it is still at {found['place']}: remove it there"
    render.say(f"volume {name} removed{left}")


def _print(found: Row, as_json: bool) -> None:
    render.row(COLUMNS, found, as_json)


def _whose(row: Row) -> str:
    """`vision; read: speech; write: everybody`."""
    said = [f"{access}: {'everybody' if other == EVERYBODY else other}" for other, access in row["shares"].items()]
    return "; ".join([row["project"], *said])


def _size(row: Row) -> str:
    size = row["size_bytes"]
    if size is None:
        return "size unknown"
    for unit, bytes_ in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= bytes_:
            return f"{size / bytes_:.1f} {unit}"
    return f"{size} B"


COLUMNS = [
    Column(head="volume", cell=lambda row: str(row["name"])),
    Column(head="project", cell=_whose, wrap=True),
    Column(head="place", cell=lambda row: str(row["place"])),
    Column(head="pools", cell=lambda row: ", ".join(row["pools"]) or "none", wrap=True),
    Column(head="size", cell=_size, right=True),
    Column(head="used by", cell=lambda row: ", ".join(row["used_by"]) or "–", wrap=True),
    Column(head="user", cell=lambda row: str(row["user"]), spare=2),
    Column(head="made (UTC)", cell=lambda row: str(row["created_at"])[:16].replace("T", " "), spare=3),
]
