"""Forecasts of a pool's busy units: what counts as its work, and what came of it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.outlook import came, counted, expected, foresee, scenarios
from broker.decide.steering import QUEUE
from broker.model.foresight import Outlook
from broker.model.resources import GIB, Resources
from broker.model.runs import Run
from tests.run.past import BURST, DAY_NS, HALF, HOUR_NS, NODE, RAY, workdays

NOW = 20_500 * DAY_NS + 11 * HOUR_NS
FLAT = Outlook(
    pool="ray",
    at_ns=NOW,
    step_s=3_600.0,
    levels=(0.05, 0.5, 0.95),
    quantiles=((0.0, 2.0), (1.0, 3.0), (2.0, 4.0)),
    coverage=None,
    pinball=None,
    reason="r",
)


def runs(days: int = 10) -> list[Run]:
    found = []
    for begin, end, pool in workdays(days, NOW):
        ended = end if end <= NOW else None
        found.append(Run(user="ann", pool=pool, resources=HALF, started_ns=begin, ended_ns=ended))
    return found


def test_a_forecast_follows_the_day_and_says_why() -> None:
    outlook = foresee(RAY, runs(), NOW)
    assert outlook is not None and outlook.at_ns == NOW
    median = outlook.quantiles[outlook.levels.index(0.5)]
    days, nights = np.mean(median[10:18]), np.mean(median[22:30])
    assert days > 1.5 * nights
    assert "nodes are busy now" in outlook.reason and outlook.coverage is not None
    assert outlook == foresee(RAY, runs(), NOW)


def test_what_comes_later_is_not_known() -> None:
    seen = [run for run in runs() if run.ended_ns is not None]
    later = [replace(run, started_ns=NOW + 1, ended_ns=None) for run in seen[-5:]]
    known = foresee(RAY, seen, NOW)
    assert known == foresee(RAY, [*seen, *later], NOW)


def test_a_clusters_work_is_what_its_nodes_could_hold_and_a_serverless_pools_what_ran_there() -> None:
    large = Run(user="a", pool="ray", resources=Resources(cpus=64, memory_bytes=GIB), started_ns=0, ended_ns=1)
    mixed = [replace(large, resources=NODE), replace(large, resources=NODE, pool="burst"), large]
    assert counted(mixed, RAY) == mixed[:2]
    assert counted(mixed, BURST) == mixed[1:2]


def test_of_nothing_nothing_is_said() -> None:
    waits = Run(user="a", pool=QUEUE, resources=NODE, started_ns=NOW - HOUR_NS, ended_ns=None)
    assert foresee(RAY, [], NOW) is None
    assert foresee(RAY, [waits], NOW) is None


@given(
    times=st.lists(st.tuples(st.integers(-7_200, 7_200), st.integers(1, 9_000)), max_size=12),
    elapsed=st.integers(1, 7_200),
)
def test_what_came_is_the_mean_of_what_ran(times: list[tuple[int, int]], elapsed: int) -> None:
    second, now = 10**9, NOW + elapsed * 10**9
    ran = [
        Run(
            user="a",
            pool="ray",
            resources=HALF,
            started_ns=NOW + begin * second,
            ended_ns=NOW + (begin + lasts) * second if begin + lasts <= elapsed else None,
        )
        for begin, lasts in times
        if begin < elapsed
    ]
    found = came(ran, RAY, NOW, 3_600.0, 2, now)
    for step in range(2):
        first, last = NOW + step * HOUR_NS, NOW + (step + 1) * HOUR_NS
        busy = [max(min(run.ended_ns or now, now, last) - max(run.started_ns, first), 0) for run in ran]
        assert found[step] == pytest.approx(sum(busy) / HOUR_NS / 2, abs=1e-6)


def test_how_likely_all_nodes_are_wanted_is_read_off_the_bands() -> None:
    found = expected(FLAT, RAY, [BURST], 1, date(2026, 2, 16))
    assert found is not None and found.usd_per_unit_hour == Decimal("2.0")
    assert found.full == pytest.approx((0.5, 1.0), abs=0.03)
    none = expected(FLAT, RAY, [BURST], 9, date(2026, 2, 16))
    assert none is not None and none.full == (0.0, 0.0)
    assert expected(FLAT, RAY, [], 1, date(2026, 2, 16)) is None
    assert expected(FLAT, BURST, [RAY], 1, date(2026, 2, 16)) is None


def test_scenarios_have_the_quantiles_they_were_read_from() -> None:
    drawn = scenarios(FLAT)
    assert np.quantile(drawn, 0.5, axis=0) == pytest.approx([1.0, 3.0], abs=0.05)
    assert drawn.min() >= 0.0 and drawn.max() <= 4.0
