"""Short jobs stand in line in the pool that they would wait for, as many as it lets, and nothing else does."""

from dataclasses import replace

import pytest
from hypothesis import given

from broker.decide.duration import estimate
from broker.decide.line import SHORT_S, WORK_S
from broker.decide.policy import PlacementRules, PoolState, RunningAttempt, dispatch
from broker.model.environment import environment_key
from broker.model.jobs import JobSpec
from broker.model.placement import Placement, Verdict
from tests.decide.placing import NOW, cluster, decide_all, job, l4, node, serverless, some_pools, spec, specs, state

FULL = node()
SHORT = spec(l4(2), est_runtime_s=0.01, max_wait_s=60.0)


def full(of: PoolState, line: int = 8, remaining_s: float = 0.01) -> PoolState:
    """A pool whose one unit is held by an attempt of such a short job, and that lets some wait."""
    chosen = decide_all([SHORT], of)[0].chosen
    assert of.capacity is not None and chosen is not None
    key = environment_key(SHORT)
    held = RunningAttempt(attempt_id="held", resources=chosen.resources, remaining_s=remaining_s, key=key)
    units = tuple(replace(unit, free=unit.total.minus(unit.total), warm_key=key) for unit in of.capacity.units)
    return replace(of, capacity=replace(of.capacity, line=line, units=units), running=(held,))


def ray(**more: object) -> PoolState:
    return full(state(cluster()), **more)  # type: ignore[arg-type]


def burst() -> PoolState:
    return full(state(serverless(unit=FULL, max_units=1), warm=[environment_key(SHORT)]))


def run(placements: tuple[Placement, ...]) -> int:
    return sum(placement.verdict is Verdict.RUN for placement in placements)


@pytest.mark.parametrize("pool", [ray, burst])
def test_as_many_short_jobs_as_the_pool_allows_are_launched_in_order(pool: object) -> None:
    placements = decide_all([SHORT] * 12, pool())  # type: ignore[operator]
    assert [p.verdict for p in placements] == [Verdict.RUN] * 8 + [Verdict.WAIT] * 4
    assert "next in line" in placements[0].reason
    assert placements[0].chosen is not None and not placements[0].chosen.available_now


@pytest.mark.parametrize(
    ("pool", "of"),
    [
        (ray(line=0), SHORT),
        (ray(remaining_s=60.0), SHORT),
        (ray(), replace(SHORT, est_runtime_s=SHORT_S)),
        (ray(), replace(SHORT, setup="make")),
        (ray(), spec(l4(1), est_runtime_s=0.01)),
        (replace(ray(), problem="it does not answer"), SHORT),
    ],
    ids=["no line", "a long wait", "a long job", "another environment", "other resources", "out of use"],
)
def test_others_stay_in_the_queue(pool: PoolState, of: JobSpec) -> None:
    assert run(decide_all([of], pool)) == 0


def in_line(pool: PoolState, count: int, each_s: float) -> PoolState:
    (held,) = pool.running
    waiting = [replace(held, attempt_id=f"w{n}", in_line=True, remaining_s=each_s) for n in range(count)]
    return replace(pool, running=(held, *waiting))


def test_it_is_filled_again_when_half_of_it_has_gone() -> None:
    assert run(decide_all([SHORT] * 9, in_line(ray(), 5, 0.01))) == 0
    assert run(decide_all([SHORT] * 9, in_line(ray(), 4, 0.01))) == 4


def test_what_waits_holds_up_others_for_a_moment_at_most() -> None:
    each_s = 1 / 64
    short = replace(SHORT, est_runtime_s=each_s)
    assert run(decide_all([short] * 99, in_line(ray(line=99), 1, WORK_S / 2))) == WORK_S / 2 / each_s


@pytest.mark.parametrize("places", [1, 3])
def test_each_place_does_a_part_of_what_waits(places: int) -> None:
    pool = full(state(cluster(max_units=places)), line=9_999)
    assert pool.capacity is not None
    (held,) = pool.running
    units = [unit.unit_id for unit in pool.capacity.units]
    pool = replace(pool, running=tuple(replace(held, attempt_id=unit, unit_ids=(unit,)) for unit in units))
    each_s = 1 / 32
    assert run(decide_all([replace(SHORT, est_runtime_s=each_s)] * 200, pool)) == places * WORK_S / each_s


def test_where_its_work_is_the_limit_half_of_that_has_to_be_done() -> None:
    assert run(decide_all([SHORT] * 9, in_line(ray(), 1, WORK_S / 2 + 0.01))) == 0


def test_those_that_have_taken_over_unnoticed_count_as_running() -> None:
    """All that is known to run has ended; what waited for it runs, which is not known yet."""
    known = in_line(ray(), 2, 0.01)
    assert run(decide_all([SHORT] * 2, replace(known, running=known.running[1:]))) == 2


@given(specs(), some_pools())
def test_a_line_changes_when_a_job_runs_and_never_where(of: JobSpec, pools: list[PoolState]) -> None:
    one = job(of)
    durations = {one.id: estimate(of, [0.001] * 9)}
    lined = [replace(pool, capacity=replace(pool.capacity, line=9) if pool.capacity else None) for pool in pools]
    (without,) = dispatch([one], pools, durations, NOW, PlacementRules())
    (with_line,) = dispatch([one], lined, durations, NOW, PlacementRules())
    assert with_line.chosen == without.chosen
    assert without.verdict in (with_line.verdict, Verdict.WAIT)
