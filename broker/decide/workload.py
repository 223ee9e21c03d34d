"""Jobs as columns, and what was known of them at a time → what forecasts, plans and simulations read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labels:
    """One text a job, each distinct text kept once."""

    codes: npt.NDArray[np.int32]  # index into `names`
    names: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str] | None, count: int) -> Labels:
        """Labels of `count` jobs; all are "" where nothing is known."""
        if texts is None:
            return cls(np.zeros(count, np.int32), ("",))
        names, codes = np.unique(np.asarray(texts, dtype=np.str_), return_inverse=True)
        return cls(codes.astype(np.int32), tuple(str(name) for name in names))

    def take(self, rows: npt.NDArray[np.generic]) -> Labels:
        """Those of some jobs, by index or mask."""
        return Labels(self.codes[rows], self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs sorted by submission. Times are seconds since the workload's first day began."""

    submit_s: Floats
    duration_s: Floats  # of a job that had not ended: how long it had run
    gpus: Floats
    ended: npt.NDArray[np.bool_]  # False where only part of the job's run is known (a censored observation)
    user: Labels
    kind: Labels
    gpu_type: Labels

    @classmethod
    def of(
        cls,
        submit_s: npt.ArrayLike,
        duration_s: npt.ArrayLike,
        gpus: npt.ArrayLike,
        *,
        ended: npt.ArrayLike | None = None,
        user: Sequence[str] | None = None,
        kind: Sequence[str] | None = None,
        gpu_type: Sequence[str] | None = None,
    ) -> Workload:
        """Sorts jobs by submission, and leaves out those that held nothing.

        Raises ValueError where columns differ in length, or a number is not finite or is negative; it names the column
        and the row.
        """
        columns = {"submit_s": submit_s, "duration_s": duration_s, "gpus": gpus}
        numbers = {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
        count = len(numbers["submit_s"])
        for name, column in numbers.items():
            _check(name, column, count)
        for label, texts in {"user": user, "kind": kind, "gpu_type": gpu_type}.items():
            if texts is not None and len(texts) != count:
                raise ValueError(f"column {label} has {len(texts)} rows, submit_s has {count}")
        rows = np.argsort(numbers["submit_s"], kind="stable")
        rows = rows[(numbers["duration_s"][rows] > 0) & (numbers["gpus"][rows] > 0)]
        has_ended = np.ones(count, bool) if ended is None else np.asarray(ended, bool)
        return cls(
            submit_s=numbers["submit_s"][rows],
            duration_s=numbers["duration_s"][rows],
            gpus=numbers["gpus"][rows],
            ended=has_ended[rows],
            user=Labels.of(user, count).take(rows),
            kind=Labels.of(kind, count).take(rows),
            gpu_type=Labels.of(gpu_type, count).take(rows),
        )

    def __len__(self) -> int:
        return len(self.submit_s)

    @property
    def end_s(self) -> Floats:
        """When each ended, or until when it is known to have run."""
        return self.submit_s + self.duration_s

    def take(self, rows: npt.NDArray[np.generic]) -> Workload:
        """Some of its jobs, by index or mask, in the order of submission."""
        return Workload(
            submit_s=self.submit_s[rows],
            duration_s=self.duration_s[rows],
            gpus=self.gpus[rows],
            ended=self.ended[rows],
            user=self.user.take(rows),
            kind=self.kind.take(rows),
            gpu_type=self.gpu_type.take(rows),
        )

    def known_at(self, time_s: float) -> Workload:
        """What somebody knew at a time: jobs submitted before it, and how long those still running had run by then."""
        seen = self.take(self.submit_s < time_s)
        over = seen.end_s <= time_s
        return Workload(
            submit_s=seen.submit_s,
            duration_s=np.where(over, seen.duration_s, time_s - seen.submit_s),
            gpus=seen.gpus,
            ended=seen.ended & over,
            user=seen.user,
            kind=seen.kind,
            gpu_type=seen.gpu_type,
        )


def _check(name: str, column: Floats, count: int) -> None:
    if column.ndim != 1 or len(column) != count:
        raise ValueError(f"column {name} has {column.size} rows, submit_s has {count}")
    bad = np.flatnonzero(~np.isfinite(column) | (column < 0))
    if len(bad):
        raise ValueError(f"row {bad[0]}, column {name}: {column[bad[0]]} is not a number of at least 0")
