"""The report is one page that needs nothing else, says what the comparison says, and shows foreign names as text."""

import numpy as np

from broker.decide.market import Market
from broker.decide.workload import Workload
from simulator.compare import compare
from simulator.outcomes import in_words
from simulator.policies import POLICIES
from simulator.report import page


def _history() -> Workload:
    rng = np.random.default_rng(2)
    submit = np.sort(rng.uniform(0, 6 * 86_400.0, 300))
    return Workload.of(submit, np.exp(rng.normal(8, 1.5, 300)), np.ones(300))


def test_the_page_says_what_was_found_and_loads_nothing() -> None:
    markets = {"elastic": Market(warmup=288), "firm": Market(commit=0.6, commit_window=288, warmup=288)}
    found = {name: compare(_history(), market, list(POLICIES)) for name, market in markets.items()}
    text = page("trace <b>of</b> mine", found, {"elastic": {"broker": (1.01, 1.09)}})
    assert "trace &lt;b&gt;of&lt;/b&gt; mine" in text
    assert "<b>of</b>" not in text
    for name, comparison in found.items():
        assert f"<h2>{name}</h2>" in text
        assert in_words(comparison).replace("'", "&#x27;") in text
        for outcome in comparison.outcomes:
            assert f"{outcome.cost.total:,.0f}" in text
    assert "+1.0% … +9.0%" in text
    assert "<script src=" not in text
    assert "<link" not in text


def test_an_idle_cluster_has_a_page_too() -> None:
    nothing = Workload.of([0.0, 5 * 86_400.0], [1.0, 1.0], [1, 1])
    found = {"elastic": compare(nothing, Market(warmup=288), ["all-serverless", "clairvoyant"])}
    assert "all serverless" in page("idle", found, {})
