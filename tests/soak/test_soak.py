"""The soak's plan is its seed's, and its checks find what they are for."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.soak import account, money
from tests.soak.checks import Told, of_job
from tests.soak.faults import Happened
from tests.soak.plan import CALM, DAEMON_FAULTS, WEIGHTS, plan
from tests.soak.shapes import SHAPES, Expect

LINES = "begin j j-a1 0 5\nend j j-a1 0 0\n"


def test_a_seed_is_a_plan() -> None:
    planned = plan(7, 3_600)
    assert planned == plan(7, 3_600) != plan(8, 3_600)
    assert {wish.shape for wish in planned.wishes} == SHAPES.keys()
    assert {fault.kind for fault in planned.faults} == WEIGHTS.keys()
    assert not [fault for fault in planned.faults if fault.kind in DAEMON_FAULTS and fault.at_s > CALM * 3_600]
    assert plan(7, 3_600, []).wishes == planned.wishes


def view(**change: Any) -> dict[str, Any]:
    """A job that succeeded at its first attempt."""
    attempt = {
        "id": "j-a1",
        "pool": "ray",
        "state": "succeeded",
        "exit_code": 0,
        "reason": "",
        "stored_at": "2026-11-26T10:00:00+00:00",
        "ended_at": "2026-11-26T10:00:09+00:00",
    }
    made = change.pop("made", [{}])
    return {
        "id": "j",
        "ended": True,
        "state": "succeeded",
        "exit_code": 0,
        "reason": "",
        "made": [{**attempt, **each} for each in made],
        **change,
    }


INTERRUPTED = {"id": "j-a0", "state": "interrupted", "exit_code": None, "reason": "its node died"}


@pytest.mark.parametrize(
    ("shown", "lines", "finding"),
    [
        (view(), LINES, ""),
        (view(ended=False, state="running"), LINES, "has not ended"),
        (view(state="failed", exit_code=3), LINES, "ended failed"),
        (view(), LINES + "begin j j-a1 0 6\n", "began 2 times"),
        (view(), LINES + "begin j j-a2 0 6\n", "does not know it"),
        (view(), "begin j j-a1 0 5\n", "succeeded, it is said"),
        (view(made=[{"id": "j-a0"}, {}]), LINES, "2 attempts of its own making"),
        (view(made=[INTERRUPTED, {}]), LINES, "by nothing that happened"),
    ],
)
def test_what_is_wrong_with_a_job_is_found(tmp_path: Any, shown: dict[str, Any], lines: str, finding: str) -> None:
    (tmp_path / "lines").write_text(lines)
    told = Told(shape="command", view=shown, output="out", expect=Expect(output="out"))
    found = list(of_job(told, account.read(tmp_path / "lines"), []))
    assert any(finding in each for each in found) if finding else not found, found


def test_what_a_fault_interrupted_is_explained(tmp_path: Any) -> None:
    (tmp_path / "lines").write_text(LINES)
    told = Told(shape="command", view=view(made=[INTERRUPTED, {}]), output="out", expect=Expect(output="out"))
    at_ns = 1_795_687_205 * money.S  # within the attempt's time
    fault = Happened(kind="ray head killed", pool="ray", at_ns=at_ns, over_ns=at_ns)
    assert not list(of_job(told, account.read(tmp_path / "lines"), [fault]))


class Reporting:
    """A client that reports this."""

    def __init__(self, usd: str, kind: str = "job") -> None:
        self.usd, self.kind = usd, kind

    def spend(self, period: str, by: list[str]) -> dict[str, Any]:
        amount = {"usd": self.usd}
        group = {"job": "j"} if by == ["job"] else {"pool": "burst", "kind": self.kind}
        return {"rows": [{"group": group, "total": amount}], "total": {"total": amount}}


CHARGE = {"pool": "burst", "unit_id": "c", "kind": "job", "attempt_id": "j-a1", "job_seq": 1}
SPAN = {"started_ns": 0, "ended_ns": money.S}
UNIT = {"pool": "burst", "unit_id": "c", "cpus": 1.0, "memory_bytes": 1 << 30, **SPAN}
AMOUNT = 300_000  # 1.08 dollars an hour, for a second


def found(books: money.Books, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, usd: str = "0.0003") -> list[str]:
    (tmp_path / "lines").write_text(LINES)
    monkeypatch.setattr(money, "read", lambda url: books)
    return list(money.wrong("", account.read(tmp_path / "lines"), Reporting(usd)))  # type: ignore[arg-type]


Wrong = Callable[[dict[str, Any]], list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("charges", "finding"),
    [
        (lambda good: [good], ""),
        (lambda good: [good, good], "charged for the same moment"),
        (lambda good: [{**good, "amount": AMOUNT + 1}], "300000.0 nanodollars, and 300001 are charged"),
        (lambda good: [{**good, "amount": None}], "has no amount"),
        (lambda good: [{**good, "attempt_id": "other"}], "ran and is charged nothing"),
        (lambda good: [{**good, "kind": "idle_tail"}], "by pool and kind"),
    ],
)
def test_what_is_wrong_with_the_money_is_found(
    charges: Wrong, finding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    good = {**CHARGE, **SPAN, "amount": AMOUNT}
    books = money.Books(charges=charges(good), units=[UNIT], jobs={1: "j"}, attempts=[])
    said = found(books, monkeypatch, tmp_path)
    assert any(finding in each for each in said) if finding else not said, said


def test_a_report_that_does_not_add_up_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    books = money.Books(charges=[{**CHARGE, **SPAN, "amount": AMOUNT}], units=[UNIT], jobs={1: "j"}, attempts=[])
    assert "300000 nanodollars are charged, and 299999" in str(found(books, monkeypatch, tmp_path, "0.000299999"))
