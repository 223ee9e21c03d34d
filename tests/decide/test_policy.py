import time
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from broker.decide.duration import estimate
from broker.decide.expand import expand
from broker.decide.policy import PlacementRules, PoolState, Round, dispatch
from broker.decide.profile import Profile, amounts
from broker.decide.quote import Ask
from broker.model.environment import environment_key
from broker.model.jobs import JobSpec
from broker.model.placement import Placement, Verdict
from broker.model.pools import Capability, PoolKind
from broker.model.resources import GIB, Gpu, Resources
from tests.decide.placing import (
    NOW,
    S,
    cluster,
    decide_all,
    job,
    l4,
    node,
    serverless,
    some_pools,
    spec,
    specs,
    state,
)

HALF = node(cpus=1, gib=1, gpus=1)


def where(placements: tuple[Placement, ...]) -> list[str]:
    return [f"{p.verdict} {p.chosen.pool}" if p.chosen else p.verdict for p in placements]


def test_each_job_sees_what_the_ones_before_it_were_given() -> None:
    got = decide_all([spec(l4())] * 8, state(cluster()), state(serverless()))
    assert where(got) == ["run ray"] * 2 + ["run burst"] * 4 + ["wait ray"] * 2


def test_a_waiting_job_holds_its_place_and_short_ones_go_before_it() -> None:
    busy = state(cluster(), busy=[(HALF, 30.0)])
    large, small = spec(l4(2), est_runtime_s=10), spec(l4(), est_runtime_s=20)
    long = spec(l4(), est_runtime_s=31)
    assert where(decide_all([large, small], busy)) == ["wait ray", "run ray"]
    assert where(decide_all([large, long], busy)) == ["wait ray", "wait ray"]
    assert where(decide_all([long, large], busy)) == ["run ray", "wait ray"]


def test_waiting_jobs_queue_behind_each_other_until_waiting_takes_too_long() -> None:
    busy = state(cluster(), busy=[(node(), 10.0)])
    got = decide_all([spec(l4(2), max_wait_s=35, est_runtime_s=10.0)] * 5, busy, state(serverless(unit=node())))
    assert where(got) == ["wait ray"] * 3 + ["run burst"] * 2
    assert [round(p.chosen.start_in_s) for p in got if p.chosen] == [10, 20, 30, 4, 4]


def test_containers_that_queued_work_will_use_have_no_idle_tail() -> None:
    got = decide_all([spec(l4())] * 20, state(serverless(max_units=2)))
    tails = [any(line.what == "idle_tail" for line in p.chosen.lines) for p in got[:2] if p.chosen]
    assert tails == [False, False]
    (alone,) = decide_all([spec(l4())], state(serverless(max_units=2)))
    assert alone.chosen and any(line.what == "idle_tail" for line in alone.chosen.lines)


def test_fractions_are_packed_on_whole_gpus() -> None:
    pool = state(cluster(unit=node(cpus=64, gib=64)))
    counts = {0.6: 2, 0.5: 4, 0.3: 4, 0.25: 8}
    for fraction, fit in counts.items():
        got = decide_all([spec(l4(fraction), cpus=0.1)] * 9, pool)
        assert sum(p.verdict is Verdict.RUN for p in got) == fit
    mixed = [spec(l4(count), cpus=0.1) for count in (0.5, 0.3, 0.3, 0.3, 1.0)]
    assert where(decide_all(mixed, pool)) == ["run ray"] * 4 + ["wait ray"]


def test_two_that_no_single_gpu_can_hold_are_not_summed_up() -> None:
    pool = state(cluster(max_units=2, unit=node(gpus=1)))
    got = decide_all([spec(l4(2))], pool)
    assert got[0].verdict is Verdict.FAIL


@given(jobs=st.lists(specs(), max_size=6), pools=some_pools())
def test_no_pool_is_given_more_than_it_has(jobs: list[JobSpec], pools: list[PoolState]) -> None:
    got = decide_all(jobs, *pools)
    nodes = {f"j{index}": of.resources.num_nodes for index, of in enumerate(jobs)}
    for pool in pools:
        here = [p for p in got if p.verdict is Verdict.RUN and p.chosen and p.chosen.pool == pool.pool.name]
        held = [p.chosen.resources for p in here if p.chosen for _ in range(nodes[p.job_id])]
        assert packed(held, pool), (held, pool)


def packed(held: list[Resources], state_: PoolState) -> bool:
    """Whether resources can be held at once, each by one unit; found by trying."""
    assert state_.capacity is not None
    pool = state_.pool
    grows = pool.kind is PoolKind.SERVERLESS or Capability.SCALE in pool.capabilities
    fresh = state_.capacity.max_units - len(state_.capacity.units) if grows else 0
    frees = [unit.free for unit in state_.capacity.units] + [pool.unit] * fresh
    return _packed(sorted(held, key=lambda r: (-r.gpus, -r.cpus, -r.memory_bytes)), frees)


def _packed(held: list[Resources], frees: list[Resources]) -> bool:
    if not held:
        return True
    return any(
        _packed(held[1:], [*frees[:index], free.minus(held[0]), *frees[index + 1 :]])
        for index, free in enumerate(frees)
        if free.fits(held[0])
    )


@given(pools=some_pools(), of=specs(), count=st.integers(2, 6))
def test_tasks_alike_are_placed_as_if_each_were_decided_in_full(
    pools: list[PoolState], of: JobSpec, count: int
) -> None:
    together = decide_all([of] * count, *pools)
    one_by_one = Round(pools, NOW, PlacementRules())
    for index, got in enumerate(together):
        ask = Ask(
            spec=of,
            duration=estimate(of, ()),
            kind=index,  # unlike all others
            key=environment_key(of),
            behind=count - index - 1,
        )
        assert got.verdict == one_by_one.place(job(of, f"j{index}"), ask).verdict


@given(pools=some_pools(), jobs=st.lists(specs(), min_size=1, max_size=4), later=specs())
def test_a_later_job_changes_no_earlier_placement(pools: list[PoolState], jobs: list[JobSpec], later: JobSpec) -> None:
    before = decide_all(jobs, *pools)
    after = decide_all([*jobs, later], *pools)
    if later not in jobs:
        assert after[: len(jobs)] == before


@given(
    takes=st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0]), st.floats(0.5, 50.0)), max_size=12),
    releases=st.lists(st.floats(1.0, 100.0), max_size=4),
)
def test_a_reservation_never_takes_what_is_not_free(takes: list[tuple[float, float]], releases: list[float]) -> None:
    total, part = amounts(node(cpus=8, gib=8, gpus=2)), amounts(node(cpus=1, gib=1, gpus=0.5))
    free = (8.0 - len(releases), total[1], 2.0 - 0.5 * len(releases))
    profile = Profile(free, total, [(at_s, part) for at_s in releases])
    held = [(0.0, at_s, 0.5) for at_s in releases]
    for gpus, duration_s in takes:
        need = amounts(node(cpus=1, gib=1, gpus=gpus))
        start_s = profile.earliest(need, duration_s)
        assert start_s is not None
        begins = [begin for begin, _, _ in held if start_s < begin < start_s + duration_s]
        for at_s in (start_s, *begins):
            assert sum(part for begin, end, part in held if begin <= at_s < end) + gpus <= 2
        held.append((start_s, start_s + duration_s, gpus))
        profile.take(need, start_s, start_s + duration_s)


def test_memory_and_models_are_kept_apart_unit_by_unit() -> None:
    got = decide_all([spec(cpus=0.1, memory_bytes=3 * GIB)] * 4, state(cluster()))
    assert where(got) == ["run ray"] * 2 + ["wait ray"] * 2
    mixed = state(replace(cluster(max_units=2), gpu_models=("L4", "H100")))
    assert mixed.capacity is not None
    first, second = mixed.capacity.units
    units = (first, replace(second, total=node(model="H100"), free=node(model="H100")))
    mixed = replace(mixed, capacity=replace(mixed.capacity, units=units))
    h100 = Gpu(model="H100")
    assert where(decide_all([spec(h100)] * 3 + [spec(l4())], mixed)) == ["run ray"] * 2 + ["wait ray", "run ray"]


def test_a_thousand_tasks_are_placed_in_a_moment() -> None:
    jobs = expand(spec(cpus=1, array_size=1_000), "a", "u", NOW)
    durations = dict.fromkeys((job.id for job in jobs), estimate(jobs[0].spec, ()))
    pools = [state(cluster(max_units=4)), state(serverless(max_units=8))]
    took = []
    for _ in range(5):
        started = time.thread_time()
        placements = dispatch(jobs, pools, durations, NOW, PlacementRules())
        took.append(time.thread_time() - started)
    assert Counter(p.verdict for p in placements) == {Verdict.RUN: 24, Verdict.WAIT: 976}
    assert min(took) < 0.15


def test_priorities_are_the_order_given() -> None:
    one = state(cluster(unit=node(gpus=1), max_units=1))
    jobs = [*expand(spec(l4()), "first", "u", NOW), *expand(spec(l4(), priority=90), "second", "u", NOW - S)]
    durations = {job.id: estimate(job.spec, ()) for job in jobs}
    got = dispatch(jobs, [one], durations, NOW, PlacementRules())
    assert [(p.job_id, p.verdict) for p in got] == [("first", Verdict.RUN), ("second", Verdict.WAIT)]
