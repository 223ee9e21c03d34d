"""Masking: however output comes and is asked for, what is shown is the whole of it with every value masked."""

import asyncio
from itertools import count

from hypothesis import example, given
from hypothesis import strategies as st

from broker.ports import LogChunk
from broker.run.secrecy.masking import NOTHING, SHORTEST, Mask

VALUES = st.lists(st.text("ab", min_size=SHORTEST, max_size=9), min_size=1, max_size=3)
DATA = st.text("ab\n", max_size=120)


def by_hand(data: bytes, values: list[str]) -> bytes:
    """Each byte that lies in a value, one place after the other."""
    hidden = set()
    for value in (each.encode() for each in values):
        for at in range(len(data)):
            if data[at : at + len(value)] == value:
                hidden.update(range(at, at + len(value)))
    return bytes(ord("*") if at in hidden else byte for at, byte in enumerate(data))


@given(DATA, VALUES, st.lists(st.integers(1, 30), min_size=1), st.lists(st.integers(1, 40), min_size=1))
@example("aaaaaabbbbbb", ["aaaaaa", "abbbbb"], [3], [4])
def test_whatever_the_pieces_the_whole_is_masked(
    text: str, values: list[str], growth: list[int], limits: list[int]
) -> None:
    """A stream that grows between looks, read in pieces of any size."""
    data, mask = text.encode(), Mask(values)
    wanted = by_hand(data, values)
    assert mask.masked(data) == wanted
    there = 0

    async def read(offset: int, limit: int) -> LogChunk:
        piece = data[:there][offset : offset + limit]
        ended = there >= len(data)
        return LogChunk(data=piece, next_offset=offset + len(piece), complete=ended and len(piece) < limit)

    shown = b""
    for look in count():
        chunk = asyncio.run(mask.read(read, len(shown), limits[look % len(limits)]))
        assert chunk.next_offset == len(shown) + len(chunk.data)
        assert len(chunk.data) <= limits[look % len(limits)]
        shown += chunk.data
        assert wanted.startswith(shown)
        there += growth[look % len(growth)]
        if chunk.complete:
            break
    assert shown == wanted


def test_of_a_value_of_several_lines_each_line_is_masked_and_short_ones_are_not() -> None:
    mask = Mask(["-----BEGIN KEY-----\nMIIabc\r\nxy\n", "short"])
    assert mask.text("x MIIabc xy short -----BEGIN KEY-----") == f"x {'*' * 6} xy short {'*' * 19}"


def test_without_values_a_stream_is_read_as_it_is() -> None:
    async def read(offset: int, limit: int) -> LogChunk:
        return LogChunk(data=b"secret", next_offset=offset + limit, complete=False)

    assert asyncio.run(NOTHING.read(read, 3, 6)) == asyncio.run(read(3, 6))
    assert not NOTHING
