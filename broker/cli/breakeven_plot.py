"""A breakeven table → the curve of cost against busy share, as a PNG or as an HTML page that needs no network.

A held GPU costs the same however busy it is: a level line. Bought work costs in proportion: a line from zero. Where
they meet is the breakeven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any, Final

from broker.decide.breakeven import Breakeven
from broker.model.errors import InvalidInput, Problem
from broker.model.offers import Tier
from broker.run.money.breakeven_table import BreakevenTable

# Colours that people with any colour vision can tell apart (after Okabe and Ito), dark enough for text.
COLOURS: Final = {
    Tier.SPOT: "#009E73",
    Tier.COMMIT_3Y: "#0072B2",
    Tier.COMMIT_1Y: "#A0528A",
    Tier.ON_DEMAND: "#D55E00",
    Tier.OWNED: "#9A6A00",
    Tier.SERVERLESS: "#222222",
}
WORDS: Final = {
    Tier.SPOT: "spot",
    Tier.COMMIT_3Y: "3 years",
    Tier.COMMIT_1Y: "1 year",
    Tier.ON_DEMAND: "on demand",
    Tier.OWNED: "your own",
}
GREY: Final = "#6B7280"
MOST_LINES: Final = 6
SHORT_NAME: Final = 3  # letters up to which a provider's name is an abbreviation
CLOSE: Final = 0.05  # of the height: labels nearer than this would touch
CENTS_BELOW: Final = 2  # dollars at the top of the axis, under which its numbers have cents
SUFFIXES: Final = (".png", ".html")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A level line of the drawing: one cluster offer."""

    cell: Breakeven
    label: str
    colour: str


def drawable(path: Path) -> None:
    """Raises `InvalidInput` for a file that can't be drawn to."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInput(Problem(message=f"must end in {' or '.join(SUFFIXES)}, not {path.name!r}", field="--plot"))
    if not path.absolute().parent.is_dir():
        raise InvalidInput(Problem(message=f"there is no folder {path.parent}: make it first", field="--plot"))


def draw(found: BreakevenTable, path: Path) -> None:
    """Writes the drawing; its kind is that of the file's name."""
    (_png if path.suffix.lower() == ".png" else _html)(found, lines(found), path)


def lines(found: BreakevenTable) -> tuple[Line, ...]:
    """The cluster offers that are drawn: the cheapest of each tier, then the on-demand offers of the same providers."""
    cells = [row.cells[found.column] for row in found.rows]
    tiers: dict[Tier, Breakeven] = {}
    for cell in cells:
        tiers.setdefault(cell.cluster.tier, cell)
    providers = {cell.cluster.provider for cell in tiers.values()}
    listed = [cell for cell in cells if cell.cluster.tier is Tier.ON_DEMAND and cell.cluster.provider in providers]
    chosen = list(dict.fromkeys([*tiers.values(), *listed]))[:MOST_LINES]
    return tuple(_line(cell) for cell in sorted(chosen, key=lambda cell: cell.held_usd))


def _line(cell: Breakeven) -> Line:
    tier = cell.cluster.tier
    words = WORDS.get(tier, tier.value)
    what = words if tier is Tier.OWNED else f"{_named(cell.cluster.provider)} {words}"
    meets = "never pays" if cell.never else f"pays above {cell.utilization:.0%}"
    return Line(cell=cell, label=f"{what}, ${cell.held_usd:.2f}: {meets}", colour=COLOURS[tier])


def _named(provider: str) -> str:
    return provider.upper() if len(provider) <= SHORT_NAME else provider.capitalize()


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights for labels, ascending as `wanted` is, at least `gap` apart, and moved as little as that needs."""
    groups: list[list[float]] = []  # of labels that touch: their wanted heights, each less its place in the group
    for height in wanted:
        groups.append([height])
        while len(groups) > 1 and _middle(groups[-1]) < _middle(groups[-2]) + gap * len(groups[-2]):
            upper = groups.pop()
            below = len(groups[-1])
            groups[-1] += [each - gap * below for each in upper]
    return [_middle(group) + gap * place for group in groups for place in range(len(group))]


def _middle(group: Sequence[float]) -> float:
    return sum(group) / len(group)


def _title(found: BreakevenTable) -> str:
    return f"{found.pair.cluster.gpu_model}: hold a GPU, or buy it by the second?"


def _subtitle(found: BreakevenTable) -> tuple[str, str]:
    grey = f" Grey: all {len(found.columns)} serverless providers." if len(found.columns) > 1 else ""
    return (
        f"Dollars per GPU and hour; prices as known on {found.asked.day}.",
        f"Left of a circle it is cheaper to buy, right of it to hold.{grey}",
    )


def _top(shown: Sequence[Line], found: BreakevenTable) -> float:
    return float(max([found.pair.bought_usd, *(line.cell.held_usd for line in shown)])) * 1.06


def _png(found: BreakevenTable, shown: Sequence[Line], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 6.2), dpi=120)
    try:
        top = _top(shown, found)
        _serverless(axes, found)
        for line in shown:
            _level(axes, line)
        _circles(axes, shown, top)
        _labels(axes, found, shown, top)
        _frame(axes, found, top)
        figure.subplots_adjust(left=0.055, right=0.67, top=0.83, bottom=0.115)
        figure.savefig(path)
    finally:
        plt.close(figure)


def _serverless(axes: Any, found: BreakevenTable) -> None:
    """The slope of the serverless offer looked at, and the wedge in which all the others lie."""
    ends = [float(cell.bought_usd * cell.packing) for cell in found.rows[0].cells]
    if len(ends) > 1:
        axes.fill_between([0, 1], [0, min(ends)], [0, max(ends)], color="#D1D5DB", alpha=0.55, linewidth=0, zorder=1)
    axes.plot([0, 1], [0, ends[found.column]], color=COLOURS[Tier.SERVERLESS], linewidth=2.6, zorder=3)


def _level(axes: Any, line: Line) -> None:
    held, meets = float(line.cell.held_usd), float(line.cell.utilization)
    if line.cell.never:
        axes.plot([0, 1], [held, held], color=line.colour, linewidth=1.6, linestyle=(0, (5, 3)), zorder=2)
        return
    # Left of the breakeven the line is what one would pay too much; right of it, what one pays at most.
    axes.plot([0, meets], [held, held], color=line.colour, linewidth=1.2, alpha=0.5, zorder=2)
    axes.plot([meets, 1], [held, held], color=line.colour, linewidth=2.6, zorder=2)


def _circles(axes: Any, shown: Sequence[Line], top: float) -> None:
    """The breakevens, each with its share: above the line, or below it where the next one would be covered."""
    from matplotlib.patheffects import withStroke

    meeting = [line for line in shown if not line.cell.never]
    for at, line in enumerate(meeting):
        held, meets = float(line.cell.held_usd), float(line.cell.utilization)
        above = at + 1 == len(meeting) or float(meeting[at + 1].cell.held_usd) - held > CLOSE * top
        axes.plot([meets], [held], "o", color="white", mec=line.colour, mew=2.4, markersize=9, zorder=4)
        axes.annotate(
            f"{line.cell.utilization:.0%}",
            (meets, held),
            xytext=(-7, 8) if above else (7, -17),
            textcoords="offset points",
            ha="right" if above else "left",
            color=line.colour,
            fontsize=11,
            fontweight="bold",
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=5,
        )


def _labels(axes: Any, found: BreakevenTable, shown: Sequence[Line], top: float) -> None:
    """What each line is, at its end, moved apart where they would touch."""
    pair, ends = found.pair, [(float(line.cell.held_usd), line.label, line.colour) for line in shown]
    bought = float(pair.bought_usd * pair.packing)
    ends.append((bought, f"{_named(pair.serverless.provider)} serverless, ${bought:.2f}", COLOURS[Tier.SERVERLESS]))
    ends.sort(key=lambda end: end[0])
    for (height, text, colour), at in zip(ends, spread([end[0] for end in ends], top * CLOSE), strict=True):
        axes.annotate(
            text,
            (1, height),
            xytext=(1.025, at),
            textcoords=("axes fraction", "data"),
            va="center",
            color=colour,
            fontsize=10.2,
            annotation_clip=False,
            parse_math=False,  # a $ is a $, however many there are
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 0},
        )


def _frame(axes: Any, found: BreakevenTable, top: float) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, top)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.yaxis.set_major_formatter(lambda usd, _: f"${usd:.2f}" if top < CENTS_BELOW else f"${usd:g}")
    axes.set_xlabel("share of the hour in which the GPU is busy", color=GREY, labelpad=8)
    axes.grid(axis="y", color="#E5E7EB", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=GREY)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#9CA3AF")
    axes.text(
        0,
        1.135,
        _title(found),
        transform=axes.transAxes,
        fontsize=16,
        fontweight="bold",
        color="#111827",
        parse_math=False,
    )
    for height, text in zip((1.085, 1.04), _subtitle(found), strict=True):
        axes.text(0, height, text, transform=axes.transAxes, fontsize=10.5, color=GREY)


def _html(found: BreakevenTable, shown: Sequence[Line], path: Path) -> None:
    from plotly import graph_objects

    shares = [step / 100 for step in range(101)]
    figure = graph_objects.Figure()
    for cell in found.rows[0].cells:
        main = cell.serverless == found.pair.serverless
        figure.add_scatter(
            x=shares,
            y=[float(cell.serverless_usd_at(Decimal(str(share)))) for share in shares],
            name=escape(f"{cell.serverless.provider} serverless", quote=False),  # Plotly takes tags for markup
            line={"color": COLOURS[Tier.SERVERLESS] if main else "#9CA3AF", "width": 3 if main else 1.2},
            hovertemplate="%{x:.0%} busy: $%{y:.2f}",
        )
    for line in shown:
        held = float(line.cell.held_usd)
        figure.add_scatter(
            x=shares,
            y=[held] * len(shares),
            name=escape(line.label, quote=False),
            line={"color": line.colour, "dash": "dash" if line.cell.never else "solid"},
            hovertemplate="$%{y:.2f}",
        )
        if not line.cell.never:
            figure.add_scatter(
                x=[float(line.cell.utilization)],
                y=[held],
                mode="markers+text",
                text=[f"{line.cell.utilization:.0%}"],
                textposition="top left",
                textfont={"color": line.colour},
                marker={"color": "white", "size": 11, "line": {"color": line.colour, "width": 3}},
                showlegend=False,
                hoverinfo="skip",
            )
    figure.update_layout(
        title={"text": escape(_title(found), quote=False), "subtitle": {"text": " ".join(_subtitle(found))}},
        template="plotly_white",
        hovermode="x unified",
        hoverlabel={"namelength": -1},
        xaxis={"title": "busy share", "tickformat": ".0%", "range": [0, 1]},
        yaxis={"title": "", "tickprefix": "$", "range": [0, _top(shown, found)]},
    )
    figure.write_html(path, include_plotlyjs=True, full_html=True)
