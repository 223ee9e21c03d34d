"""Runs of jobs under several rules → the report of `broker simulate-jobs`."""

from __future__ import annotations

from collections.abc import Iterator

from broker.decide.wording import several
from simulator.jobs.table import COLUMNS, Played, Runs, duration, in_words, ordered, rows
from simulator.jobs.terms import Terms
from simulator.report.costs import Bar, costs
from simulator.report.document import Chart, Page, Section, Table
from simulator.report.style import CLUSTER, COMMITTED, IDLE, SERVERLESS, SPOT
from simulator.report.waits import waits

PARTS = {
    "on_demand": ("nodes", CLUSTER),
    "spot": ("spot nodes", SPOT),
    "serverless": ("serverless", SERVERLESS),
    "cold_start": ("cold starts", COMMITTED),
    "idle_tail": ("idle tails", IDLE),
    "rounding": ("rounding", "#6b5b95"),
}
DRAWN_WAITS = 5  # rules whose waits are drawn: more lines can't be told apart
ASSUMPTIONS = (
    "First come, first served; nobody is moved. A gang takes whole nodes, or starts when it has them.",
    "Every job has a container of its own; data need not move; run times do not depend on where a job runs.",
    "Rules marked * know the workload: yardsticks, not choices.",
    "The trace is what was asked for. Where jobs wait longer, people would have asked for less.",
)


def page(trace: str, runs: Runs, terms: Terms) -> str:
    """The report as HTML."""
    played = [each for _, each in ordered(runs)]
    jobs = played[0].result.jobs
    return Page(
        title=f"{trace}, job by job",
        subtitle=f"{several(jobs, 'job')}; {in_words(terms)}; costs in {terms.unit}",
        lead=_lead(played, terms),
        advice=tuple(_advice(played)),
        figures=tuple(_figures(played, terms)),
        sections=(
            Section(title="Cost by rule", parts=(_bars(played, terms), _table(runs, played))),
            Section(title="How long jobs wait", parts=(_waits(played),)),
        ),
        assumptions=ASSUMPTIONS,
    ).html()


def _usable(played: list[Played]) -> list[Played]:
    return [each for each in played if not each.named.hindsight] or played


def _amount(value: float, terms: Terms) -> str:
    return f"${value:,.0f}" if terms.unit == "US dollars" else f"{value:,.0f} {terms.unit}"


def _lead(played: list[Played], terms: Terms) -> str:
    best = _usable(played)[0]
    text = f"“{best.named.title}” costs least: {_amount(best.result.cost, terms)}"
    if len(_usable(played)) > 1:
        next_best = _usable(played)[1]
        less = 1 - best.result.cost / next_best.result.cost if next_best.result.cost else 0.0
        text += f", {less:.1%} less than “{next_best.named.title}”"
    return f"{text}; its jobs wait {duration(best.result.mean_wait_s)} on average, {_longest(best)} at most."


def _longest(each: Played) -> str:
    return duration(each.result.longest_wait_s)


def _advice(played: list[Played]) -> Iterator[str]:
    usable = _usable(played)
    best, quickest = usable[0], min(usable, key=lambda each: each.result.mean_wait_s)
    if quickest is not best:
        dearer = quickest.result.cost / best.result.cost - 1 if best.result.cost else 0.0
        yield (
            f"Where waiting costs people more than {dearer:.0%} of the bill, take “{quickest.named.title}”: its jobs "
            f"wait {duration(quickest.result.mean_wait_s)} on average."
        )
    if best.interval is None:
        yield "How sure: this is one course of one workload; intervals say how far others like it would differ."
    else:
        low, high = best.interval
        yield f"How sure: on workloads like it the cost lies between {low:,.0f} and {high:,.0f}, nine times in ten."


def _figures(played: list[Played], terms: Terms) -> Iterator[tuple[str, str]]:
    best = _usable(played)[0].result
    money = terms.unit == "US dollars"
    yield f"{'$' if money else ''}{best.cost:,.0f}", "by the cheapest rule" + ("" if money else f", in {terms.unit}")
    yield duration(best.mean_wait_s), "mean wait"
    yield duration(best.waits.quantile(0.99)), "waited by 99 of 100 jobs at most"
    yield f"{best.on_serverless / best.jobs:.1%}", "of the jobs on serverless"
    held = best.cluster_gpu_hours + best.spot_gpu_hours
    if held:
        yield f"{best.busy_gpu_hours / held:.0%}", "of what is held is busy"


def _bars(played: list[Played], terms: Terms) -> Chart:
    bars = [
        Bar(
            title=_title(each),
            parts={name: each.result.parts[part] for part, (name, _) in PARTS.items()},
            label=f"{each.result.cost:,.0f}",
        )
        for each in played
    ]
    says = f"The cheapest rule costs {_amount(min(bar.total for bar in bars), terms)}."
    return costs(bars, dict(PARTS.values()), unit=f"cost, in {terms.unit}", says=says, floor=None)


def _table(runs: Runs, played: list[Played]) -> Table:
    marks = ["hindsight" if each.named.hindsight else "" for each in played]
    return Table(heads=COLUMNS, rows=rows(runs)[1:], marks=marks)


def _waits(played: list[Played]) -> Chart:
    shown = played[:DRAWN_WAITS]
    says = "; ".join(
        f"{each.named.title}: half within {duration(each.result.waits.quantile(0.5))}, 99 of 100 within "
        f"{duration(each.result.waits.quantile(0.99))}"
        for each in shown
    )
    return waits({each.named.title: each.result.waits for each in shown}, f"{says}.")


def _title(each: Played) -> str:
    return each.named.title + (" *" if each.named.hindsight else "")
