"""A recorded series of spot nodes that could be had → levels for a cluster of any size.

The format is `time_s` and a number of nodes, as in the traces published with SkyServe and "Can't Be Late" (NSDI 2024).
"""

from __future__ import annotations

import numpy as np

from broker.model.errors import InvalidInput, Problem
from simulator.jobs.terms import Spot
from simulator.traces.own_csv import numbers, table_of


def load(file: str, nodes: int | None = None) -> Spot:
    """Reads a series; with `nodes`, the most that it ever was counts as so many, and less as a part of them.

    Raises `InvalidInput`, with file, line and column, for what can't be read, is out of order, or is never available.
    """
    table = table_of(file, file)
    level = next((column for column in table.columns if column != "time_s"), None)
    if "time_s" not in table.columns or level is None:
        raise InvalidInput(Problem(file=file, line=1, message="needs the columns time_s and available"))
    times, had = numbers(table, "time_s", file), numbers(table, level, file)
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        said = f"{times[late[0] + 1]:g} does not come after {times[late[0]]:g}"
        raise InvalidInput(Problem(file=file, line=int(late[0]) + 3, field="time_s", message=said))
    if not had.any():
        raise InvalidInput(Problem(file=file, field=level, message="there never was a node"))
    last_s = float(np.median(np.diff(times))) if len(times) > 1 else 300.0
    counts = np.floor(had * ((nodes or had.max()) / had.max()) + 1e-9).astype(np.int64)
    kept = np.concatenate([[True], np.diff(counts) != 0])
    begin_s = float(times[0])
    return Spot(time_s=times[kept] - begin_s, nodes=counts[kept], period_s=float(times[-1]) + last_s - begin_s)
