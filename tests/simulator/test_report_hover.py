"""Names of others in the pictures of reports, in a real browser: text wherever they are, also under the pointer."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from broker.cli.breakeven_plot import draw
from broker.run.money.breakeven_table import Asked, breakeven_table
from pricing.catalog_source import CatalogSource
from simulator.report.costs import Bar, costs
from simulator.report.document import Chart, Page, Section
from simulator.report.style import drawn

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<b>bold</b>",
    "<a href='javascript:window.hacked=1'>click</a>",
    "<sup>up</sup><br>and down",
    "%{x} %{y:.2f} %{meta} %{fullData.name}<extra></extra>",
    """100% "quoted" 'so' & &lt;i&gt; &#60;u&#62;""",
    "$\\alpha$ $",
    "2024-01-01",
    "1e3",
    "&" * 50,
)
SHOWN = """() => [...document.querySelectorAll(".js-plotly-plot")].map((plot) => {
  const texts = (selector) => [...plot.querySelectorAll(selector)].map((each) => each.textContent);
  const under = plot.data.map((line, number) => {
    Plotly.Fx.hover(plot, [{ curveNumber: number, pointNumber: line.orientation === "h" ? number : 1 }]);
    const found = texts(".hoverlayer text");
    Plotly.Fx.unhover(plot);
    return found;
  });
  return { under, ticks: texts(".ytick text"), legend: texts(".legendtext") };
})"""


NO_FLOOR: dict[str, Any] = {"unit": "dollars", "says": "", "floor": None}


def looked_at(browser: Any, path: Path, ticks: int = 1) -> list[dict[str, list[Any]]]:
    """What each picture of a page shows, once the first has so many names beside its axis."""
    page = browser.new_page(viewport={"width": 1600, "height": 1200})
    page.goto(path.as_uri())
    page.locator(".js-plotly-plot").first.locator(".ytick").nth(ticks - 1).wait_for(state="attached")
    found: list[dict[str, list[Any]]] = page.evaluate(SHOWN)
    assert page.evaluate("window.hacked === undefined")
    page.close()
    return found


def report(*charts: Chart) -> str:
    sections = [Section(title="s", parts=charts)]
    return Page(title="t", subtitle="", lead="", advice=[], sections=sections, assumptions=[]).html()


def test_names_are_text_under_the_pointer_too(browser: Any, tmp_path: Path) -> None:
    bars = [Bar(title=name, parts={name: 1.0 + at}, label="1") for at, name in enumerate(HOSTILE)]
    # Bars are drawn from the last up: so each part has its value where its number says.
    chart = costs(bars[::-1], dict.fromkeys(HOSTILE, "#123456"), unit="dollars", says="", floor=None)
    lines = go.Figure()
    for at, name in enumerate(HOSTILE):
        lines.add_scatter(x=[0, 1, 2], y=[at, at + 1, at + 2], name=name)
    drawn(lines, x="x", y="y", hovermode="closest")
    (tmp_path / "report.html").write_text(report(chart, Chart(figure=lines, says="")), encoding="utf-8")
    of_bars, of_lines = looked_at(browser, tmp_path / "report.html", len(HOSTILE))
    assert sorted(of_bars["ticks"]) == sorted(of_bars["legend"]) == sorted(of_lines["legend"]) == sorted(HOSTILE)
    for name, bar, line in zip(HOSTILE, of_bars["under"], of_lines["under"], strict=True):
        assert name in line, line
        assert any(name in text for text in bar), bar


def test_names_that_are_shown_alike_are_two_bars() -> None:
    names = [f"{'a' * 40}{middle}{'z' * 40}" for middle in ("-one-", "-two-")]
    chart = costs([Bar(title=name, parts={"it": 1.0}, label="1") for name in names], {"it": "#123456"}, **NO_FLOOR)
    (bars,) = chart.figure.data
    assert len(set(bars.y)) == 2
    assert [note.y for note in chart.figure.layout.annotations] == list(bars.y)


@pytest.mark.parametrize("provider", ["<b>x</b>%{y}<extra>", "a$\\frac$b$"])
def test_providers_are_text_in_the_picture_of_breakevens(browser: Any, tmp_path: Path, provider: str) -> None:
    offers = [replace(each, provider=provider) for each in CatalogSource().offers() if each.provider == "modal"]
    offers += [each for each in CatalogSource().offers() if each.provider == "aws"]
    found = breakeven_table(offers, "H100", Asked(day=date(2026, 11, 23)))
    for name in ("picture.png", "picture.html"):
        draw(found, tmp_path / name)
    (picture,) = looked_at(browser, tmp_path / "picture.html")
    assert f"{provider} serverless" in picture["legend"]
    assert any(text.startswith(f"{provider} serverless") for under in picture["under"] for text in under)
