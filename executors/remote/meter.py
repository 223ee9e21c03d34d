"""Containers that came and went, and who held them → usage; kept in a journal, so that it outlives the broker.

Where a provider does not say when a container began and ended to be paid, it is what was seen from here, and what the
containers told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from broker.model.resources import Resources
from broker.model.usage import AttemptUsage, UnitUsage, UsageReport
from executors.on_machine.clock import SteadyClock
from executors.on_machine.journal import Journal

Life = dict[str, Any]


class Meter:
    """Lives of containers. What was reported once is never changed: what is learnt late counts from then on."""

    def __init__(self, root: Path) -> None:
        self._journal = Journal(root / "units.jsonl")
        self._mark = root / "measured"
        self._reported_ns = self._mark.stat().st_mtime_ns if self._mark.exists() else 0
        self.clock = SteadyClock(self._reported_ns)

    def begin(
        self,
        unit_id: str,
        resources: Resources,
        attempt_id: str | None,
        at_ns: int,
        variant: str = "",
        *,
        asked_ns: int | None = None,
        head: bool = False,
    ) -> None:
        """A container is paid for from now on, because of an attempt if one is named; of a variant of a function."""
        life = {
            "attempt_id": unit_id,
            "resources": asdict(resources),
            "started_ns": self._late(at_ns),
            "ready_ns": None,
            "ended_ns": None,
            "caused_by": attempt_id,
            "holders": [],
            "variant": variant,
            "asked_ns": asked_ns,
            "head": head,
        }
        self._journal.write(life)

    def lives(self, unit_id: str) -> bool:
        """Whether it is known and has not ended."""
        life = self._journal.reports.get(unit_id)
        return life is not None and life["ended_ns"] is None

    def life(self, unit_id: str) -> Life:
        """What is known of one. Raises KeyError."""
        return self._journal.reports[unit_id]

    def name(self, unit_id: str, container: str) -> None:
        """It is a container that tells its name."""
        life = self._journal.reports[unit_id]
        if life.get("container") != container:
            self._journal.write(life | {"container": container})

    def known(self, unit_id: str) -> bool:
        """Whether it ever lived, as far as that is not settled."""
        return unit_id in self._journal.reports

    def ready(self, unit_id: str, at_ns: int) -> None:
        """It can run attempts."""
        life = self._journal.reports[unit_id]
        if life["ready_ns"] is None:
            self._journal.write(life | {"ready_ns": max(self._late(at_ns), life["started_ns"])})

    def hold(self, unit_id: str, attempt_id: str, resources: Resources, at_ns: int) -> None:
        """An attempt holds it."""
        life = self._journal.reports[unit_id]
        held = {"attempt_id": attempt_id, "resources": asdict(resources), "ended_ns": None}
        held["started_ns"] = max(self._late(at_ns), life["started_ns"])
        self._journal.write(life | {"holders": [*life["holders"], held]})

    def release(self, unit_id: str, attempt_id: str, at_ns: int, *, ends: bool) -> None:
        """An attempt holds it no more; with `ends`, the container ended with it."""
        life = self._journal.reports[unit_id]
        holders = [
            held | {"ended_ns": max(self._late(at_ns), held["started_ns"])}
            if held["attempt_id"] == attempt_id and held["ended_ns"] is None
            else held
            for held in life["holders"]
        ]
        over = {"ended_ns": max(self._late(at_ns), life["started_ns"])} if ends else {}
        self._journal.write(life | {"holders": holders} | over)

    def end(self, unit_id: str, at_ns: int) -> None:
        """It has ended, and whoever held it holds it no more."""
        for held in self._journal.reports[unit_id]["holders"]:
            if held["ended_ns"] is None:
                self.release(unit_id, held["attempt_id"], at_ns, ends=False)
        life = self._journal.reports[unit_id]
        self._journal.write(life | {"ended_ns": max(self._late(at_ns), life["started_ns"])})

    def usage(self, since_ns: int, pending: Mapping[str, int]) -> UsageReport:
        """All that had not ended before, complete up to now, or to when the first of `pending` was launched.

        Of those it is not known yet in which container they run, and since when.
        """
        now_ns = self.clock.now_ns()
        as_of = max(min([now_ns, *pending.values()]), self._reported_ns)
        self._note_reported(as_of)
        lives = [life for life in self._journal.reports.values() if life["started_ns"] <= as_of]
        lives = [life for life in lives if (life["ended_ns"] or since_ns) >= since_ns]
        units = tuple(self._unit(life, as_of) for life in lives)
        attempts = tuple(_held(life, held, as_of) for life in lives for held in life["holders"])
        self._trim(since_ns)
        return UsageReport(
            as_of_ns=as_of, units=units, attempts=tuple(one for one in attempts if _recent(one, since_ns, as_of))
        )

    def up(self) -> list[Life]:
        """Containers that have not ended."""
        return [life for life in self._journal.reports.values() if life["ended_ns"] is None]

    def held(self) -> set[str]:
        """Of those, the ones that somebody holds."""
        return {life["attempt_id"] for life in self.up() if any(one["ended_ns"] is None for one in life["holders"])}

    def _late(self, at_ns: int) -> int:
        return max(at_ns, self._reported_ns)

    def _unit(self, life: Life, as_of: int) -> UnitUsage:
        return UnitUsage(
            unit_id=life["attempt_id"],
            resources=Resources(**life["resources"]),
            started_ns=life["started_ns"],
            ready_ns=_known(life["ready_ns"], as_of),
            ended_ns=_known(life["ended_ns"], as_of),
            caused_by=life["caused_by"],
            asked_ns=life.get("asked_ns"),
            head=life.get("head", False),
        )

    def _note_reported(self, as_of: int) -> None:
        self._reported_ns = as_of
        if not self._mark.exists():
            self._mark.touch(mode=0o600)
        os.utime(self._mark, ns=(as_of, as_of))

    def _trim(self, before_ns: int) -> None:
        for unit_id, life in list(self._journal.reports.items()):
            end_ns = life["ended_ns"]
            if end_ns is not None and end_ns < before_ns:
                self._journal.forget(unit_id)
                continue
            kept = [held for held in life["holders"][:-1] if (held["ended_ns"] or before_ns) >= before_ns]
            if len(kept) < len(life["holders"]) - 1:
                self._journal.write(life | {"holders": [*kept, life["holders"][-1]]})


def _known(at_ns: int | None, as_of: int) -> int | None:
    return at_ns if at_ns is not None and at_ns <= as_of else None


def _held(life: Life, held: dict[str, Any], as_of: int) -> AttemptUsage:
    return AttemptUsage(
        attempt_id=held["attempt_id"],
        unit_id=life["attempt_id"],
        resources=Resources(**held["resources"]),
        started_ns=held["started_ns"],
        ended_ns=_known(held["ended_ns"], as_of),
    )


def _recent(one: AttemptUsage, since_ns: int, as_of: int) -> bool:
    return one.started_ns <= as_of and (one.ended_ns is None or one.ended_ns >= since_ns)
