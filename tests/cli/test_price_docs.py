"""docs/prices.md and docs/breakeven.md show what the commands print: each is run again on a terminal of fixed width."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import typer

from broker.cli.breakeven import breakeven
from pricing.commands import app as prices

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("prices.md", "breakeven.md")
SHOWN = re.compile(r"```console\n\$ broker (?P<words>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)

app = typer.Typer(rich_markup_mode=None)
app.command()(breakeven)
app.add_typer(prices, name="prices")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(words: str, folder: Path) -> str:
    """What a command prints for a person; a drawing goes to a folder where nothing is lost."""
    arguments = [
        str(folder / Path(word).name) if word.endswith((".png", ".html")) else word for word in shlex.split(words)
    ]
    out = Terminal()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        app(arguments, standalone_mode=False)
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


@pytest.mark.golden
@pytest.mark.parametrize("page", PAGES)
def test_the_output_on_the_page_is_what_is_printed(
    page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("COLUMNS", "104")
    monkeypatch.setenv("TERM", "xterm")
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    if request.config.getoption("--golden-rewrite"):
        fresh = SHOWN.sub(
            lambda found: f"```console\n$ broker {found['words']}\n{printed(found['words'], tmp_path)}```", text
        )
        path.write_text(fresh, encoding="utf-8")
        return
    shown = SHOWN.findall(text)
    assert len(shown) >= 3
    for words, output in shown:
        assert "--at" in words or words == "prices check", f"`broker {words}` shows other prices tomorrow"
        assert printed(words, tmp_path) == output, f"{page}: `make golden`, then review the diff"
