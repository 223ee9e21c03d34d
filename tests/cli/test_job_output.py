"""What a job writes reaches a pipe as it is, and a terminal without what would control it."""

import os
import re
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from broker.cli.job_output import JobOutput

CONTROLLING = re.compile(
    "\x1b(?!\\[[0-9;:]*m|\\[[0-2]?K)|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
SEQUENCES = ["\x1b", "[", "2J", "31m", "0K", "]0;me\x07", "]52;c;aGk=\x07", "\x9b", "\x90", "\u202e"]
TOKENS = st.sampled_from([*SEQUENCES, "\r", "\n", "\t", "\b", "a", "日"])


def written(pieces: Sequence[bytes], *, raw: bool = False, terminal: bool = True) -> bytes:
    read_end, write_end = os.openpty() if terminal else os.pipe()
    if terminal:
        import tty

        tty.setraw(write_end)
    with open(write_end, "w", encoding="utf-8") as out:
        output = JobOutput(out, raw=raw)
        for piece in pieces:
            output.write(piece)
        output.close()
        out.flush()
        os.write(write_end, b"END")
        found = b""
        while not found.endswith(b"END"):
            found += os.read(read_end, 65536)
    os.close(read_end)
    return found.removesuffix(b"END")


@given(st.lists(st.lists(TOKENS | st.text(max_size=5), max_size=6).map("".join), max_size=5))
def test_a_terminal_is_never_controlled_however_the_output_is_cut(pieces: list[str]) -> None:
    shown = written([piece.encode(errors="replace") for piece in pieces]).decode()
    assert not CONTROLLING.search(shown)


@given(st.binary(max_size=40), st.integers(0, 40))
def test_how_it_is_cut_makes_no_difference(data: bytes, at: int) -> None:
    assert written([data[:at], data[at:]]) == written([data])


def test_colours_and_progress_bars_stay_and_colours_end_with_the_job() -> None:
    bar = b"\x1b[1;38:5:2mgreen\x1b[0m 10 %\r\x1b[K20 %\r\n\ttabs"
    assert written([bar]) == bar + b"\x1b[0m"
    assert written([b"plain\n"]) == b"plain\n"
    assert written([b"\x1b[3", b"1mred", b"\x1b["]) == b"\x1b[31mred\xef\xbf\xbd[\x1b[0m"


def test_a_pipe_and_who_asks_for_it_get_every_byte() -> None:
    hostile = b"\x1b[2J\x1b]52;c;aGk=\x07\x9b\xff\x00"
    assert written([hostile], terminal=False) == hostile
    assert written([hostile], raw=True) == hostile
    assert b"\x1b" not in written([hostile])
