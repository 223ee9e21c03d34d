"""Pages of the reference that are made from the code each time the site is built: the command line and the HTTP API."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs loads a hook by its path

from http_pages import markdown as http_markdown

TITLE = "Command line, in full"
ABOUT = "*What each command is for, with an example: [Command line](../cli.md).*"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to those that are written by hand."""
    for name, content in (("reference/cli.md", _commands()), ("reference/http.md", _http())):
        files.append(File.generated(config, name, content=content))
    return files


def _commands() -> str:
    import typer
    from typer.cli import get_docs_for_click

    from broker.cli.main import app
    from broker.cli.plugins import add_plugin_commands

    add_plugin_commands(app)
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="broker")
    text = get_docs_for_click(obj=command, ctx=context, name="broker", title=TITLE)
    # Lists of commands repeat the contents of the page, and cut their sentences off.
    text = re.sub(r"^\*\*Commands\*\*:\n\n(\* .*\n)+", "", text, flags=re.MULTILINE)
    return text.replace(f"# {TITLE}\n", f"# {TITLE}\n\n{ABOUT}\n", 1)


def _http() -> str:
    from broker.api.app import create_app

    return http_markdown(create_app(MagicMock()).openapi())  # a route only remembers the service that it will ask
