"""The journal: reports of attempts → lines in a file, and back, so that a launch is known for ever by its id."""

from __future__ import annotations

import errno
import json
import os
import weakref
from pathlib import Path
from typing import Any, Final

_SLACK_LINES: Final = 10_000  # that may be outdated before the file is compacted


class Journal:
    """An append-only file of the last known report of each attempt; compacted when it is opened and when it is long."""

    def __init__(self, path: Path) -> None:
        self.reports: dict[str, dict[str, Any]] = {}
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            self._read()
        self._compact()

    def _read(self) -> None:
        for line in self._path.read_text().splitlines():
            try:
                report = json.loads(line)
            except ValueError:
                continue  # the last line of a writer that was killed
            if "forgotten" in report:
                self.reports.pop(report["forgotten"], None)
            else:
                self.reports[report["attempt_id"]] = report

    def _compact(self) -> None:
        """Writes the file anew, with what is known and nothing else; opens it for as long as the journal is used."""
        draft = self._path.with_suffix(".draft")
        draft.write_text("".join(json.dumps(report) + "\n" for report in self.reports.values()))
        draft.replace(self._path)
        self._lines = len(self.reports)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._close = weakref.finalize(self, os.close, self._file)

    def write(self, report: dict[str, Any]) -> None:
        """Keeps a report; the newest of an attempt counts. Raises OSError, and nothing is kept."""
        self._append(report)
        self.reports[report["attempt_id"]] = report

    def forget(self, attempt_id: str) -> None:
        """Drops an attempt."""
        self.reports.pop(attempt_id, None)
        self._append({"forgotten": attempt_id})

    def _append(self, line: dict[str, Any]) -> None:
        if self._lines > 2 * len(self.reports) + _SLACK_LINES:
            close = self._close
            self._compact()
            close()
        data = json.dumps(line).encode() + b"\n"
        written = os.write(self._file, data)
        if written < len(data):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)  # or the next line would be part of it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._lines += 1
