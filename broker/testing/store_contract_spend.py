"""The promises of `broker.ports.Store` on usage, charges and spend as tests: a part of `StoreContract`."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.model.bills import Correction
from broker.model.errors import Conflict, InvalidInput
from broker.model.jobs import AttemptState, Job, JobState
from broker.model.money import NS_PER_S, Money
from broker.model.query import JobFilter, SpendFilter
from broker.model.usage import Book, Charge, ChargeKind, SpendRow
from broker.ports import Store
from broker.testing.store_values import NOW_NS, OFFER, array, attempt, charge, held, job, placement, quote, report, unit

_DAY_NS = 86_400 * NS_PER_S
_numbers = count()
# Examples share a store, each with a pool of its own; several subclasses run the same test.
_shared = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    deadline=None,
    max_examples=25,
)


def _with_attempts(store: Store, *jobs: Job) -> None:
    for one in jobs:
        store.add_jobs([one], "{}", "h")
        store.record(attempts=[attempt(one)], placements=[placement(one)])


def _settle(store: Store, *charges: Charge, pool: str = "home", as_of_ns: int = NOW_NS) -> None:
    store.settle(pool, report(as_of_ns), charges)


class SpendContract:
    """Time is settled once, money adds up, and prices stay what they were."""

    def test_a_settlement_moves_the_watermark_of_its_pool(self, store: Store) -> None:
        assert store.watermark("home") == 0
        _settle(store, as_of_ns=NOW_NS)
        assert (store.watermark("home"), store.watermark("cloud")) == (NOW_NS, 0)

    def test_units_stay_open_until_they_end_or_vanish(self, store: Store) -> None:
        store.settle("home", report(50, unit("n1", 5), unit("n2", 6, ready_ns=None), unit("n3", 7, 20)), [])
        assert store.open_units("home") == (unit("n1", 5), unit("n2", 6, ready_ns=None))
        assert store.open_units("cloud") == ()
        store.settle("home", report(60, unit("n2", 6, ready_ns=55)), [])
        assert store.open_units("home") == (unit("n2", 6, ready_ns=55),)

    def test_what_ends_at_the_watermark_is_closed_by_the_next_settlement(self, store: Store) -> None:
        store.settle("home", report(50, unit("n1", 5, 50)), [])
        assert store.open_units("home") == (unit("n1", 5),)
        store.settle("home", report(60, unit("n1", 5, 50)), [])
        assert store.open_units("home") == ()

    def test_an_open_unit_knows_who_held_it_last(self, store: Store) -> None:
        n1 = unit("n1", 5)
        store.settle("home", report(50, n1, attempts=(held("b", "n1", 6, 30), held("a", "n1", 10, 20))), [])
        assert store.open_units("home") == (replace(n1, last_attempt="b"),)
        store.settle("home", report(60, n1), [])
        assert store.open_units("home") == (replace(n1, last_attempt="b"),)
        store.settle("home", report(70, n1, attempts=(held("c", "n1", 65),)), [])
        assert store.open_units("home") == (replace(n1, last_attempt="c"),)

    def test_a_charge_comes_back_with_its_price(self, store: Store) -> None:
        _with_attempts(store, job("a"))
        kept = [
            charge("k1", 1, 5, attempt_id="a-a1"),
            charge("k2", 2, None, kind=ChargeKind.IDLE),
            charge("k3", 3, 7, offer=replace(OFFER, source="another list")),
        ]
        _settle(store, *kept)
        assert store.charges(pool="home") == tuple(kept)
        assert store.charges(job_id="a") == (kept[0],)
        assert store.charges(job_id="a", pool="cloud") == ()

    def test_a_repeated_settlement_charges_nothing_twice(self, store: Store) -> None:
        for _ in range(2):
            _settle(store, charge("k1", 1, 5), charge("k2", 2, 6))
        assert [one.key for one in store.charges(pool="home")] == ["k1", "k2"]
        assert store.watermark("home") == NOW_NS

    def test_settled_time_can_t_be_charged_again(self, store: Store) -> None:
        _settle(store, charge("k1", 1, 5), as_of_ns=100)
        with pytest.raises(Conflict, match="settled up to 100"):
            _settle(store, charge("k2", 100, 5), charge("k3", 99, 5), as_of_ns=200)
        assert (store.watermark("home"), len(store.charges(pool="home"))) == (100, 1)

    def test_an_estimate_may_be_of_settled_time_and_costs_nothing(self, store: Store) -> None:
        _with_attempts(store, job("a"))
        _settle(store, charge("k1", 1, 5, attempt_id="a-a1"), as_of_ns=100)
        for _ in range(2):
            _settle(store, charge("k2", 1, 7, attempt_id="a-a1", book=Book.ESTIMATED), as_of_ns=200)
        assert [(one.key, one.book) for one in store.charges(job_id="a")] == [
            ("k1", Book.METERED),
            ("k2", Book.ESTIMATED),
        ]
        assert store.job_costs(["a"])["a"] == (Money(5), 0)

    def test_the_watermark_never_goes_back(self, store: Store) -> None:
        _settle(store, as_of_ns=100)
        _settle(store, as_of_ns=50)
        assert store.watermark("home") == 100

    def test_spend_by_each_column(self, store: Store) -> None:
        a = job("a", name="x", tags={"team": "t1"})
        b = job("b", user="bob", name="y")
        _with_attempts(store, a, b)
        _settle(
            store,
            charge("k1", 10, 100, attempt_id="a-a1", kind=ChargeKind.COLD_START),
            charge("k2", _DAY_NS, 20, attempt_id="a-a1"),
            charge("k3", _DAY_NS, 3, attempt_id="b-a1"),
            charge("k4", _DAY_NS, None, kind=ChargeKind.IDLE, unit_id="n2"),
            charge("k5", 10, 1_000_000, book=Book.ESTIMATED),
        )
        expected = {
            "job": {"": (0, 0, 1), "a": (20, 100, 0), "b": (3, 0, 0)},
            "user": {"": (0, 0, 1), "ann": (20, 100, 0), "bob": (3, 0, 0)},
            "name": {"": (0, 0, 1), "x": (20, 100, 0), "y": (3, 0, 0)},
            "pool": {"home": (23, 100, 1)},
            "day": {"1970-01-01": (0, 100, 0), "1970-01-02": (23, 0, 1)},
            "kind": {"cold_start": (0, 100, 0), "idle": (0, 0, 1), "job": (23, 0, 0)},
            "tag:team": {"": (3, 0, 1), "t1": (20, 100, 0)},
        }
        for by, groups in expected.items():
            rows = store.spend(SpendFilter(by=(by,)))
            assert {row.group: _numbers_of(row) for row in rows} == {(k,): v for k, v in groups.items()}, by
        both = store.spend(SpendFilter(by=("user", "day"), user="ann"))
        assert [(row.group, row.total) for row in both] == [
            (("ann", "1970-01-01"), Money(100)),
            (("ann", "1970-01-02"), Money(20)),
        ]

    def test_a_bill_has_a_line_for_each_day_unit_job_kind_and_price(self, store: Store) -> None:
        _with_attempts(store, job("a", name="x", tags={"team": "t1", "p": "q"}))
        _settle(
            store,
            charge("k1", 10, 1, attempt_id="a-a1"),
            charge("k2", 20, 2, attempt_id="a-a1"),
            charge("k3", 30, 4, kind=ChargeKind.IDLE),
            charge("k4", _DAY_NS + 1, 8, attempt_id="a-a1"),
            charge("k5", _DAY_NS + 2, None, attempt_id="a-a1"),
            charge("k6", 10, 1_000_000, book=Book.ESTIMATED),
        )
        lines = store.billed(SpendFilter())
        amounts = {(line.day_ns // _DAY_NS, line.job_id, line.kind.value): line.amount for line in lines if line.amount}
        assert amounts == {(0, "a", "job"): Money(3), (0, None, "idle"): Money(4), (1, "a", "job"): Money(8)}
        assert [line.offer for line in lines if line.amount is None] == [None]
        assert {(line.job_name, line.user, len(line.tags)) for line in lines} == {("x", "ann", 2), ("", "", 0)}
        assert sum(line.duration_ns for line in lines) == 5 * NS_PER_S
        assert {line.job_id for line in store.billed(SpendFilter(tags={"team": "t1"}))} == {"a"}

    def test_spend_filters(self, store: Store) -> None:
        _with_attempts(store, job("a", tags={"team": "t1"}), job("b", user="bob"))
        _settle(store, charge("k1", 10, 1, attempt_id="a-a1"), charge("k2", 20, 2, attempt_id="b-a1"))
        _settle(store, charge("k3", 30, 4, pool="cloud"), pool="cloud")
        for wanted, total in (
            (SpendFilter(), 7),
            (SpendFilter(since_ns=20), 6),
            (SpendFilter(until_ns=20), 1),
            (SpendFilter(user="bob"), 2),
            (SpendFilter(job_id="a"), 1),
            (SpendFilter(pool="cloud"), 4),
            (SpendFilter(tags={"team": "t1"}), 1),
            (SpendFilter(tags={"team": "t2"}), 0),
        ):
            assert sum(row.total.nanodollars for row in store.spend(wanted)) == total, wanted
        with pytest.raises(InvalidInput, match="colour"):
            store.spend(SpendFilter(by=("colour",)))

    def test_a_prediction_is_counted_once_in_the_row_of_the_first_charge(self, store: Store) -> None:
        a = job("a")
        _with_attempts(store, a)
        store.record(attempts=[attempt(a, 2, pool="cloud")])
        first = charge("k1", 10, 1, attempt_id="a-a1")
        _settle(store, charge("k2", 5, 1), first, charge("k3", _DAY_NS, 1, attempt_id="a-a1"), as_of_ns=2 * _DAY_NS)
        _settle(store, charge("k4", 2 * _DAY_NS, 1, attempt_id="a-a1"), as_of_ns=3 * _DAY_NS)
        _settle(store, charge("k5", 10, 1, attempt_id="a-a2", pool="cloud"), pool="cloud")
        assert [row.predicted for row in store.spend(SpendFilter(by=("day",)))] == [Money(5_000), None, None]
        by_pool = store.spend(SpendFilter(by=("pool",)))
        assert [(row.group, row.predicted) for row in by_pool] == [(("cloud",), None), (("home",), Money(5_000))]
        assert {row.predicted for row in store.spend(SpendFilter(by=("kind",)))} == {None}

    def test_predictions_together_may_be_more_than_one_number_of_the_database(self, store: Store) -> None:
        """However long jobs say that they may run, what they used is charged, and the sum is exact."""
        much = Money(6 * 10**18 + 7)
        for number, each in enumerate([job("a"), job("b")]):
            store.add_jobs([each], "{}", "h")
            chosen = quote(full=much)
            store.record(attempts=[attempt(each, 1)], placements=[placement(each, chosen=chosen)])
            new = charge(each.id, 20 * number, 1, attempt_id=f"{each.id}-a1")
            _settle(store, new, as_of_ns=20 * number + 10)
        for wanted in (SpendFilter(by=("day",)), SpendFilter(until_ns=40), SpendFilter(by=("name",))):
            (row,) = store.spend(wanted)
            assert (row.predicted, row.total) == (Money(2 * much.nanodollars), Money(2)), wanted

    def test_what_jobs_cost(self, store: Store) -> None:
        _with_attempts(store, job("a"), job("b"))
        _settle(
            store,
            charge("k1", 10, 100, attempt_id="a-a1", kind=ChargeKind.COLD_START),
            charge("k2", 20, 20, attempt_id="a-a1"),
            charge("k3", 20, None, attempt_id="a-a1"),
            charge("k4", 20, 7),
        )
        assert store.job_costs(["a", "b"]) == {"a": (Money(120), 1), "b": (Money(0), 0)}

    def test_what_an_array_costs_is_in_its_line_of_a_list(self, store: Store) -> None:
        tasks = array("ar", 3)
        store.add_jobs(tasks, "{}", "h")
        store.record(attempts=[attempt(one) for one in tasks])
        _with_attempts(store, job("a"))
        _settle(
            store,
            charge("k1", 10, 100, attempt_id="ar.0-a1", kind=ChargeKind.COLD_START),
            charge("k2", 20, 20, attempt_id="ar.1-a1"),
            charge("k3", 20, None, attempt_id="ar.2-a1"),
            charge("k4", 20, 7, attempt_id="a-a1"),
            charge("k5", 20, 1_000, attempt_id="ar.2-a1", book=Book.ESTIMATED),
            as_of_ns=30,
        )

        def cost() -> tuple[Money, int]:
            (line,) = store.jobs(JobFilter(), collapse=True).arrays
            return line.known, line.unpriced

        assert cost() == (Money(120), 1)
        told = charge("c1", 20, 5, attempt_id="ar.2-a1", book=Book.CORRECTION)
        store.correct([Correction(charge=told, resolves=1)])
        assert cost() == (Money(125), 0)
        costs = store.job_costs([one.id for one in tasks])
        assert cost() == (Money.total(known for known, _ in costs.values()), 0)

    def test_an_array_that_has_ended_is_settled_once_its_pools_are(self, store: Store) -> None:
        tasks = array("ar", 2)
        store.add_jobs(tasks, "{}", "h")
        for at_ns, (one, pool) in enumerate(zip(tasks, ("home", "cloud"), strict=True), 10):
            ended: dict[str, Any] = {"state": AttemptState.SUCCEEDED, "ended_ns": at_ns}
            store.record(attempts=[attempt(one, pool=pool, **ended)], jobs=[replace(one, state=JobState.SUCCEEDED)])

        def settled() -> bool:
            (line,) = store.jobs(JobFilter(), collapse=True).arrays
            return line.settled

        for pool, as_of_ns, expected in (("home", 10, False), ("cloud", 10, False), ("cloud", 11, True)):
            _settle(store, pool=pool, as_of_ns=as_of_ns)
            assert settled() is expected, (pool, as_of_ns)

    def test_corrections_add_to_what_was_metered_and_are_recorded_once(self, store: Store) -> None:
        _with_attempts(store, job("a"))
        _settle(store, charge("k1", 10, 100, attempt_id="a-a1"), charge("k2", 20, None, attempt_id="a-a1"))
        wanted = [
            Correction(charge=charge("c1", 10, -40, attempt_id="a-a1", book=Book.CORRECTION)),
            Correction(charge=charge("c2", 20, 7, attempt_id="a-a1", book=Book.CORRECTION), resolves=1),
            Correction(charge=charge("c3", 30, 5, kind=ChargeKind.OTHER, unit_id="", book=Book.CORRECTION)),
        ]
        assert [store.correct(wanted), store.correct(wanted)] == [3, 0]
        (row,) = store.spend(SpendFilter(by=()))
        assert (row.job, row.overhead, row.corrected, row.unknown) == (Money(67), Money(5), Money(-28), 0)
        assert row.predicted == Money(5_000)
        assert store.job_costs(["a"]) == {"a": (Money(67), 0)}
        assert {(line.job_id, line.amount) for line in store.billed(SpendFilter())} == {
            ("a", Money(67)),
            (None, Money(5)),
        }
        with pytest.raises(Conflict, match="another bill"):
            store.correct([Correction(charge=charge("c1", 10, -41, attempt_id="a-a1", book=Book.CORRECTION))])

    def test_the_ledger_by_day_unit_kind_attempt_and_price(self, store: Store) -> None:
        _with_attempts(store, job("a"))
        _settle(
            store,
            charge("k1", 10, 100, attempt_id="a-a1"),
            charge("k2", 20, 30, attempt_id="a-a1"),
            charge("k3", 30, None, kind=ChargeKind.IDLE),
            charge("k4", _DAY_NS, 7),
            charge("k5", 10, 1_000_000, book=Book.ESTIMATED),
        )
        store.correct([Correction(charge=charge("c1", 10, -40, attempt_id="a-a1", book=Book.CORRECTION))])
        idle, ran = sorted(store.ledger(0, _DAY_NS), key=lambda line: line.kind)
        assert (ran.attempt_id, ran.metered, ran.corrected, ran.corrections) == ("a-a1", Money(130), Money(-40), 1)
        assert (ran.started_ns, ran.ended_ns, ran.duration_ns) == (10, 20 + NS_PER_S, 2 * NS_PER_S)
        assert (ran.offer, ran.unknown, ran.day_ns) == (OFFER, 0, 0)
        assert (idle.metered, idle.unknown, idle.offer) == (Money(0), 1, None)
        assert [line.metered for line in store.ledger(_DAY_NS, 2 * _DAY_NS, "home")] == [Money(7)]
        assert store.ledger(0, 2 * _DAY_NS, "cloud") == ()

    @_shared
    @given(
        amounts=st.lists(
            st.tuples(
                st.none() | st.integers(0, 2**50),
                st.sampled_from(ChargeKind),
                st.sampled_from([None, "a-a1", "b-a1"]),
                st.integers(0, 3 * _DAY_NS),
            ),
            max_size=20,
        ),
        by=st.lists(st.sampled_from(["job", "user", "name", "pool", "day", "kind", "tag:team"]), max_size=3),
        since_ns=st.none() | st.integers(0, 3 * _DAY_NS) | st.sampled_from([_DAY_NS, 2 * _DAY_NS]),
        until_ns=st.none() | st.integers(0, 3 * _DAY_NS) | st.sampled_from([_DAY_NS, 2 * _DAY_NS]),
        user=st.sampled_from([None, None, "ann"]),
    )
    def test_rows_add_up_to_all_charges_of_a_time_however_they_are_grouped(
        self,
        store: Store,
        amounts: list[tuple[int | None, ChargeKind, str | None, int]],
        by: list[str],
        since_ns: int | None,
        until_ns: int | None,
        user: str | None,
    ) -> None:
        if store.counts() == store.counts("nobody"):
            _with_attempts(store, job("a", tags={"team": "t1"}), job("b", user="bob"))
        pool = f"pool{next(_numbers)}"
        charges = [
            charge(f"{pool}/{n}", at, amount, kind=kind, attempt_id=attempt_id, pool=pool)
            for n, (amount, kind, attempt_id, at) in enumerate(amounts)
        ]
        _settle(store, *charges, pool=pool)
        meant = [
            one
            for one in charges
            if (since_ns is None or one.started_ns >= since_ns)
            and (until_ns is None or one.started_ns < until_ns)
            and (user is None or one.attempt_id == "a-a1")
        ]
        wanted = SpendFilter(by=tuple(by), pool=pool, since_ns=since_ns, until_ns=until_ns, user=user)
        rows = store.spend(wanted)
        assert len({row.group for row in rows}) == len(rows)
        assert Money.total(row.total for row in rows) == Money.total(one.amount for one in meant if one.amount)
        assert Money.total(row.job for row in rows) == Money.total(
            one.amount for one in meant if one.amount and one.kind is ChargeKind.JOB
        )
        assert sum(row.unknown for row in rows) == sum(one.amount is None for one in meant)
        days = {
            (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=one.started_ns // 1000)).date().isoformat()
            for one in meant
        }
        assert {row.group[0] for row in store.spend(replace(wanted, by=("day",)))} == days


def _numbers_of(row: SpendRow) -> tuple[int, int, int]:
    return row.job.nanodollars, row.overhead.nanodollars, row.unknown
