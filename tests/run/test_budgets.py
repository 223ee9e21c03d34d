"""Budgets on both databases: many submitters at once, and a machine that never passes a limit by more than is said."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from broker.decide.budgets import asked
from broker.decide.policy import PlacementRules, PoolState, dispatch
from broker.model.budgets import Action, Budget, Period, Reservation
from broker.model.errors import Conflict, OverBudget, UnknownName
from broker.model.jobs import AttemptState, Job, JobState
from broker.model.money import NS_PER_S, Money
from broker.model.placement import Duration
from broker.model.projects import Project
from broker.model.usage import AttemptUsage, ChargeKind, UnitUsage
from broker.ports import Store
from broker.run.attempts.register import Register
from broker.run.money.budgets import Budgets
from broker.run.store import open_store
from broker.run.telling.notify import in_words
from broker.testing.fakes import FakeClock
from broker.testing.store_values import attempt, charge, held, job, placement, quote, report, unit
from tests.decide.placing import node, serverless, state

NOW_NS = 1_795_444_200 * NS_PER_S  # 2026-11-23T14:30
DAY_NS = 86_400 * NS_PER_S
LAB = Budget(name="lab", limit=Money(100), period=Period.DAY, user="ann")


def reserving(each: int | None, *budgets: Budget) -> Reservation:
    amount = Money(each) if each is not None else None
    return Reservation(each=amount, budgets=asked(budgets, NOW_NS), now_ns=NOW_NS, tails=("home",))


REFUSING = replace(LAB, action=Action.REFUSE)


def test_of_many_who_submit_at_once_only_those_are_taken_that_fit(url: str) -> None:
    """Each has a connection of its own, as brokers in several processes have."""
    stores = [open_store(url) for _ in range(4)]

    def submit(number: int) -> bool:
        try:
            stores[number % 4].add_jobs([job(f"j{number}")], "{}", f"h{number}", reserving(30, REFUSING))
        except OverBudget as error:
            assert "$0.00000009 for what waits" in str(error)  # all that fits is there by then
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(submit, range(16)))
    assert sum(taken) == 3
    assert sum(stores[0].counts().values()) == 3
    for one in stores:
        one.close()


def test_what_waits_may_come_to_more_than_a_number_of_the_database(store: Store) -> None:
    """A long array of long jobs on many GPUs: nobody else's job is to wait because it can't be summed up."""
    year, waits = 281_000 * NS_PER_S, 5
    holding = replace(LAB, action=Action.WARN)
    for number in range(waits):
        store.add_jobs([job(f"j{number}")], "{}", f"h{number}", reserving(7_000 * year, holding))
    (standing,) = store.standings(asked([LAB], NOW_NS), NOW_NS, ())
    assert standing.queued == Money(waits * 7_000 * year) > Money(2**63)


def test_budgets_are_kept_replaced_and_removed(store: Store) -> None:
    full = replace(LAB, pool="home", tag=("team", "red"), stop_running=True, action=Action.WARN)
    store.keep_budget(LAB)
    store.keep_budget(full)
    store.keep_budget(replace(LAB, name="all", user=None, period=Period.TOTAL))
    assert store.budgets() == (replace(LAB, name="all", user=None, period=Period.TOTAL), full)
    store.drop_budget("all")
    with pytest.raises(UnknownName, match="all"):
        store.drop_budget("all")


def test_standings_by_user_tag_pool_and_period(store: Store) -> None:
    a, b = job("a", tags={"team": "red"}), job("b", user="bob")
    for one in (a, b):
        store.add_jobs([one], "{}", "h")
        run = placement(one, chosen=quote(p90_full=Money(50)))
        store.record(jobs=[replace(one, state=JobState.RUNNING)], attempts=[attempt(one)], placements=[run])
    store.add_jobs([job("c")], "{}", "h", reserving(7, LAB))
    charges = [
        charge("k1", NOW_NS, 20, attempt_id="a-a1"),
        charge("k2", NOW_NS - DAY_NS, 9, attempt_id="a-a1"),
        charge("k3", NOW_NS, 4, attempt_id="b-a1"),
        charge("k4", NOW_NS, 3, kind=ChargeKind.IDLE),
        charge("k5", NOW_NS, None, kind=ChargeKind.IDLE),
    ]
    store.settle("home", report(NOW_NS + NS_PER_S), charges)
    every = replace(LAB, user=None)
    for budget, expected in (
        (LAB, (20, 21, 7, 0)),
        (replace(LAB, period=Period.TOTAL), (29, 21, 7, 0)),
        (replace(LAB, user="bob"), (4, 46, 0, 0)),
        (replace(every, tag=("team", "red")), (20, 21, 0, 0)),
        (replace(every, tag=("team", "blue")), (0, 0, 0, 0)),
        (every, (27, 67, 7, 1)),
        (replace(every, pool="home"), (27, 67, 0, 1)),
        (replace(every, pool="cloud"), (0, 0, 0, 0)),
    ):
        (found,) = store.standings(asked([budget], NOW_NS), NOW_NS)
        got = (found.spent.nanodollars, found.committed.nanodollars, found.queued.nanodollars, found.unpriced)
        assert got == expected, budget
    assert store.running_in(replace(every, tag=("team", "red"))) == ("a",)


@dataclass
class Time:
    """A clock that is set."""

    ns: int = NOW_NS

    def now_ns(self) -> int:
        return self.ns


async def test_a_budget_tells_once_in_a_period_when_it_is_nearly_and_when_it_is_all_spent(store: Store) -> None:
    clock, told = FakeClock(NOW_NS), []
    register = Register(store, clock)
    register.events.call(told.append)
    budgets = Budgets(
        [replace(LAB, user=None), replace(LAB, name="large", limit=Money(10_000))], store, clock, register
    )
    for number, (amount, kinds) in enumerate([(79, []), (1, ["budget.nearly_spent"]), (30, ["budget.spent"]), (5, [])]):
        store.settle("home", report(NOW_NS + number), [charge(f"k{number}", NOW_NS + number, amount)])
        for _ in range(2):
            await budgets.tell()
        assert [event.kind for event in told] == kinds
        told.clear()
    clock.advance(86_400)
    await budgets.tell()
    store.settle("home", report(clock.ns), [charge("next", clock.ns - 1, 85)])
    await budgets.tell()
    assert [event.reason for event in told] == ["budget lab: $0.00 of $0.00 a day is spent"]
    assert in_words(told[0]).startswith("⚠️ budget lab:")


async def test_what_a_configuration_says_is_not_changed_elsewhere(store: Store) -> None:
    budgets = Budgets([replace(LAB, configured=True)], store, Time(), Register(store, Time()))
    await budgets.load()
    with pytest.raises(Conflict, match="configuration"):
        await budgets.keep(LAB)
    with pytest.raises(Conflict, match="configuration"):
        await budgets.drop("lab")
    await budgets.keep(replace(LAB, name="more"))
    assert [budget.name for budget in budgets.every] == ["lab", "more"]
    with pytest.raises(UnknownName, match="there is no budget 'nothing'"):
        await budgets.standings("nothing")


@dataclass
class Running:
    """An attempt of the machine, and what it was charged."""

    attempt_id: str
    begun_ns: int
    reserved: int
    charged: int = 0
    ended_ns: int | None = None


def roomy(name: str) -> PoolState:
    """A pool with room for all, where a second costs a nanodollar."""
    usual = {"cold_start_s": 0.0, "scaledown_window_s": 0.0, "max_units": 1_000}
    return state(serverless(name, usd="0.0000036", unit=node(gpus=0), **usual))


def costing(nanodollars: int) -> Duration:
    """Of a job that costs so much there."""
    return Duration(p50_s=nanodollars, p90_s=nanodollars, source="the test")


class Spending(RuleBasedStateMachine):
    """Jobs that cost more or less than was thought, settlements that lag, idle tails, nights, and restarts."""

    url = ""
    numbers = count()
    running = Bundle("running")
    tailing = Bundle("tailing")
    idling = Bundle("idling")

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store(self.url)
        self.clock = Time()
        # Examples share a database: each has a user, and a pool, of its own.
        self.me = f"u{next(self.numbers)}"
        self.budget = replace(LAB, user=self.me)
        self.lives: dict[str, Running] = {}
        self.costs: dict[str, int] = {}
        self.charges = count()
        self.gone: set[str] = set()  # whose containers have ended
        self.restart()

    def teardown(self) -> None:
        for life in self.lives.values():
            if life.ended_ns is None:
                self._end(life)
        for waiting in self.store.placeable(self.clock.ns + DAY_NS, 1_000):
            self.store.record(jobs=[replace(waiting, state=JobState.CANCELLED, ended_ns=self.clock.ns)])
        self.store.close()

    @rule()
    def restart(self) -> None:
        """A broker that dies and starts again knows what the store knows."""
        self.register = Register(self.store, self.clock)
        self.budgets = Budgets([self.budget], self.store, self.clock, self.register, tails=[self.me])

    @rule(costs=st.lists(st.integers(1, 60), min_size=1, max_size=3))
    def submit(self, costs: list[int]) -> None:
        for cost in costs:
            self._submit(cost)

    def _submit(self, cost: int) -> None:
        name = f"{self.me}j{len(self.costs)}"
        self.costs[name] = cost
        self.store.add_jobs(
            [job(name, user=self.me, submitted_ns=self.clock.ns)], "{}", "h", reserving(cost, self.budget)
        )

    @rule(target=running)
    def begin(self) -> object:
        """A round of the dispatcher, in which there is room for all."""
        from hypothesis.stateful import multiple

        return multiple(*asyncio.run(self._round()))

    async def _round(self) -> list[str]:
        queued = self.store.placeable(self.clock.ns, 1_000)
        standings = await self.budgets.current()
        durations = {one.id: costing(self.costs[one.id]) for one in queued}
        decided = dispatch(queued, [roomy(self.me)], durations, self.clock.ns, PlacementRules(), standings=standings)
        by_id = {one.id: one for one in queued}
        self.budgets.begin(by_id, decided)
        assert {each.job_id for each in decided} == by_id.keys()
        started = await self.register.decide([(by_id[each.job_id], each) for each in decided])
        for one in started:
            life = Running(one.attempt.id, self.clock.ns, self.costs[one.job.id])
            self.lives[one.attempt.id] = life
        if started:
            rest = sum(max(e.reserved - e.charged, 0) for name, e in self.lives.items() if name not in self.gone)
            assert self._spent() + rest <= LAB.limit.nanodollars + self._over()
        return [one.attempt.id for one in started]

    @rule(attempt_id=running, cost=st.integers(0, 40), seconds=st.integers(1, 3))
    def work(self, attempt_id: str, cost: int, seconds: int) -> None:
        if self.lives[attempt_id].ended_ns is None:
            self._charge(attempt_id, cost, ChargeKind.JOB, seconds)

    @rule(target=tailing, attempt_id=consumes(running))
    def end(self, attempt_id: str) -> str:
        """It ends; what it cost last is not charged yet."""
        self.clock.ns += NS_PER_S
        self._end(self.lives[attempt_id])
        return attempt_id

    @rule(target=idling, attempt_id=consumes(tailing), cost=st.integers(0, 20))
    def settle_end(self, attempt_id: str, cost: int) -> str:
        """Its last work is charged; its container goes on."""
        self._charge(attempt_id, cost, ChargeKind.JOB, 1)
        return attempt_id

    @rule(attempt_id=consumes(idling), tail=st.integers(0, 20))
    def settle_tail(self, attempt_id: str, tail: int) -> None:
        """The tail of its container is charged, which ends."""
        self._charge(attempt_id, tail, ChargeKind.IDLE_TAIL, 1)
        life = self.lives[attempt_id]
        self.clock.ns += NS_PER_S
        ended = unit(f"c-{attempt_id}", life.begun_ns, self.clock.ns - 1)
        self.gone.add(attempt_id)
        self.store.settle(self.me, report(self.clock.ns, ended, *self._open()), [])

    @rule(seconds=st.sampled_from([1, 1, 3, 3, 6, 40_000]))
    def wait(self, seconds: int) -> None:
        self.clock.ns += seconds * NS_PER_S

    def _charge(self, attempt_id: str, cost: int, kind: ChargeKind, seconds: int) -> None:
        begun = self.clock.ns
        self.clock.ns += seconds * NS_PER_S
        self.lives[attempt_id].charged += cost
        key = f"{attempt_id}/{next(self.charges)}"
        one = charge(key, begun, cost, attempt_id=attempt_id, kind=kind, pool=self.me, ended_ns=self.clock.ns)
        self.store.settle(self.me, report(self.clock.ns, *self._open(), attempts=self._held()), [one])

    def _open(self) -> list[UnitUsage]:
        return [unit(f"c-{name}", life.begun_ns) for name, life in self.lives.items() if name not in self.gone]

    def _held(self) -> tuple[AttemptUsage, ...]:
        there = ((name, life) for name, life in self.lives.items() if name not in self.gone)
        return tuple(held(name, f"c-{name}", life.begun_ns, life.ended_ns) for name, life in there)

    def _end(self, life: Running) -> None:
        life.ended_ns = self.clock.ns
        job_id = life.attempt_id.rpartition("-a")[0]
        one, run = self.store.job(job_id), self.store.attempt(life.attempt_id)
        self.store.record(
            jobs=[replace(one, state=JobState.SUCCEEDED, ended_ns=self.clock.ns)],
            attempts=[replace(run, state=AttemptState.SUCCEEDED, ended_ns=self.clock.ns)],
        )

    @invariant()
    def never_passed_by_more_than_attempts_exceed_what_was_reserved(self) -> None:
        assert self._spent() <= LAB.limit.nanodollars + self._over()
        for name in self.costs:
            reason = self.store.job(name).reason
            assert not reason.startswith("held") or "budget lab until 2026-11-2" in reason

    def _spent(self) -> int:
        (found,) = self.store.standings(asked([self.budget], self.clock.ns), self.clock.ns, [self.me])
        return found.spent.nanodollars

    def _over(self) -> int:
        return sum(max(life.charged - life.reserved, 0) for life in self.lives.values())


@pytest.mark.timeout(900)  # thousands of transactions
@pytest.mark.parametrize("examples", [20])
def test_a_limit_is_passed_only_by_what_attempts_cost_beyond_what_was_reserved(url: str, examples: int) -> None:
    Spending.url = url
    profile = settings(max_examples=examples, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(Spending, settings=profile)


def test_what_begins_at_once_elsewhere_counts_in_the_budget_of_its_own_project(store: Store) -> None:
    """Of two brokers that each saw room for one job, one begins it; another project's job is none of the budget's."""
    vision = replace(LAB, user=None, project="vision")
    for name in ("vision", "text"):
        store.add_project(Project(name=name))
    specs = [replace(job("x").spec, project=project) for project in ("vision", "vision", "text")]
    first, second, other = (job(f"p{number}", spec=spec) for number, spec in enumerate(specs))
    for one in (first, second, other):
        store.add_jobs([one], "{}", f"h{one.id}")

    def begin(one: Job) -> frozenset[str]:
        run = placement(one, chosen=quote(p90_full=Money(60)))
        moved = replace(one, state=JobState.STARTING, attempts=1)
        return store.decide(jobs=[moved], attempts=[attempt(one)], placements=[run], within=reserving(None, vision))

    assert begin(first) == {first.id}
    with pytest.raises(OverBudget, match="budget lab"):
        begin(second)
    assert begin(other) == {other.id}
