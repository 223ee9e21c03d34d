"""Our own CSV, as anyone may write it: unsorted, with columns of their own → sorted, with ours."""

from __future__ import annotations

import pandas as pd

from simulator.traces.formats.source import COLUMNS, Source, jobs

NUMBERS, TEXTS = COLUMNS[:3], COLUMNS[3:]


def own(source: Source) -> pd.DataFrame:
    """`submit_s,duration_s,gpus` and where known `user,kind,gpu_type`. Raises `InvalidInput` with the line."""
    pieces = []
    for piece in source.separated(",", NUMBERS):
        submit, duration, gpus = (source.numbers(piece, column) for column in NUMBERS)
        texts = {column: piece.get(column, "") for column in TEXTS}
        found = jobs(submit, duration, gpus, **texts)
        pieces.append(found[found["gpus"] > 0])
    return source.table(pieces)
