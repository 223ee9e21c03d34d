"""What jobs and their users say is shown, and never obeyed by a terminal."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli import render
from broker.cli.detail import show_job
from broker.cli.render import Column, plain

ESCAPES = "\x1b[2J\x1b]0;root\x07\x9b31m\r\u202e"


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = plain(text)
    assert not set(shown) & {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066"} - {"\n", "\t"}
    assert len(shown) == len(text)


def test_what_people_write_is_shown_as_it_is() -> None:
    text = "naïve\xa0日本 👩\u200d🔬 – “x”\tand\nmore"
    assert plain(text) == text


def test_tables_lines_and_jobs_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    render.table([Column(head="name", cell=lambda row: row["name"])], [{"name": f"a{ESCAPES}b"}])
    render.say(f"a{ESCAPES}b")
    said = {name: f"a{ESCAPES}b" for name in ("id", "name", "state", "reason", "command", "user", "project")}
    nothing = defaultdict[str, Any](list, {"priority": 50, "gpus": "", "tags": {"t": f"a{ESCAPES}b"}})
    show_job(nothing | said)
    out, err = capsys.readouterr()
    assert not set(ESCAPES) & set(out + err) - set("[2J]0;rotm31")
    assert out.count("b") > 7
