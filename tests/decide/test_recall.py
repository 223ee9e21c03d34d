"""What earlier rounds have worked out changes no placement, also where prices, rules, the day or what runs differ."""

from dataclasses import replace
from decimal import Decimal

from broker.decide.recall import Recall
from broker.decide.rules import PlacementRules
from broker.model.money import NS_PER_HOUR
from tests.decide.placing import NO_RULES, NOW, cluster, decide_all, l4, repriced, serverless, spec, state

VALUED = PlacementRules(value_per_gpu_hour=Decimal(3), stale_price_days=1)


def test_rounds_that_remember_decide_as_those_that_do_not() -> None:
    jobs = [spec(l4()), spec(l4(), est_runtime_s=600.0, num_nodes=2), spec(cpus=1.0, est_runtime_s=None), spec(l4(2))]
    states = (state(cluster(max_units=4)), state(serverless(max_units=8)))
    alone = (replace(states[0], problem="away"), states[1])
    dearer, later = tuple(repriced(one, "3") for one in states), NOW + 1_000 * NS_PER_HOUR
    rounds = [
        (states, NO_RULES, NOW),
        (states, VALUED, NOW),
        (states, VALUED, later),
        (alone, NO_RULES, NOW),
        (dearer, NO_RULES, NOW),
    ]
    recall, seen = Recall(), set()
    for there, rules, now_ns in [*rounds, *rounds]:
        plain = decide_all(jobs, *there, rules=rules, now_ns=now_ns)
        assert decide_all(jobs, *there, rules=rules, now_ns=now_ns, recall=recall) == plain
        seen.add(str(plain))
    assert len(seen) == len(rounds)
