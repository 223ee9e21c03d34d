"""The report is one page that needs nothing else, says what the comparison says, and shows foreign names as text."""

import re

import numpy as np
import pytest

from broker.decide.market import Market
from broker.decide.workload import Workload
from simulator.compare import compare
from simulator.outcomes import in_words
from simulator.policies import POLICIES
from simulator.report.simulation import page
from simulator.report.unit import Unit
from simulator.sensitivity import sensitivity
from simulator.simulate_command import warn_of_a_short_time


def _history() -> Workload:
    rng = np.random.default_rng(2)
    submit = np.sort(rng.uniform(0, 6 * 86_400.0, 300))
    return Workload.of(submit, np.exp(rng.normal(8, 1.5, 300)), np.ones(300))


def test_the_page_says_what_was_found_and_loads_nothing() -> None:
    markets = {"elastic": Market(warmup=288), "firm": Market(commit=0.6, commit_window=288, warmup=288)}
    found = {name: compare(_history(), market, list(POLICIES)) for name, market in markets.items()}
    sensitive = {"elastic": sensitivity(_history(), markets["elastic"])}
    text = page("trace <b>of</b> mine", found, {"elastic": {"broker": (1.01, 1.09)}}, sensitive, Unit())
    assert "trace &lt;b&gt;of&lt;/b&gt; mine" in text
    assert "<b>of</b>" not in text
    for name, comparison in found.items():
        assert f"<h2>{name}: cost by policy</h2>" in text
        assert in_words(comparison).replace("'", "&#x27;") in text
        for outcome in comparison.outcomes:
            assert f"{outcome.cost.total:,.0f}" in text
    assert "+1.0% … +9.0%" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", text)
    assert text.count("role='img'") == text.count("<figcaption>") == 7


def test_dollars_are_gpu_hours_at_the_price() -> None:
    found = {"elastic": compare(_history(), Market(warmup=288), ["broker"])}
    text = page("mine", found, {}, {}, Unit(usd=2.5))
    assert f"{2.5 * found['elastic'].outcomes[0].cost.total:,.0f}" in text
    assert "at $2.5 a cluster GPU-hour" in text


def test_an_idle_cluster_has_a_page_too() -> None:
    nothing = Workload.of([0.0, 5 * 86_400.0], [1.0, 1.0], [1, 1])
    found = {"elastic": compare(nothing, Market(warmup=288), ["all-serverless", "clairvoyant"])}
    assert "all serverless" in page("idle", found, {}, {}, Unit())


@pytest.mark.parametrize(("warmup", "said"), [(288 * 5, "hours left"), (0, "5.9 days left")])
def test_what_is_played_for_days_only_is_said_to_be_chance(
    warmup: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_a_short_time(compare(_history(), Market(warmup=warmup), ["all-serverless"]))
    assert said in capsys.readouterr().err


def test_a_week_and_more_is_played_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    weeks = Workload.of(np.array([0.0, 8 * 86_400.0]), np.array([60.0, 60.0]), np.ones(2))
    warn_of_a_short_time(compare(weeks, Market(warmup=288), ["all-serverless"]))
    assert not capsys.readouterr().err
