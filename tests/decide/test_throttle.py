"""However requests come, no more pass than the rate allows; and who waits as told passes."""

from hypothesis import given
from hypothesis import strategies as st

from broker.decide.throttle import Rate, take

RATES = st.builds(Rate, per_s=st.floats(0.1, 1_000), burst=st.integers(1, 50))
GAPS = st.lists(st.floats(0, 10), min_size=1, max_size=200)


@given(rate=RATES, gaps=GAPS)
def test_in_no_time_do_more_pass_than_the_burst_and_what_came_since(rate: Rate, gaps: list[float]) -> None:
    now, bucket, passed = 0.0, None, []
    for gap in gaps:
        now += gap
        taken = take(bucket, rate, now)
        bucket = taken.bucket
        if taken.passes:
            passed.append(now)
    for first, since in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= rate.burst + (passed[last] - since) * rate.per_s + 1e-6


@given(rate=RATES, gaps=GAPS)
def test_who_waits_as_told_passes(rate: Rate, gaps: list[float]) -> None:
    now, bucket = 0.0, None
    for gap in gaps:
        taken = take(bucket, rate, now)
        if not taken.passes:
            now += taken.wait_s * (1 + 1e-9) + 1e-9
            taken = take(taken.bucket, rate, now)
            assert taken.passes
        bucket = taken.bucket
        now += gap / 100


def test_after_a_quiet_time_the_whole_burst_passes_and_no_more() -> None:
    rate = Rate(per_s=1, burst=5)
    bucket = take(None, rate, 0.0).bucket
    for _ in range(5):
        taken = take(bucket, rate, 1_000.0)
        assert taken.passes
        bucket = taken.bucket
    assert not take(bucket, rate, 1_000.0).passes


def test_a_clock_that_goes_back_gives_nothing() -> None:
    rate = Rate(per_s=1, burst=1)
    emptied = take(None, rate, 10.0).bucket
    assert not take(emptied, rate, 0.0).passes
