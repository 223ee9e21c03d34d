"""What the broker says of jobs ↔ what was planned, what happened, and the account that the jobs kept: findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tests.soak.account import Account, Run
from tests.soak.faults import Happened
from tests.soak.shapes import Expect

AFTER_S: Final = 30.0  # so long after a fault a pool may still find that it interrupted something
SAYS_SO: Final = ("interrupted", "refused")  # ends of attempts that are not of the job's making


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A job (or a task of an array) as the broker tells it, and how it had to end."""

    shape: str
    view: Mapping[str, Any]
    output: str | None
    expect: Expect
    ranks: int = 1
    cancelled: bool = False  # somebody asked for that, and was answered


def of_job(told: Told, account: Account, faults: Sequence[Happened]) -> Iterator[str]:
    """All that is wrong with one job."""
    view, expect = told.view, told.expect
    made = view["made"]
    own = [each for each in made if each["state"] not in SAYS_SO]
    if not view["ended"]:
        yield f"has not ended: {view['state']} ({view['reason']})"
        return
    if given_up(view, own):
        yield from _begun(told, account)
        return
    if (view["state"], view["exit_code"]) != (expect.state, expect.exit_code) and not _stopped(view, expect):
        yield f"ended {view['state']} ({view['exit_code']}), not {expect.state} ({expect.exit_code}): {view['reason']}"
    if expect.reason and expect.reason not in view["reason"]:
        yield f"its reason does not name {expect.reason}: {view['reason']}"
    if len(own) != expect.attempts and not (told.cancelled and not own):
        yield f"has {len(own)} attempts of its own making, not {expect.attempts}: {_states(made)}"
    if expect.output is not None and told.output != expect.output:
        yield f"wrote {_short(told.output)}, not {_short(expect.output)}"
    yield from _begun(told, account)
    yield from (said for each in made if (said := unexplained(each, faults)))


def _stopped(view: Mapping[str, Any], expect: Expect) -> bool:
    """Ended from outside, by a limit or a cancellation: with the exit code of whatever ended it."""
    return expect.exit_code is None and view["state"] == expect.state


def given_up(view: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it was interrupted as often as its retry rule allows."""
    return view["state"] == "failed" and not own and bool(view["made"])


def _begun(told: Told, account: Account) -> Iterator[str]:
    """Each attempt began at most once in each rank, one after the other, and those that succeeded came to their end."""
    view = told.view
    known = {each["id"]: each for each in view["made"]}
    for attempt in sorted(account.attempts.get(view["id"], set()) - known.keys()):
        yield f"attempt {attempt} ran, and the broker does not know it"
    for name, attempt in known.items():
        run = account.runs.get(name, Run())
        yield from _run(name, attempt, run, told)


def _run(name: str, attempt: Mapping[str, Any], run: Run, told: Told) -> Iterator[str]:
    for rank, times in run.begun.items():
        if len(times) > 1:
            yield f"attempt {name} began {len(times)} times in rank {rank}"
    for rank, codes in run.ended.items():
        if len(codes) > 1:
            yield f"attempt {name} came to its end {len(codes)} times in rank {rank}"
    state, codes = attempt["state"], [code for each in run.ended.values() for code in each]
    if state == "refused" and run.begun:
        yield f"attempt {name} was taken back before it ran, it is said, but it ran"
    if state == "succeeded" and (len(run.begun), codes) != (told.ranks, [0] * told.ranks):
        yield f"attempt {name} succeeded, it is said, but began in {len(run.begun)} ranks and ended with {codes}"
    if state == "failed" and told.expect.exit_code and codes != [attempt["exit_code"]]:
        yield f"attempt {name} ended with {codes}, and {attempt['exit_code']} is said"


def unexplained(attempt: Mapping[str, Any], faults: Iterable[Happened]) -> str:
    """An interruption that nothing which happened accounts for."""
    if attempt["state"] != "interrupted":
        return ""
    stored, ended = (datetime.fromisoformat(attempt[key]).timestamp() for key in ("stored_at", "ended_at"))
    for fault in faults:
        before, after = fault.at_ns / 1e9 <= ended + 1.0, stored > fault.over_ns / 1e9 + AFTER_S
        if fault.pool in ("*", attempt["pool"]) and before and not after:
            return ""
    return f"attempt {attempt['id']} in {attempt['pool']} was interrupted by nothing that happened: {attempt['reason']}"


def _states(made: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['id']} {each['state']} in {each['pool']} ({each['reason']})" for each in made)


def _short(text: str | None) -> str:
    return "nothing that is kept" if text is None else f"{len(text)} characters {text[:60]!r}"
