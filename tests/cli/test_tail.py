"""The last lines of what a job has written, and what it writes after them."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from broker.cli.tail import Tail, start_of_last
from broker.sdk.events import Wrote
from broker.sdk.job_requests import LogPiece

TEXTS = st.lists(st.sampled_from([b"\n", b"a", b"bc\n", b"\n\n", b"d\ne"]), max_size=12)


@given(TEXTS, st.integers(0, 6))
def test_they_are_the_last_however_the_text_comes_in_pieces(pieces: list[bytes], lines: int) -> None:
    text = b"".join(pieces)
    every = text.split(b"\n")
    kept = [line + b"\n" for line in every[:-1]] + ([every[-1]] if every[-1] else [])
    wanted = b"".join(kept[len(kept) - min(lines, len(kept)) :])
    assert text[start_of_last(lines, pieces) :] == wanted


class Written:
    """The API of a job whose second attempt has written so much."""

    def logs(self, job_id: str, *, attempt: int | None = None, limit: int) -> LogPiece:
        return LogPiece(data=b"", next_offset=0, complete=False, attempt=attempt or 2)

    def output(self, job_id: str, stream: str, *, attempt: int) -> Iterator[bytes]:
        yield from {"stdout": [b"one\ntwo\nth", b"ree\nfo"], "stderr": [b"oops\n"]}[stream]


def test_a_job_that_is_followed_goes_on_where_they_begin() -> None:
    tail = Tail(Written(), "j", 2, None, ("stdout", "stderr"))  # type: ignore[arg-type]

    def said(attempt: int, *pieces: bytes) -> bytes:
        return b"".join(tail.of(Wrote(attempt=attempt, stream="stdout", data=piece)) for piece in pieces)

    assert said(1, b"an earlier attempt\n") == b""
    assert said(2, b"one\n", b"two\nth", b"ree\nfo", b"ur\n") == b"three\nfour\n"
    assert said(3, b"a later one\n") == b"a later one\n"
    assert tail.of(Wrote(attempt=2, stream="stderr", data=b"oops\n")) == b"oops\n"
