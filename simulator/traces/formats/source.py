"""A file of another system, read piece by piece: its text, its name for what is wrong, and what the user said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np
import pandas as pd

from broker.decide.workload import Floats
from broker.model.errors import InvalidInput, Problem
from simulator.traces.formats.serving import Serving
from simulator.traces.own_csv import numbers

COLUMNS = ("submit_s", "duration_s", "gpus", "user", "kind", "gpu_type")
CHUNK = 200_000  # rows that are read at once
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of another system while it is read."""

    text: TextIO
    name: str
    serving: Serving = field(default_factory=Serving)  # how requests are served; only logs of requests use it

    def wrong(self, message: str, *, line: int | None = None, column: str = "") -> InvalidInput:
        """What is wrong, with its place."""
        return InvalidInput(Problem(file=self.name, line=line, field=column, message=message))

    def separated(self, separator: str, required: Sequence[str]) -> Iterator[pd.DataFrame]:
        """A table with a head, some rows at a time; the index goes on from one piece to the next.

        Raises `InvalidInput` where it can't be read or lacks a column.
        """
        try:
            pieces = pd.read_csv(self.text, sep=separator, chunksize=CHUNK, dtype=str, keep_default_na=False)
            for piece in pieces:
                if missing := [column for column in required if column not in piece.columns]:
                    raise self.wrong(f"no column {', '.join(missing)}", line=1)
                yield piece
        except (ValueError, pd.errors.ParserError) as error:
            raise self.wrong(f"can't be read: {error}") from None

    def numbers(self, piece: pd.DataFrame, column: str, *, least: float = 0.0) -> Floats:
        """A column of a piece. Raises `InvalidInput`, with the line, for what is no number, or below the least."""
        return numbers(piece, column, self.name, least)

    def seconds(self, piece: pd.DataFrame, column: str, absent: Sequence[str] = ()) -> Floats:
        """A column of times in ISO 8601, as seconds since 1970; NaN for words that say there is none.

        Times without a zone are taken as UTC. Raises `InvalidInput`, with the line, for what is no time.
        """
        text = piece[column].where(~piece[column].isin(absent), None)
        times = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        bad = np.flatnonzero(times.isna() & text.notna())
        if len(bad):
            said = f"{piece[column].iloc[bad[0]]!r} is no time"
            raise self.wrong(said, line=int(piece.index[bad[0]]) + 2, column=column)
        found: Floats = ((times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(dtype=np.float64)
        return found

    def document(self, kind: type) -> Any:
        """One JSON document. Raises `InvalidInput`, with the line, where it is none of this kind."""
        try:
            found = json.load(self.text)
        except ValueError as error:
            raise self.wrong(f"is no JSON: {error}", line=getattr(error, "lineno", None)) from None
        if not isinstance(found, kind):
            raise self.wrong(f"is a JSON {type(found).__name__}, not a {kind.__name__}")
        return found

    def table(self, pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """All jobs by time of submission, counted from the midnight (UTC) before the first.

        Raises `InvalidInput` where there is none.
        """
        kept = [piece for piece in pieces if len(piece)]
        whole = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=COLUMNS)
        whole = whole[whole["duration_s"] > 0]
        if whole.empty:
            raise self.wrong("there is no ended job with GPUs in it")
        whole = whole.sort_values("submit_s", kind="stable", ignore_index=True)
        midnight = whole["submit_s"].iloc[0] // DAY_S * DAY_S  # so that hours of the day stay hours of the day
        return whole.assign(submit_s=whole["submit_s"] - midnight)


def jobs(
    submit_s: Any, duration_s: Any, gpus: Any, *, user: Any = "", kind: Any = "", gpu_type: Any = ""
) -> pd.DataFrame:
    """Columns as a table of jobs."""
    values = (submit_s, duration_s, gpus, user, kind, gpu_type)
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))
