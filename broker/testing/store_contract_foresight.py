"""What a store promises about forecasts, decisions about capacity, and what they are made from."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from dataclasses import replace

from broker.model.environment import environment_key
from broker.model.foresight import NodesDecision, Outlook, Proposal, WarmDecision
from broker.model.jobs import AttemptState
from broker.model.money import NS_PER_S, Money
from broker.model.pools import KeepWarm
from broker.model.resources import Gpu, ResourceRequest
from broker.ports import Store
from broker.testing.store_values import NOW_NS, attempt, charge, job, report, unit

OUTLOOK = Outlook(
    pool="home",
    at_ns=NOW_NS,
    step_s=3_600.0,
    levels=(0.05, 0.5, 0.95),
    quantiles=((0.0, 0.1), (1.0, 1.5), (2.0, 3.25)),
    coverage=0.9,
    pinball=None,
    reason="as it was – always",
)
NODES = NodesDecision(at_ns=NOW_NS, pool="home", up=1, nodes=3, applied=True, reason="it pays")
WARM = WarmDecision(
    at_ns=NOW_NS + 1,
    pool="cloud",
    before=KeepWarm(scaledown_window_s=60.0),
    after=KeepWarm(scaledown_window_s=2.5, min_containers=1, buffer_containers=2),
    applied=False,
    reason="short jobs",
)
PROPOSAL = Proposal(
    at_ns=NOW_NS + 2,
    pool="home",
    offer_id="acme/node/n4/eu/commit_1y",
    nodes=2,
    usd_per_hour="2.5",
    saved=Money(3 * 10**12),
    days=30,
    reason="two are busy most of the time",
)


class ForesightContract:
    """What was foreseen and decided comes back as it was, in its order."""

    def test_a_forecast_comes_back_as_it_was(self, store: Store) -> None:
        later = replace(OUTLOOK, at_ns=NOW_NS + 10, coverage=None, pinball=0.5)
        other = replace(OUTLOOK, pool="cloud")
        for each in (later, other, OUTLOOK):
            store.keep_outlook(each)
        assert store.outlooks("home", NOW_NS, NOW_NS + 11) == (OUTLOOK, later)
        assert store.outlooks("home", NOW_NS + 1, NOW_NS + 10) == ()
        assert store.last_outlook("home") == later
        assert store.last_outlook("elsewhere") is None

    def test_decisions_of_all_kinds_come_back_as_they_were(self, store: Store) -> None:
        store.keep_decisions([])
        store.keep_decisions([PROPOSAL, NODES, WARM])
        assert store.decisions(NOW_NS, NOW_NS + 3) == (NODES, WARM, PROPOSAL)
        assert store.decisions(NOW_NS, NOW_NS + 3, "cloud") == (WARM,)
        assert store.decisions(NOW_NS + 1, NOW_NS + 2) == (WARM,)

    def test_cold_starts_are_those_of_a_pool_newest_first(self, store: Store) -> None:
        units = [
            unit("old", 0, ready_ns=2 * NS_PER_S),
            unit("new", 5 * NS_PER_S, ready_ns=8 * NS_PER_S),
            unit("booting", 6 * NS_PER_S, ready_ns=None),
            unit("head", 7 * NS_PER_S, ready_ns=8 * NS_PER_S, head=True),
        ]
        store.settle("home", report(9 * NS_PER_S, *units), [])
        assert store.cold_starts("home") == (3.0, 2.0)
        assert store.cold_starts("home", limit=1) == (3.0,)
        assert store.cold_starts("cloud") == ()
        asked = unit("waited", 9 * NS_PER_S, ready_ns=10 * NS_PER_S, asked_ns=2 * NS_PER_S)
        store.settle("home", report(11 * NS_PER_S, asked), [])
        assert store.cold_starts("home", limit=1) == (8.0,)
        assert {one.unit_id: (one.asked_ns, one.head) for one in store.open_units("home")} == {
            "waited": (2 * NS_PER_S, False)
        }

    def test_charges_of_a_time_begin_in_it(self, store: Store) -> None:
        made = [charge(str(n), n * NS_PER_S, 1) for n in range(4)]
        store.settle("home", report(9 * NS_PER_S), made)
        found = store.charges(pool="home", since_ns=NS_PER_S, until_ns=3 * NS_PER_S)
        assert [each.key for each in found] == ["1", "2"]

    def test_the_first_run_is_known_where_none_had_ended_before(self, store: Store) -> None:
        assert store.first_run_ns(0) is None
        first, second = job("a"), job("b")
        store.add_jobs([first, second], "{}", "h")
        over = replace(attempt(first), state=AttemptState.SUCCEEDED, started_ns=20, ended_ns=50)
        store.record(attempts=[over, replace(attempt(second), started_ns=30)])
        assert [store.first_run_ns(since_ns) for since_ns in (0, 25, 50, 51)] == [20, 20, 20, None]

    def test_runs_say_whose_they_are_and_what_they_need(self, store: Store) -> None:
        stored = job("a")
        store.add_jobs([stored], "{}", "h")
        store.record(attempts=[attempt(stored)])
        (run,) = store.runs(0)
        assert run.wants is None
        assert (run.attempt_id, run.user, run.environment) == (
            attempt(stored).id,
            stored.user,
            environment_key(stored.spec),
        )

    def test_runs_that_might_use_several_gpu_models_say_what_they_want_of_a_place(self, store: Store) -> None:
        several = ResourceRequest(gpu_choices=(Gpu(model="H100"), Gpu(model="L4", count=4.0)), num_nodes=2)
        for name, choices in {
            "one": several.gpu_choices[:1],
            "any": (Gpu(model=""),),
            "two": several.gpu_choices,
        }.items():
            stored = job(name)
            spec = replace(stored.spec, regions=("eu",), resources=replace(several, gpu_choices=choices))
            store.add_jobs([replace(stored, spec=spec)], "{}", "h")
            store.record(attempts=[attempt(stored)])
        found = {run.attempt_id: run.wants for run in store.runs(0)}
        one, every, two = (found[attempt(job(name)).id] for name in ("one", "any", "two"))
        assert one is None and every is not None and two is not None
        assert (two.resources, two.regions, two.run, two.argv) == (several, ("eu",), None, ())
        assert len(store.runs(0)) == 6
