"""Ray's job list, `GET /api/jobs/` → jobs."""

from __future__ import annotations

import pandas as pd

from simulator.traces.formats.source import COLUMNS, Source


def ray_jobs(source: Source) -> pd.DataFrame:
    """Times in milliseconds; GPUs are those of the entrypoint. Raises `InvalidInput` with the place."""
    rows = []
    for number, job in enumerate(source.document(list)):
        if not isinstance(job, dict):
            raise source.wrong("is no job", column=f"[{number}]")
        began, ended, gpus = job.get("start_time"), job.get("end_time"), job.get("entrypoint_num_gpus") or 0
        if began and ended and gpus:
            user = str((job.get("metadata") or {}).get("user", ""))
            rows.append((began / 1e3, (ended - began) / 1e3, float(gpus), user, "ray", ""))
    return source.table([pd.DataFrame(rows, columns=list(COLUMNS))])
