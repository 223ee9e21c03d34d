"""A file of any format that is known, compressed or not → a table of jobs, or of a series, in our columns."""

from __future__ import annotations

import pandas as pd

from broker.model.errors import InvalidInput, Problem
from simulator.traces.formats import FORMATS, recognise
from simulator.traces.formats.serving import Serving
from simulator.traces.formats.source import Source
from simulator.traces.text_stream import opened

AS_USUAL = Serving()


def read(source: str, form: str | None = None, serving: Serving = AS_USUAL) -> pd.DataFrame:
    """Reads a file, or standard input for `-`; `serving` is how requests are turned into GPU time.

    Raises `InvalidInput`, with the name, for what can't be read, and where the format is unknown.
    """
    with opened(source) as (text, head, name):
        chosen = form or recognise(head)
        if chosen is None or chosen not in FORMATS:
            said = f"there is no format {form!r}" if form else "its format is not recognised"
            raise InvalidInput(Problem(file=name, message=f"{said}: say --format {', '.join(FORMATS)}"))
        return FORMATS[chosen](Source(text=text, name=name, serving=serving))
