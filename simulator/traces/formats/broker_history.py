"""The broker's own history, `broker list --tasks --limit 1000000 --json` → jobs."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from simulator.traces.formats.source import COLUMNS, Source


def broker_history(source: Source) -> pd.DataFrame:
    """Jobs with GPUs that have ended. Raises `InvalidInput` with the place."""
    rows = []
    for number, job in enumerate(source.document(dict).get("items", [])):
        model, _, count = str(job.get("gpus", "")).split(" or ")[0].rpartition(":")
        if not (job.get("started_at") and job.get("ended_at") and count):
            continue
        try:
            began, ended = (datetime.fromisoformat(job[name]).timestamp() for name in ("started_at", "ended_at"))
            gpus = float(count) * int(job.get("num_nodes", 1))
        except ValueError as error:
            raise source.wrong(str(error), column=f"items[{number}]") from None
        rows.append((began, ended - began, gpus, job.get("user", ""), job.get("name", ""), model))
    return source.table([pd.DataFrame(rows, columns=list(COLUMNS))])
