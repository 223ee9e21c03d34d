from hypothesis import given
from hypothesis import strategies as st

from broker.decide.duration import PRIOR_P50_S, PRIOR_P90_S, PRIOR_SPREAD, estimate
from broker.model.jobs import JobSpec

SECONDS = st.floats(0.01, 1e6)


def spec(**fields: float | None) -> JobSpec:
    return JobSpec(name="train", run="true", **fields)  # type: ignore[arg-type]


def test_nothing_known_is_said_to_be_a_prior() -> None:
    found = estimate(spec(), ())
    assert (found.p50_s, found.p90_s, found.runs) == (PRIOR_P50_S, PRIOR_P90_S, 0)
    assert found.source == "prior: no history; half of such jobs end within 5 min, 90% within 1 h"


def test_the_users_estimate_counts_until_there_is_history() -> None:
    assert estimate(spec(est_runtime_s=20), ()).p50_s == 20
    assert estimate(spec(est_runtime_s=20), ()).source == "your est_runtime"
    known = estimate(spec(est_runtime_s=20), (4.0, 5.0, 9.0))
    assert (known.p50_s, known.source, known.runs) == (5.0, "median of 3 past runs of train", 3)


def test_few_runs_are_not_trusted_for_the_spread() -> None:
    once = estimate(spec(), (10.0,))
    assert once.p90_s == 10.0 * PRIOR_SPREAD ** (3 / 4)
    often = estimate(spec(), (10.0,) * 50)
    assert 10.0 < often.p90_s < 10.5


@given(runs=st.lists(SECONDS, min_size=200, max_size=200))
def test_many_runs_speak_for_themselves(runs: list[float]) -> None:
    found = estimate(spec(), runs)
    assert sum(run <= found.p90_s * 1.1 for run in runs) >= 170


@given(runs=st.lists(st.floats(0, 1e6), max_size=9), est=st.none() | SECONDS, cap=st.none() | SECONDS)
def test_quantiles_are_in_order_and_below_max_duration(runs: list[float], est: float | None, cap: float | None) -> None:
    found = estimate(spec(est_runtime_s=est, max_duration_s=cap), runs)
    assert 0 < found.p50_s <= found.p90_s
    if cap is not None:
        assert found.p90_s <= cap
        assert ("at most max_duration" in found.source) == (found.p90_s == cap)
    assert found.runs == len(runs)


@given(runs=st.lists(SECONDS, min_size=1, max_size=9), shuffled=st.randoms())
def test_the_order_of_runs_does_not_matter(runs: list[float], shuffled: object) -> None:
    other = list(runs)
    shuffled.shuffle(other)  # type: ignore[attr-defined]
    assert estimate(spec(), runs) == estimate(spec(), other)
