"""Jobs one by one: the same as a second program finds."""

from typing import Any

import pytest
from hypothesis import example, given, settings

from benchmarks.simpy_twin import Twin
from simulator.jobs import run
from tests.simulator.jobs.cases import CASES, case

# Two jobs that lost their nodes together lose their patience together: the second gets the room that the first gave up.
TOGETHER = {"seed": 61469, "count": 51, "load": 37.0, "min_nodes": 0, "more_nodes": 2, "waits": "constant", "tasks": 1}


@given(**CASES)
@example(**TOGETHER, trouble="spot")
@settings(max_examples=120)
def test_it_comes_to_what_simpy_finds(**drawn: Any) -> None:
    jobs, costs, rule = case(**drawn)
    ours, theirs = run(jobs, costs, rule), Twin(jobs, costs, rule)
    assert theirs.run() == pytest.approx(ours.end_s, rel=1e-12)
    assert ours.cluster_gpu_hours == pytest.approx(theirs.node_gpu_s / 3600, rel=1e-9)
    assert ours.spot_gpu_hours == pytest.approx(theirs.spot_gpu_s / 3600, rel=1e-9)
    assert ours.busy_gpu_hours == pytest.approx(theirs.busy_gpu_s / 3600, rel=1e-9)
    assert ours.lost_gpu_hours == pytest.approx(theirs.lost_gpu_s / 3600, rel=1e-9, abs=1e-9)
    assert ours.interruptions == theirs.interruptions
    assert ours.parts["rounding"] == pytest.approx(theirs.rounding_gpu_s / 3600 * costs.serverless, rel=1e-9, abs=1e-9)
    assert ours.serverless_gpu_hours == pytest.approx(theirs.serverless_gpu_s / 3600, rel=1e-9)
    assert ours.tail_gpu_hours == pytest.approx(theirs.tail_gpu_s / 3600, rel=1e-9, abs=1e-9)
    assert ours.mean_wait_s * len(jobs) == pytest.approx(theirs.wait_s, rel=1e-9, abs=1e-6)
