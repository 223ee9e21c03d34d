"""The worked example of docs/placement.md is what the broker decides."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from broker.decide.duration import estimate
from broker.decide.expand import expand
from broker.decide.explain import explain
from broker.decide.policy import PlacementRules, PoolState, dispatch
from broker.model.offers import Tier
from broker.model.pools import Capacity, UnitState
from tests.decide.placing import NOW, cluster, l4, node, offer, serverless, spec

PAGE = Path(__file__).parents[2] / "docs" / "placement.md"
CPUS_AND_MEMORY = {"usd_per_cpu_hour": Decimal("0.0236"), "usd_per_gib_hour": Decimal("0.008")}
RAY = cluster("ray", usd="0.78")
SERVERLESS = serverless(
    "serverless", unit=node(gpus=1), offers=(offer("0.80", tier=Tier.SERVERLESS, gpus=1, **CPUS_AND_MEMORY),)
)


def decided() -> Iterator[str]:
    idle = UnitState(unit_id="node-1", total=RAY.unit, free=RAY.unit)
    pools = [
        PoolState(pool=RAY, capacity=Capacity(as_of_ns=NOW, units=(idle,), max_units=1)),
        PoolState(pool=SERVERLESS, capacity=Capacity(as_of_ns=NOW, units=(), max_units=4)),
    ]
    specs = {"a": spec(l4()), "b": spec(l4()), "c": spec(l4()), "d": spec(l4(), max_wait_s=60)}
    jobs = [job for name, each in specs.items() for job in expand(each, name, "ann", NOW)]
    durations = {job.id: estimate(job.spec, past_runs=()) for job in jobs}
    for placement in dispatch(jobs, pools, durations, NOW, PlacementRules()):
        yield f"{placement.job_id}: {placement.verdict}. {placement.reason}\n"
        for sentence in explain(placement).rejected:
            yield f"  - {sentence}\n"
        yield f"  what would change it: {placement.flip}\n"


def test_the_worked_example_is_what_the_page_shows() -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "".join(decided()) == shown
