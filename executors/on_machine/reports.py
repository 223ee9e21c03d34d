"""Reports: what is known of each attempt, with versions for those who wait, journalled to outlive the process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.journal import Journal
from executors.on_machine.news import ACCEPTED_S, BEGUN_S, News

Report = dict[str, Any]


def accepted(attempt_id: str, nodes: list[str], held: dict[str, Any], at_ns: int) -> Report:
    """The first report of an attempt: it holds nodes, or waits for some, and has not begun."""
    return {
        "attempt_id": attempt_id,
        "state": "starting",
        "at_ns": at_ns,
        "launched_ns": at_ns,
        "started_ns": None,
        "ended_ns": None,
        "released_ns": None,
        "exit_code": None,
        "signal": None,
        "reason": "",
        "nodes": nodes,
        "held": held,
        "version": 0,  # nobody has been told of it
    }


def lost(report: Report, who: str, at_ns: int) -> None:
    """The end of an attempt that went with `who` ran it."""
    state = "interrupted" if report["nodes"] else "refused"  # it waited for a place
    report |= {"state": state, "at_ns": at_ns, "ended_ns": at_ns, "released_ns": at_ns}
    report["reason"] = f"{who} was lost, and the attempt with it"


class Reports:
    """Reports by attempt id, and the ids that must not start."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self._root = root
        self._journal = journal
        self._reports: dict[str, Report] = journal.reports
        self._cancelled = Journal(root / "cancelled.jsonl")
        self._news = News(self._reports)

    def interrupt(self, who: str, at_ns: int) -> list[str]:
        """Ends what `who` was running: it died with it. Their ids."""
        going = self.going()
        for attempt_id in going:
            report = self._reports[attempt_id]
            lost(report, who, at_ns)
            self._journal.write(report)
            AttemptDir(self._root / "attempts" / attempt_id).close_if_open(report)
        return going

    def known(self, attempt_id: str) -> bool:
        """Whether it was ever launched here."""
        return attempt_id in self._reports

    def going(self) -> list[str]:
        """Attempts that have not ended."""
        return [name for name, report in self._reports.items() if report["ended_ns"] is None]

    def since(self, since_ns: int) -> list[Report]:
        """Those that held a unit at or after a time."""
        return [one for one in self._reports.values() if (one["released_ns"] or since_ns) >= since_ns]

    def get(self, attempt_id: str) -> Report:
        """What is known of an attempt. Raises KeyError."""
        return self._reports[attempt_id]

    def note(self, attempt_id: str, **more: Any) -> None:
        """Keeps more about an attempt, of which nobody is told."""
        self._reports[attempt_id] |= more
        self._keep(self._reports[attempt_id])

    def cancel(self, attempt_id: str, grace_s: float) -> None:
        """It must end, or not start."""
        if attempt_id not in self._cancelled.reports:
            self._cancelled.write({"attempt_id": attempt_id, "grace_s": grace_s})

    def grace_s(self, attempt_id: str) -> float | None:
        """How long it may take to end, once it was cancelled; None where it was not."""
        line = self._cancelled.reports.get(attempt_id)
        return None if line is None else line["grace_s"]

    async def launched(self, attempt_id: str, unit: str, held: dict[str, Any], at_ns: int) -> None:
        """An attempt was accepted, and given to a unit where one is named. Raises OSError, and nothing was launched."""
        report = accepted(attempt_id, [unit] if unit else [], held, at_ns)
        self._journal.write(report)
        self._news.tell(report, within_s=ACCEPTED_S)

    def placed(self, attempt_id: str, unit: str, at_ns: int) -> None:
        """An attempt that waited has been given to a unit, which it holds from now on."""
        report = self._reports[attempt_id]
        report |= {"nodes": [unit], "launched_ns": at_ns}
        self._keep(report)

    async def started(self, attempt_id: str, at_ns: int) -> None:
        """Its command runs."""
        report = self._reports[attempt_id]
        report |= {"state": "running", "at_ns": at_ns, "started_ns": at_ns}
        self._keep(report)
        self._news.tell(report, within_s=BEGUN_S)

    async def ended(self, attempt_id: str, outcome: Report, at_ns: int) -> None:
        """It has ended, and holds its unit no more."""
        known = {name: value for name, value in outcome.items() if value is not None}
        report = self._reports[attempt_id]
        report |= known | {"at_ns": at_ns, "ended_ns": at_ns, "released_ns": at_ns}
        self._keep(report)
        self._news.tell(report)

    def _keep(self, report: Report) -> None:
        """Journals it. On a full disk it is known to this process only, and interrupted for the next one."""
        try:
            self._journal.write(report)
        except OSError as error:
            print(f"{report['attempt_id']} could not be journalled: {error}", file=sys.stderr, flush=True)

    async def poll(self, since: int, wait_s: float) -> tuple[int, list[Report]]:
        """Reports newer than a version; waits for one for a while when there is none."""
        return await self._news.since(since, wait_s)

    def forget(self, attempt_ids: Sequence[str]) -> list[str]:
        """Drops ended attempts; those that were dropped, or never known."""
        dropped = [one for one in attempt_ids if one not in self._reports or self._reports[one]["ended_ns"] is not None]
        for attempt_id in dropped:
            for journal in (self._journal, self._cancelled):
                if attempt_id in journal.reports:
                    journal.forget(attempt_id)
        return dropped
