"""Work by the GPU models that would do for it: all of it, once, where its jobs may run, as fast as they ask."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.models_of_work import STEP_S, busy_gpus, gpu_hours, works
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.model.runs import Run

NOW_NS = 20_000 * 86_400 * NS_PER_S
HOUR_NS = round(STEP_S * NS_PER_S)
NODE = Resources(cpus=16, memory_bytes=64 * GIB, gpus=4, gpu_model="H100")
CLUSTER = Pool(name="ray", kind=PoolKind.CLUSTER, executor="fake", unit=NODE, max_units=3, region="eu")
CONTAINERS = replace(
    CLUSTER, name="modal", kind=PoolKind.SERVERLESS, gpu_models=("H100", "L4", "T4"), region="us", max_units=9
)
POOLS = (CLUSTER, CONTAINERS)
SOLD = {"H100", "L4"}


def run(begin_h: float, end_h: float | None, gpus: float, model: str = "H100", wants: JobSpec | None = None) -> Run:
    """One that began and ended so many hours before now."""
    return Run(
        user="ann",
        pool="ray",
        resources=Resources(cpus=1, gpus=gpus, gpu_model=model),
        wants=wants,
        started_ns=NOW_NS - round(begin_h * HOUR_NS),
        ended_ns=None if end_h is None else NOW_NS - round(end_h * HOUR_NS),
    )


def wants(*choices: tuple[str, float], **more: object) -> JobSpec:
    gpus = tuple(Gpu(model=model, count=count) for model, count in choices)
    return JobSpec(name="", resources=ResourceRequest(gpu_choices=gpus), **more)  # type: ignore[arg-type]


TIMES = st.tuples(st.floats(0, 200), st.floats(0, 200)).map(sorted)
WANTS = st.sampled_from([None, wants(("", 1)), wants(("H100", 1), ("L4", 1)), wants(("H100", 1), ("T4", 1))])
RUNS = st.lists(
    st.builds(
        lambda time, gpus, model, asked, open_: run(time[1], None if open_ else time[0], gpus, model, asked),
        TIMES,
        st.sampled_from([0.5, 1, 8]),
        st.sampled_from(["H100", "L4", "T4"]),
        WANTS,
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@given(RUNS, st.floats(1, 250))
def test_all_work_since_a_time_is_in_the_hours_and_nothing_else(runs: list[Run], look_back_h: float) -> None:
    since_ns = NOW_NS - round(look_back_h * HOUR_NS)
    seen = [each for each in runs if each.ended_ns is None or each.ended_ns > since_ns]
    busy = busy_gpus([(each, 1.0) for each in seen], since_ns, NOW_NS)
    begin_ns = NOW_NS - len(busy) * HOUR_NS
    assert NOW_NS - since_ns + HOUR_NS > len(busy) * HOUR_NS
    assert sum(busy) == pytest.approx(sum(gpu_hours(seen, begin_ns, NOW_NS).values()), abs=1e-3)
    assert min(busy) >= 0


@given(RUNS)
def test_all_work_is_in_one_class_each_and_none_of_it_may_run_on_what_nobody_sells(runs: list[Run]) -> None:
    found = works(runs, POOLS, SOLD, 0, NOW_NS)
    began = [each for each in runs if each.started_ns < NOW_NS]
    hours = gpu_hours(began, 0, NOW_NS)
    assert sum(work.gpus.sum() for work in found) == pytest.approx(sum(hours.values()), abs=1e-3)
    assert len({work.name for work in found}) == len(found)
    assert all(len(work.speeds) == 1 or SOLD.issuperset(work.speeds) for work in found)


def test_the_model_that_did_most_comes_first() -> None:
    runs = [run(2, 1, 1, "A100"), run(5, 1, 1), run(5, None, 0), run(9, 8, 1, "A100")]
    assert gpu_hours(runs, NOW_NS - 6 * HOUR_NS, NOW_NS) == pytest.approx({"H100": 4.0, "A100": 1.0})


@pytest.mark.parametrize(
    ("asked", "name", "speeds", "busy"),
    [
        (None, "L4", {"L4": 1.0}, 4.0),
        (wants(("H100", 1), ("L4", 4)), "1 H100 or 4 L4", {"H100": 1.0, "L4": 0.25}, 1.0),
        (wants(("H100", 4), ("L4", 4)), "H100 or L4", {"H100": 1.0, "L4": 1.0}, 4.0),
        (wants(("", 4)), "H100 or L4", {"H100": 1.0, "L4": 1.0}, 4.0),
        (wants(("", 4), pools_denied=("modal",)), "L4", {"L4": 1.0}, 4.0),  # where it ran is no more: it stays bound
        (wants(("H100", 1), ("L4", 4), regions=("us",)), "1 H100 or 4 L4", {"H100": 1.0, "L4": 0.25}, 1.0),
        (wants(("H100", 4), ("T4", 1), ("L4", 4)), "H100 or L4", {"H100": 1.0, "L4": 1.0}, 4.0),  # nobody sells a T4
        (wants(("H100", 16), ("L4", 4)), "L4", {"L4": 1.0}, 4.0),  # no node has sixteen
    ],
)
def test_a_job_has_a_choice_of_what_it_may_use_and_its_counts_say_how_fast_each_is(
    asked: JobSpec | None, name: str, speeds: dict[str, float], busy: float
) -> None:
    (found,) = works([run(3, None, 4, "L4", asked)], POOLS, SOLD, 0, NOW_NS)
    assert (found.name, dict(found.speeds)) == (name, speeds)
    assert list(found.gpus) == pytest.approx([busy] * 3)
