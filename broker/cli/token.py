"""`broker token`: who else may ask this broker, what, and until when."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.render import Column

TokenId = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Make, list and revoke tokens for others.")


class Scope(StrEnum):
    """What a token is good for."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@app.command()
def create(
    user: Annotated[str, typer.Argument(help="Who acts with it.")],
    scope: Annotated[
        Scope, typer.Option(help="read: see; submit: run jobs, end one's own; admin: everything.")
    ] = Scope.SUBMIT,
    lives: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Until it expires: 30d. Default: never.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. Its text is shown this once.

    Example: broker token create mia --scope read --for 30d
    """
    from broker.model.errors import InvalidInput, Problem
    from broker.spec.quantities import positive_duration

    try:
        lives_s = None if lives is None else positive_duration(lives)
    except ValueError as error:
        raise InvalidInput(Problem(field="--for", message=str(error))) from error
    made = client().create_token(user, scope.value, lives_s)
    if as_json:
        render.as_json(made)
        return
    print(made["token"])
    until = f"until {made['expires_at'][:19].replace('T', ' ')} UTC" if made["expires_at"] else "until it is revoked"
    render.say(f"for {user}, good for {scope.value}, {until}; it is kept nowhere: give it to {user} now", style="dim")


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens that were ever made, newest first.

    Example: broker token list
    """
    found = client().tokens()
    render.rows(_COLUMNS, found, as_json, "no token yet: `broker token create NAME` makes one")


@app.command()
def show(token_id: TokenId, as_json: AsJson = False) -> None:
    """Show one token, without its text.

    Example: broker token show 4f2a9c01d7be
    """
    render.row(_COLUMNS, client().token(token_id), as_json)


@app.command()
def revoke(token_id: TokenId) -> None:
    """End a token at once.

    Example: broker token revoke 4f2a9c01d7be
    """
    ended = client().revoke_token(token_id)
    print(f"the token {ended['id']} of {ended['user']} is revoked")


def _day(field: str, spare: int = 0) -> Column:
    return Column(
        head=field.removesuffix("_at"), cell=lambda row: str(row[field] or "–")[:19].replace("T", " "), spare=spare
    )


_COLUMNS = [
    Column(head="id", cell=lambda row: str(row["id"])),
    Column(head="user", cell=lambda row: str(row["user"])),
    Column(head="scope", cell=lambda row: str(row["scope"])),
    _day("created_at", spare=1),
    _day("expires_at"),
    _day("revoked_at"),
]
