"""What people write as a quantity is read as they mean it, or refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.spec import quantities as q


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("10m", 600),
        ("6h", 21_600),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1h30m", 5_400),
        ("1h 30m", 5_400),
        ("1.5h", 5_400),
        ("500ms", 0.5),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
        ("0s", 0),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert q.duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "h", "5 parsecs", "1h30", "-5m", -1, "nan", float("inf"), True, [], None, "400d"]
)
def test_no_durations(written: object) -> None:
    with pytest.raises(ValueError):
        q.duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (32, 32 * 10**9),
        ("32", 32 * 10**9),
        ("32+", 32 * 10**9),
        ("32GB", 32 * 10**9),
        ("32GB..", 32 * 10**9),
        ("8GB..16GB", 8 * 10**9),
        ("16GiB", 16 * 2**30),
        ("16Gi", 16 * 2**30),
        ("500 MB", 500 * 10**6),
        ("512mib", 512 * 2**20),
        ("1000B", 1000),
        (0.5, 5 * 10**8),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert q.size_bytes(written) == size


@pytest.mark.parametrize("written", ["", "GB", "-1GB", 0, "0", "32 apples", "1e400", 10**6, "nan", True, {}, ".."])
def test_no_sizes(written: object) -> None:
    with pytest.raises(ValueError):
        q.size_bytes(written)


@given(st.integers(1, q.MAX_BYTES))
def test_a_size_is_read_back_as_it_is_written(size: int) -> None:
    assert q.size_bytes(q.size_text(size)) == size


@pytest.mark.parametrize(
    ("written", "cpus"), [(4, 4), ("8+", 8), ("8..", 8), ("4..16", 4), ("0.5", 0.5), ("x86:2", 2), ("2..x", 2)]
)
def test_cpus(written: object, cpus: float) -> None:
    assert q.cpus(written) == cpus


@pytest.mark.parametrize("written", [0, -1, "-1", "arm:2", "many", q.MAX_CPUS + 1, True, float("nan")])
def test_no_cpus(written: object) -> None:
    with pytest.raises(ValueError):
        q.cpus(written)


@pytest.mark.parametrize(("written", "usd"), [(5, "5"), ("$5", "5"), ("2.50", "2.5"), ("$1,000", "1000"), (0.1, "0.1")])
def test_dollars(written: object, usd: str) -> None:
    assert q.usd(written) == usd


@pytest.mark.parametrize("written", [0, -1, "$-1", "five", "nan", "0.0000000001", 10**10, None])
def test_no_dollars(written: object) -> None:
    with pytest.raises(ValueError):
        q.usd(written)


def test_deadlines_after_submission_and_at_a_time() -> None:
    assert q.deadline_ns(q.deadline("+1h30m"), 1_000) == 1_000 + 5_400 * 10**9
    assert q.deadline("2030-01-31T18:00:00+02:00") == "2030-01-31T16:00:00Z"
    assert q.deadline_ns("1970-01-01T00:00:01Z", 5) == 10**9


def test_a_deadline_needs_its_zone() -> None:
    with pytest.raises(ValueError, match="says no time zone"):
        q.deadline("2030-01-31T18:00:00")


IN_NO_CALENDAR = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00"]


@pytest.mark.parametrize("written", ["tomorrow", "+", "+0s", "+-5m", 5, "", None, *IN_NO_CALENDAR])
def test_no_deadlines(written: object) -> None:
    with pytest.raises(ValueError):
        q.deadline(written)


@given(st.integers(0, 4_000_000_000 * 10**6))
def test_a_deadline_is_kept_to_the_microsecond(at_us: int) -> None:
    text = q.deadline_text(at_us * 1_000)
    assert q.deadline(text) == text
    assert q.deadline_ns(text, 0) == at_us * 1_000


@given(st.floats(0.001, 10**7))
def test_a_relative_deadline_is_stable(seconds: float) -> None:
    text = q.deadline(f"+{seconds:.3f}s")
    assert q.deadline(text) == text
