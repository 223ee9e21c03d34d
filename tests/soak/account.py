"""The account that the jobs keep themselves, beside the broker: which attempt began and ended when, and how."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Run:
    """What one attempt wrote, rank by rank."""

    begun: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # times, by rank
    ended: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # exit codes, by rank


@dataclass(slots=True)
class Account:
    """All that the jobs wrote."""

    runs: dict[str, Run] = field(default_factory=lambda: defaultdict(Run))  # by attempt
    attempts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by job
    overlaps: list[str] = field(default_factory=list)  # attempts that began while another of their job ran


def read(lines: Path) -> Account:
    """Reads it; a line that is not whole is an error of the soak itself."""
    account = Account()
    for line in lines.read_text().splitlines():
        what, job, attempt, rank, value = line.split(" ")
        account.attempts[job].add(attempt)
        if what == "overlap":
            account.overlaps.append(attempt)
        elif what == "begin":
            account.runs[attempt].begun[int(rank)].append(int(value))
        else:
            account.runs[attempt].ended[int(rank)].append(int(value))
    return account


def called(number: int) -> int:
    """A function that is called as a job: it keeps the account as commands do."""
    job, attempt = os.environ["BROKER_JOB_ID"], os.environ["BROKER_ATTEMPT_ID"]
    with open(os.path.join(os.environ["BROKER_VOLUME_ACCOUNT"], "lines"), "ab", buffering=0) as lines:
        lines.write(f"begin {job} {attempt} 0 {time.time_ns()}\n".encode())
        time.sleep(number % 7 / 5)
        lines.write(f"end {job} {attempt} 0 0\n".encode())
    return number * number
