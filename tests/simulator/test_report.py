"""The report is one page that needs nothing else, says what the comparison says, and shows foreign names as text."""

import re
from html import unescape

import numpy as np
import pytest

from broker.decide.market import Market
from broker.decide.plan import Kind, Offer, Problem, Scenario, solve
from broker.decide.workload import Workload
from simulator.compare import compare
from simulator.comparison_output import in_words
from simulator.policies import POLICIES
from simulator.report.cost_unit import Unit
from simulator.report.costs import Bar, costs
from simulator.report.document import Page, Section, Table
from simulator.report.plan import capacity_chart
from simulator.report.simulation import page
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


LONG = "a" * 5_000 + "z"
HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror=alert(1)>",
    "<b>bold</b>",
    "<a href='https://evil.example/'>log in</a>",
    "<a href='javascript:alert(1)'>click</a>",
    "\u202egpj.exe",
    "\x1b]0;title\x07",
    LONG,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_others_are_text_in_pictures_and_tables_too(name: str) -> None:
    chart = costs([Bar(title=name, parts={name: 1.0}, label="1")], {name: "#000"}, unit="", says=name, floor=None)
    (bar,), (note,) = chart.figure.data, chart.figure.layout.annotations
    assert bar.y[0] == note.y  # else the label is on another line
    (title,) = chart.figure.layout.yaxis.ticktext
    for shown in (bar.name, title):
        assert "<" not in shown
        assert unescape(shown).isprintable()
        assert len(unescape(shown)) <= 60
        assert unescape(shown)[-1] == name[-1] or not name[-1].isprintable()
    section = Section(title=name, parts=(chart, Table(heads=("offer", "cost"), rows=[(name, "1")])))
    text = Page(
        title=name, subtitle="", lead=name, advice=[name], sections=[section], assumptions=[name], figures=[("1", name)]
    ).html()
    body = text[text.index("<body>") :]
    assert name not in body or name == LONG
    assert not re.search("[\u202e\x1b\x07]", body)
    assert len(re.findall("<h1|<th scope='row'|<script>", body)) == 3


def test_what_is_needed_on_average_counts_a_last_short_period_for_what_it_is() -> None:
    asked = Problem(
        offers=(Offer(name="burst", kind=Kind.SERVERLESS, usd_per_gpu_hour=4.0),),
        scenarios=(Scenario(gpus=np.array([4.0, 4.0, 1.0]), weight=1.0),),
        step_hours=1.0,
        period_hours=2.0,
    )
    assert "; 3.0 GPUs are needed on average, 4.0 in the busiest" in capacity_chart(asked, solve(asked)).says
