"""A table fits the terminal: what can be spared is left out, running text goes below, and nothing needed is lost."""

from hypothesis import given
from hypothesis import strategies as st

from broker.cli.column_fit import PADDING, READABLE, fitting, lines_below, needed
from broker.cli.render import Column

NAMES = ("id", "state", "gpus", "why", "note")
ROW = st.fixed_dictionaries({name: st.text("abc ", max_size=60) for name in NAMES})


def _columns(spare: dict[str, int], wrap: set[str]) -> list[Column]:
    def column(name: str) -> Column:
        return Column(head=name, cell=lambda row: str(row[name]), spare=spare.get(name, 0), wrap=name in wrap)

    return [column(name) for name in NAMES]


COLUMNS = _columns({"state": 1, "gpus": 2}, {"why", "note"})


@given(st.lists(ROW, max_size=5), st.integers(20, 300))
def test_nothing_that_can_t_be_spared_is_lost(rows: list[dict[str, str]], width: int) -> None:
    shown, below = fitting(COLUMNS, rows, width)
    said = {name for name in ("why", "note") if any(row[name] for row in rows)}
    assert {column.head for column in shown} | {column.head for column in below} >= {"id", *said}
    assert not {column.head for column in shown} & {column.head for column in below}
    assert all(column.wrap for column in below)


@given(st.lists(ROW, min_size=1, max_size=5), st.integers(20, 300))
def test_what_is_spared_first_is_what_is_needed_least(rows: list[dict[str, str]], width: int) -> None:
    heads = [column.head for column in fitting(COLUMNS, rows, width)[0]]
    assert "state" in heads or "gpus" not in heads or not any(row["state"] for row in rows)


def test_a_wide_terminal_shows_all() -> None:
    rows = [dict.fromkeys(NAMES, "abc")]
    assert fitting(COLUMNS, rows, 200) == (COLUMNS, [])


def test_text_goes_below_a_narrow_table_by_the_row_s_name() -> None:
    rows = [{"id": "k3f9a2", "state": "queued", "gpus": "L4:2", "why": "x" * READABLE, "note": ""}]
    shown, below = fitting(COLUMNS, rows, READABLE + PADDING)
    assert [column.head for column in below] == ["why"]
    assert lines_below(shown[0], below, rows) == ["k3f9a2 · why: " + "x" * READABLE]


def test_text_of_a_column_without_a_head_goes_below_by_the_row_s_name_alone() -> None:
    noted = Column(head="", cell=lambda row: str(row["note"]), wrap=True)
    assert lines_below(COLUMNS[0], [noted], [{"id": "k3f9a2", "note": "at once"}]) == ["k3f9a2: at once"]


def test_numbers_keep_their_digits_and_rows_their_names_in_a_narrow_table() -> None:
    columns = [
        Column(head="offer", cell=lambda row: str(row["offer"]), wrap=True),
        Column(head="note", cell=lambda row: "", wrap=True),
        Column(head="idle and overhead", cell=lambda row: str(row["usd"]), right=True),
    ]
    rows = [{"offer": "x" * READABLE, "usd": "$0.000003558"}]
    shown, below = fitting(columns, rows, READABLE)
    assert ([column.head for column in shown], below) == (["offer", "idle\nand\noverhead"], [])
    assert needed(shown[1:], rows) == 1 + PADDING + len("$0.000003558")
