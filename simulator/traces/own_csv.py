"""Our CSV → a workload; a series of levels → a demand. Either may be compressed, or come from standard input.

Jobs: `submit_s,duration_s,gpus` in seconds and GPUs, and where known `user`, `kind`, `gpu_type`. A series: `time_s` and
a level in GPUs in the second column. What else a file holds is left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from broker.decide.demand import Demand
from broker.decide.workload import Floats, Workload
from broker.model.errors import InvalidInput, Problem
from simulator.traces.text_stream import piped

JOBS = ("submit_s", "duration_s", "gpus")
OTHERS = "`broker trace import` makes a trace of other systems' records, such as logs of requests"
TEXTS = ("user", "kind", "gpu_type")


def load(source: str, step_s: float = 300.0) -> Workload | Demand:
    """Reads a file, or standard input for `-`.

    Raises `InvalidInput`, with file, line and column, for what can't be read, is no number, or is negative.
    """
    name = "standard input" if source == "-" else source
    return history_of(table_of(piped() if source == "-" else source, name), name, step_s)


def history_of(table: pd.DataFrame, name: str, step_s: float = 300.0) -> Workload | Demand:
    """A table of jobs, or of a series. Raises `InvalidInput`, with the name, line and column, as `load`."""
    if "time_s" in table.columns and len(table.columns) > 1:
        return _series(table, name, step_s)
    missing = [column for column in JOBS if column not in table.columns]
    if missing:
        said = f"neither jobs (no column {', '.join(missing)}) nor a series (time_s and a level); {OTHERS}"
        raise InvalidInput(Problem(file=name, line=1, message=said))
    submit_s, duration_s, gpus = (numbers(table, column, name) for column in JOBS)
    texts = {column: table[column].fillna("").astype(str).tolist() for column in TEXTS if column in table.columns}
    return Workload.of(submit_s, duration_s, gpus, **texts)


def table_of(source: str | IO[str], name: str) -> pd.DataFrame:
    """A CSV, also compressed. Raises `InvalidInput`, with the name, where it can't be read or has no rows."""
    try:
        table = pd.read_csv(source, low_memory=False)
    except FileNotFoundError:
        raise InvalidInput(Problem(file=name, message="there is no such file")) from None
    except pd.errors.EmptyDataError:
        raise InvalidInput(Problem(file=name, message="is empty: its first line names the columns")) from None
    except OSError as error:
        raise InvalidInput(Problem(file=name, message=f"can't be read: {error.strerror or error}")) from None
    except (UnicodeDecodeError, ValueError) as error:
        why = str(error).strip()
        raise InvalidInput(Problem(file=name, message=f"can't be read as CSV: {why}; {OTHERS}")) from None
    if table.empty:
        raise InvalidInput(Problem(file=name, message="there are no rows in it"))
    return table


def numbers(table: pd.DataFrame, column: str, name: str, least: float = 0.0) -> Floats:
    """A column. Raises `InvalidInput`, with the line, for what is no number, or below the least."""
    values: Floats = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values) | (values < least))
    if len(bad):
        said = f"{str(table[column].iloc[bad[0]])!r} is not a number of at least {least:g}"
        raise InvalidInput(Problem(file=name, line=int(table.index[bad[0]]) + 2, field=column, message=said))
    return values


def _series(table: pd.DataFrame, name: str, step_s: float) -> Demand:
    level = next(column for column in table.columns if column != "time_s")
    times, gpus = numbers(table, "time_s", name), numbers(table, level, name)
    _, step = np.unique((times // step_s).astype(np.int64), return_inverse=True)
    return Demand(step_s=step_s, gpus=np.bincount(step, weights=gpus) / np.bincount(step))


def file_stem(source: str | Path) -> str:
    """A trace's name: its file's, without endings."""
    return "standard input" if str(source) == "-" else Path(source).name.removesuffix(".gz").removesuffix(".csv")
