"""Tables on terminals of any width."""

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.tables import print_bullets, print_table

NAMES = st.text("abc/", min_size=1, max_size=60)
NUMBERS = st.integers(0, 10**12).map("{:,}".format)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(width=st.integers(20, 160), rows=st.lists(st.tuples(NAMES, NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_a_terminal_shows_each_number_whole_on_the_line_of_its_row(
    width: int, rows: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")
    print_table(("name", "a long head of numbers", "cost"), rows)
    lines = [line.split()[-2:] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if list(line) in [list(row[1:]) for row in rows]] == [list(row[1:]) for row in rows]


def test_columns_without_a_value_are_left_out_of_a_terminal_and_not_of_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(("name", "interval", "cost"), [("a", "", "1")])
    assert capsys.readouterr().out == "name\tinterval\tcost\na\t\t1\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    print_table(("name", "interval", "cost"), [("a", "", "1")])
    assert "interval" not in capsys.readouterr().out


@pytest.mark.parametrize("terminal", [True, False])
def test_names_of_others_tell_a_terminal_nothing(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "dumb")
    print_table(("name", "cost"), [("a\x1b]0;b\x07c\u202ed", "1")])
    print_bullets(["a\x1b[2Jb"])
    shown = capsys.readouterr().out
    assert "a\ufffd]0;b\ufffdc\ufffdd" in shown
    assert "a\ufffd[2Jb" in shown
