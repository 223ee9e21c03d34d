"""A title, a finding and sections → one HTML page that needs nothing else: text first, pictures with their numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape

import plotly.graph_objects as go

from simulator.plain import plain, short
from simulator.report.style import STYLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under heads; all columns but the first are numbers, and one without any is left out.

    `marks` are classes of rows.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    marks: Sequence[str] = ()

    def html(self) -> str:
        """As an HTML table, escaped."""
        marks = self.marks or [""] * len(self.rows)
        shown = [at for at in range(len(self.heads)) if at == 0 or any(row[at] for row in self.rows)]
        head = "".join(f"<th scope='col'>{_text(self.heads[at])}</th>" for at in shown)
        body = "".join(
            f"<tr class='{mark}'><th scope='row'>{_cell(row[0])}</th>"
            + "".join(f"<td>{_cell(row[at])}</td>" for at in shown[1:])
            + "</tr>"
            for row, mark in zip(self.rows, marks, strict=True)
        )
        return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture with the sentence that says what it shows, and its numbers for those who can't see it."""

    figure: go.Figure
    says: str
    numbers: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, what it says, and what shows it."""

    title: str
    says: str = ""
    parts: Sequence[Table | Chart] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was found comes first; what it rests on comes last."""

    title: str
    subtitle: str
    lead: str  # the finding, in one or two sentences
    advice: Sequence[str]  # what to do, and how sure that is
    sections: Sequence[Section]
    assumptions: Sequence[str]
    figures: Sequence[tuple[str, str]] = field(default_factory=tuple)  # number, what it is: the few that matter

    def html(self) -> str:
        """The whole document, with its script inside."""
        parts = [
            f"<header><h1>{_text(self.title)}</h1><p class='terms'>{_text(self.subtitle)}</p></header>",
            f"<p class='lead'>{_text(self.lead)}</p>",
            _figures(self.figures),
            _list("What to do", self.advice),
            *(_section(section) for section in self.sections),
            _list("What it rests on", self.assumptions),
        ]
        head = (
            "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
            f"<title>{_text(self.title)}</title><style>{STYLE}</style><script>{_script()}</script>"
        )
        return f"<!doctype html><html lang='en'><head>{head}</head><body><main>{''.join(parts)}</main></body></html>"


def _text(text: str) -> str:
    return escape(plain(text))


def _cell(text: str) -> str:
    return escape(short(text))


def _words(text: str) -> str:
    """A text as HTML; what stands between backquotes is to be typed."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", _text(text))


def _figures(figures: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<div><b>{_text(number)}</b><span>{_text(what)}</span></div>" for number, what in figures)
    return f"<div class='figures'>{cells}</div>" if cells else ""


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{_words(line)}</li>" for line in lines)
    return f"<section><h2>{_text(title)}</h2><ul>{items}</ul></section>" if items else ""


def _section(section: Section) -> str:
    parts = "".join(part.html() if isinstance(part, Table) else _chart(part) for part in section.parts)
    says = f"<p>{_words(section.says)}</p>" if section.says else ""
    notes = "".join(f"<p class='note'>{_words(note)}</p>" for note in section.notes)
    return f"<section><h2>{_text(section.title)}</h2>{says}{parts}{notes}</section>"


def _chart(chart: Chart) -> str:
    drawn = chart.figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True}
    )
    says = _text(chart.says)
    numbers = f"<details><summary>The numbers</summary>{chart.numbers.html()}</details>" if chart.numbers else ""
    return f"<figure><div role='img' aria-label='{says}'>{drawn}</div><figcaption>{says}</figcaption>{numbers}</figure>"


@cache
def _script() -> str:
    """Plotly's own script; it can't end the element that it stands in."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text.replace("</script", "<\\/script")
