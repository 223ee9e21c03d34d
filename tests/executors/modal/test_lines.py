"""Whatever a command writes arrives byte by byte, though Modal's streams carry lines of text only."""

import io
import re

from hypothesis import given
from hypothesis import strategies as st

from executors.remote.agent import ESCAPED, FRAME, SOFT, Voice
from executors.remote.lines import decoded, frame

STRANGE = st.sampled_from([SOFT, FRAME, chr(ESCAPED), chr(ESCAPED + 255), "ü", "\n", "\r\n", "\0", "😀"])
PIECES = st.lists(st.one_of(st.binary(max_size=40), STRANGE.map(str.encode), st.just(b"line\n" * 300)), max_size=20)


def spoken(pieces: list[bytes], limit: int = 1 << 30) -> list[str]:
    out = io.BytesIO()
    voice = Voice(out, limit)
    for piece in pieces:
        voice.say(piece)
    voice.close()
    voice.tell("end", reason="over")
    return re.findall(r"[^\n]*\n", out.getvalue().decode())


@given(PIECES)
def test_bytes_come_back(pieces: list[bytes]) -> None:
    *lines, last = spoken(pieces)
    assert b"".join(decoded(line) for line in lines) == b"".join(pieces)
    assert not any(frame(line) for line in lines), "output was taken for something the agent tells"
    told = frame(last)
    assert told is not None and (told["kind"], told["reason"]) == ("end", "over")


@given(PIECES, st.integers(0, 100))
def test_what_is_beyond_the_limit_is_dropped_and_said(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces)
    text = b"".join(decoded(line) for line in spoken(pieces, limit)[:-1])
    note = f"\n[broker: output beyond {limit} bytes was dropped]\n".encode()
    assert text == (whole if len(whole) <= limit else whole[:limit] + note)
