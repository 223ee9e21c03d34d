"""Our CSV of jobs → consecutive workloads, chunk by chunk, for traces larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from broker.decide.workload import Workload
from broker.model.errors import InvalidInput, Problem
from simulator.traces.own_csv import JOBS, numbers


def parts(source: str, rows: int = 1_000_000) -> Iterator[Workload]:
    """Reads a file, also compressed, so many rows at a time; they must be sorted by `submit_s`.

    Raises `InvalidInput`, with file, line and column, for what can't be read, is no number, or is negative.
    """
    try:
        with pd.read_csv(source, usecols=list(JOBS), chunksize=rows) as reader:
            for table in reader:
                yield Workload.of(*(numbers(table, column, source) for column in JOBS))
    except FileNotFoundError:
        raise InvalidInput(Problem(file=source, message="there is no such file")) from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = str(error).strip()
        raise InvalidInput(Problem(file=source, message=f"can't be read as CSV of jobs: {why}")) from None
