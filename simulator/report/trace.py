"""A workload and its description → the report of `broker trace describe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from broker.decide.workload import Floats, Workload
from simulator.report.document import Chart, Page, Section, Table
from simulator.report.load_duration import load_duration
from simulator.report.over_time import over_time
from simulator.report.style import CLUSTER, drawn
from simulator.traces.describe import STEP_S, week
from simulator.traces.description import alike, shortly

BINS = 40
DAYS = tuple(f"day {n + 1}" for n in range(7))
ASSUMPTIONS = (
    "Every job counts from when it was submitted (in imports: from when it started) for as long as it ran.",
    "A GPU is worth holding where it is busy for more than the breakeven: its price over serverless's. "
    "`broker breakeven` has that of today's offers.",
    "Days are counted from the midnight before the first job, in the time zone of the record.",
)


def page(trace: str, history: object, busy: Floats, found: Mapping[str, Any]) -> str:
    """The report as HTML."""
    return Page(
        title=f"What is in {trace}",
        subtitle=f"{found['days']:,.1f} days, {found['gpu_hours']:,.0f} GPU-hours",
        lead=(
            f"{found['mean_gpus']:,.1f} GPUs are busy on average and {found['peak_gpus']:,.0f} at most. If nothing "
            f"changed, {found['worth_holding']} would be worth holding at a breakeven of {found['breakeven']:.0%}."
        ),
        advice=(),
        figures=tuple(_figures(found)),
        sections=tuple(_sections(history, busy, found)),
        assumptions=ASSUMPTIONS,
    ).html()


def _figures(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"{found['mean_gpus']:,.1f}", "GPUs busy on average"
    yield f"{found['peak_gpus']:,.0f}", "at most"
    yield f"{found['worth_holding']}", f"worth holding at {found['breakeven']:.0%}"
    if "jobs" in found:
        yield f"{found['jobs']:,}", "jobs"
        yield shortly(found["duration_s"]["p50"]), "lasts half of them"


def _sections(history: object, busy: Floats, found: Mapping[str, Any]) -> Iterator[Section]:
    nothing = np.zeros(len(busy))
    chart = over_time(busy, nothing, nothing, STEP_S, held_by="", history_steps=0)
    yield Section(title="Busy GPUs over time", parts=(chart,))
    if (curve := load_duration(busy, found["breakeven"])) is not None:
        yield Section(title="How busy each GPU would be", parts=(curve,))
    yield Section(title="Hours of the week", parts=(week_chart(busy, found),))
    if isinstance(history, Workload):
        yield Section(title="Jobs", parts=(histogram(history.duration_s, "how long they run"), _gaps(history)))
        yield Section(title="Who uses it", parts=tuple(_who(found)))


def week_chart(busy: Floats, found: Mapping[str, Any]) -> Chart:
    """Hours of the week; `found` is the description of the same demand."""
    seen = week(busy)
    figure = go.Figure(go.Heatmap(z=seen, y=DAYS, x=np.arange(24), colorscale="Blues", colorbar={"title": "GPUs"}))
    drawn(figure, x="hour of the day", y="", height=300)
    figure.update_yaxes(autorange="reversed")
    says = (
        f"Alike to the day before: {alike(found['daily_cycle'])}; "
        f"alike to the week before: {alike(found['weekly_cycle'])}."
    )
    return Chart(figure=figure, says=says)


def _gaps(history: Workload) -> Chart:
    return histogram(np.diff(history.submit_s), "time between two arrivals")


def histogram(seconds: Floats, what: str) -> Chart:
    """On a logarithmic axis: seconds and days stand side by side in most workloads."""
    logs = np.log10(np.maximum(seconds, 1.0))
    counts, edges = np.histogram(logs, BINS)
    middles = 10 ** ((edges[1:] + edges[:-1]) / 2)
    widths = 10 ** edges[1:] - 10 ** edges[:-1]
    figure = go.Figure(go.Bar(x=middles, y=counts / max(counts.sum(), 1), width=widths, marker_color=CLUSTER))
    drawn(figure, x=f"{what}, seconds", y="share of jobs", height=280, bargap=0)
    figure.update_xaxes(type="log")
    figure.update_yaxes(tickformat=".0%")
    half, most = np.quantile(seconds, (0.5, 0.99)) if len(seconds) else (0.0, 0.0)
    return Chart(figure=figure, says=f"{what.capitalize()}: half within {shortly(half)}, 99 of 100 {shortly(most)}.")


def _who(found: Mapping[str, Any]) -> Iterator[Table]:
    yield Table(heads=("user", "share of the GPU time"), rows=[(k, f"{v:.1%}") for k, v in found["users"].items()])
    for title, key in (("GPU model", "by_gpu_type"), ("class", "by_kind")):
        rows = [
            (
                name,
                f"{each['gpu_hours']:,.0f}",
                f"{each['mean_gpus']:,.1f}",
                f"{each['peak_gpus']:,.0f}",
                f"{each['worth_holding']}",
            )
            for name, each in found[key].items()
        ]
        if rows:
            yield Table(heads=(title, "GPU-hours", "mean GPUs", "most", "worth holding"), rows=rows)
