"""The journal: reports of attempts → lines in a file, and back, so that a launch is known for ever by its id."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file of the last known report of each attempt; read and compacted when it is opened."""

    def __init__(self, path: Path) -> None:
        self.reports: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            self._read(path)
        draft = path.with_suffix(".draft")
        draft.write_text("".join(json.dumps(report) + "\n" for report in self.reports.values()))
        draft.replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def _read(self, path: Path) -> None:
        for line in path.read_text().splitlines():
            try:
                report = json.loads(line)
            except ValueError:
                continue  # the last line of a writer that was killed
            if "forgotten" in report:
                self.reports.pop(report["forgotten"], None)
            else:
                self.reports[report["attempt_id"]] = report

    def write(self, report: dict[str, Any]) -> None:
        """Keeps a report; the newest of an attempt counts."""
        self._append(report)

    def forget(self, attempt_id: str) -> None:
        """Drops an attempt."""
        self._append({"forgotten": attempt_id})

    def _append(self, line: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")
