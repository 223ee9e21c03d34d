"""The Standard Workload Format of the Parallel Workloads Archive (Feitelson) → jobs."""

from __future__ import annotations

import pandas as pd

from simulator.traces.formats.source import COLUMNS, Source

FIELDS = 18


def swf(source: Source) -> pd.DataFrame:
    """18 numbers a line, `;` before comments; processors stand for GPUs. Raises `InvalidInput` with the line."""
    rows = []
    for number, line in enumerate(source.text, 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        fields = line.split()
        if len(fields) != FIELDS:
            raise source.wrong(f"{len(fields)} fields, not {FIELDS}", line=number)
        try:
            submit, wait, run, processors = (float(field) for field in fields[1:5])
        except ValueError as error:
            raise source.wrong(str(error), line=number) from None
        if run > 0 and processors > 0:
            rows.append((submit + max(wait, 0.0), run, processors, f"user{fields[11]}", f"queue{fields[14]}", ""))
    return source.table([pd.DataFrame(rows, columns=list(COLUMNS))])
