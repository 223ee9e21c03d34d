"""Texts of others, such as the names in a trace → what a page, a picture or a terminal may show of them."""

from __future__ import annotations

from html import escape

LONGEST = 60  # letters of a name where little has room


def plain(text: str) -> str:
    """Without what a terminal would obey and what turns the direction of writing."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def short(text: str) -> str:
    """The same of a long text without its middle: names that begin alike often end differently."""
    text, half = plain(text), (LONGEST - 1) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}…{text[-half:]}"


def label(text: str) -> str:
    """The same for Plotly, which takes some HTML in names for markup, links among it."""
    return escape(short(text), quote=False)
