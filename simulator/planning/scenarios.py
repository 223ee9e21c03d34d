"""A trace, or a demand series → the scenarios of demand to plan for, by class: the past itself, or forecast paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from broker.decide.demand import Demand, demand
from broker.decide.forecast import forecast
from broker.decide.plan import Class, Scenario
from broker.decide.workload import Labels, Workload
from broker.model.errors import InvalidInput, Problem
from simulator.planning.document import Match
from simulator.traces import load
from simulator.traces.own_csv import numbers

SEED = 1
DAY_S = 86_400.0
STEP, TOTAL = "step", "gpus_busy"

Histories = list[Workload | Demand]


def of_file(file: Path, step_s: float, classes: Sequence[Class]) -> Histories:
    """`step,gpus_busy`; with classes, a column for each by its name, empty before its history begins.

    Raises `InvalidInput` with the place.
    """
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise InvalidInput(Problem(file=str(file), message=f"can't be read as CSV: {str(error).strip()}")) from None
    columns = [each.name for each in classes] if len(classes) > 1 else [TOTAL]
    if table.empty or any(column not in table for column in (STEP, *columns)):
        said = f"needs rows and the columns {STEP}, {', '.join(columns)}"
        raise InvalidInput(Problem(file=str(file), line=1, message=said))
    _check_steps(table, str(file))
    return [Demand(step_s=step_s, gpus=numbers(_begun(table, column), column, str(file))) for column in columns]


def _begun(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows from the first on that says something."""
    first = table[column].first_valid_index()
    return table if first is None else table.loc[first:]


def _check_steps(table: pd.DataFrame, name: str) -> None:
    """Raises `InvalidInput`, with the line, where a step has no row: the demand after it would come too early."""
    steps = numbers(table, STEP, name)
    if len(astray := np.flatnonzero(np.diff(steps) != 1)):
        row = int(astray[0])
        said = (
            f"{steps[row + 1]:g} does not follow {steps[row]:g}: each step has a row, in order, also where none is busy"
        )
        raise InvalidInput(Problem(file=name, line=row + 3, field=STEP, message=said))


def of_trace(trace: str, step_s: float, classes: Sequence[Class], matches: Sequence[Match | None]) -> Histories:
    """The trace, split into classes. Raises `InvalidInput` for jobs that belong to none."""
    return by_class(load(trace, step_s), trace, classes, matches)


def by_class(
    history: Workload | Demand, trace: str, classes: Sequence[Class], matches: Sequence[Match | None]
) -> Histories:
    """A history of this name, split into classes. Raises `InvalidInput` for jobs that belong to none."""
    if len(classes) < 2:
        return [history]
    if isinstance(history, Demand):
        raise InvalidInput(
            f"{trace} is a series of busy GPUs, which has no classes: give jobs, or --demand with columns"
        )
    owner = _owners(history, classes, matches)
    if len(lost := np.flatnonzero(owner < 0)):
        first = lost[0]
        what = f"kind {_text(history.kind, first)!r}, gpu_type {_text(history.gpu_type, first)!r}"
        many = "1 job" if len(lost) == 1 else f"{len(lost)} jobs"
        raise InvalidInput(f"{many} of {trace} in no class, the first with {what}: add it to the match of one")
    return [history.take(owner == number) for number in range(len(classes))]


def _owners(
    jobs: Workload, classes: Sequence[Class], matches: Sequence[Match | None]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The first class that takes a job; a class without a match takes jobs of its kind, and the last such the rest."""
    owner = np.full(len(jobs), -1)
    rest = -1
    for number, (work, match) in enumerate(zip(classes, matches, strict=True)):
        wanted = match or Match(kind=(work.name,))
        rest = number if match is None and work.name not in jobs.kind.names else rest
        owner[(owner < 0) & _taken(jobs, wanted)] = number
    owner[owner < 0] = rest
    return owner


def _taken(jobs: Workload, match: Match) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = np.ones(len(jobs), bool)
    for labels, values in ((jobs.kind, match.kind), (jobs.gpu_type, match.gpu_type), (jobs.user, match.user)):
        if values:
            found &= np.isin(labels.codes, [n for n, name in enumerate(labels.names) if name in values])
    return found


def _text(labels: Labels, row: int) -> str:
    return str(labels.names[labels.codes[row]])


def as_it_was(histories: Histories, step_s: float) -> tuple[Scenario, ...]:
    """The past as the one course that demand may take."""
    each = [h.gpus if isinstance(h, Demand) else demand(h, step_s).gpus for h in histories]
    steps = max(map(len, each))
    series = isinstance(histories[0], Demand)  # all of them end at the same time, as jobs begin at the same
    short = [steps - len(one) for one in each]
    gpus = np.stack([np.pad(one, (gap, 0) if series else (0, gap)) for one, gap in zip(each, short, strict=True)])
    return (Scenario(gpus=gpus if len(each) > 1 else gpus[0], weight=1.0),)


def as_forecast(
    histories: Histories, step_s: float, days: float, count: int, names: Sequence[str] = ()
) -> tuple[tuple[Scenario, ...], str]:
    """Courses that are equally likely from the end of the past on, and why, in a line for each class.

    Each class, of these names, has those that it would have alone; they meet each other in random order.
    """
    ends = [end_s(each, step_s) for each in histories]
    steps = max(round(days * DAY_S / step_s), 1)
    found = [
        forecast(
            each,
            end if isinstance(each, Demand) else max(ends),
            steps,
            step_s,
            np.random.default_rng(SEED),
            paths=count,
        )
        for each, end in zip(histories, ends, strict=True)
    ]
    rng = np.random.default_rng(SEED)
    courses = np.stack([found[0].paths, *(rng.permutation(each.paths) for each in found[1:])], axis=1)
    scenarios = tuple(Scenario(gpus=course if len(found) > 1 else course[0], weight=1 / count) for course in courses)
    if len(found) < 2:
        return scenarios, found[0].reason
    return scenarios, "\n".join(f"{name}: {each.reason}" for name, each in zip(names, found, strict=True))


def end_s(history: Workload | Demand, step_s: float) -> float:
    """When the past ends: with the step of the last submission, or of a series."""
    if isinstance(history, Demand):
        return len(history) * history.step_s
    return float(np.ceil(history.submit_s.max(initial=0.0) / step_s) * step_s)
