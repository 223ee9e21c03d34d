"""A store with weeks of work in it: jobs by day, what ran where, what was forecast and decided, and what it cost."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np

from broker.decide.expand import expand
from broker.decide.outlook import foresee
from broker.model.foresight import NodesDecision
from broker.model.jobs import Attempt, AttemptState, JobSpec, JobState
from broker.model.money import NS_PER_S, Money
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, ResourceRequest, Resources
from broker.model.usage import Book, Charge, ChargeKind, UsageReport
from broker.ports import Store

# Studies in a process of their own, as the broker has them, but without waiting until nobody else wants the processor.
AT_ONCE = (sys.executable, "-c", "import sys; from broker.run.plugin_command import main; sys.exit(main(sys.argv[1:]))")
DAY_NS = 86_400 * NS_PER_S
HOUR_NS = 3_600 * NS_PER_S
NODE = Resources(cpus=4, memory_bytes=8 * GIB)
HALF = Resources(cpus=2, memory_bytes=4 * GIB)


def offer(name: str, tier: Tier, usd: str, **more: object) -> Offer:
    values = {"provider": "acme", "product": name, "sku": name, "region": "", "gpu_model": "", "gpu_count": 0}
    more = {"cpus": None, "memory_gib": None, "valid_from": date(2020, 1, 1), "source": "a test", **more}
    return Offer(id=name, tier=tier, usd_per_hour=Decimal(usd), **values, **more)  # type: ignore[arg-type]


RAY = Pool(
    name="ray",
    kind=PoolKind.CLUSTER,
    executor="fake",
    unit=NODE,
    max_units=6,
    offers=(offer("node", Tier.ON_DEMAND, "1.00"),),
)
BURST = Pool(
    name="burst",
    kind=PoolKind.SERVERLESS,
    executor="fake",
    unit=NODE,
    max_units=6,
    cold_start_s=5.0,
    scaledown_window_s=10.0,
    offers=(offer("cpu", Tier.SERVERLESS, "0", usd_per_cpu_hour=Decimal("0.5"), usd_per_gib_hour=Decimal(0)),),
)
COMMIT = offer("node-1y", Tier.COMMIT_1Y, "0.40", cpus=4)


def workdays(days: int, now_ns: int, seed: int = 1) -> Iterator[tuple[int, int, str]]:
    """Begins, ends and pools of jobs of half a node: one all the time, and more by day."""
    rng = np.random.default_rng(seed)
    for day in range(days, 0, -1):
        for hour in range(24):
            count = 1 + rng.poisson(3 if 8 <= hour < 18 else 0)
            for number in range(count):
                begin = now_ns - day * DAY_NS + hour * HOUR_NS + int(rng.integers(0, 600)) * NS_PER_S
                end = begin + HOUR_NS + int(rng.integers(0, 1_200)) * NS_PER_S
                if begin < now_ns:
                    yield begin, end, "ray" if number < 3 else "burst"


def keep_jobs(
    store: Store,
    days: int,
    now_ns: int,
    names: Sequence[str] = ("job",),
    held: Resources = HALF,
    asked: ResourceRequest = ResourceRequest(),
    prefix: str = "j",
) -> list[Attempt]:
    """Stores the jobs, named in turn, and returns their attempts; their ids begin with the prefix."""
    jobs, attempts = [], []
    for number, (begin, end, pool) in enumerate(workdays(days, now_ns)):
        spec = JobSpec(name=names[number % len(names)], run="true", resources=asked)
        (job,) = expand(spec, f"{prefix}{number}", "ann", begin)
        over = end <= now_ns
        jobs.append(replace(job, state=JobState.SUCCEEDED if over else JobState.RUNNING, attempts=1))
        attempts.append(
            Attempt(
                id=f"{prefix}{number}-a1",
                job_id=f"{prefix}{number}",
                number=1,
                pool=pool,
                resources=held,
                state=AttemptState.SUCCEEDED if over else AttemptState.RUNNING,
                stored_ns=begin,
                started_ns=begin,
                ended_ns=end if over else None,
            )
        )
    store.add_jobs(jobs, "{}", "h")
    store.record(attempts=attempts)
    return attempts


def keep_work(store: Store, days: int, now_ns: int) -> None:
    """Stores the jobs, and what both pools cost each day."""
    attempts = keep_jobs(store, days, now_ns)
    for pool in ("ray", "burst"):
        charges = [_charge(pool, day, now_ns) for day in range(days, 0, -1)]
        if pool == "burst":  # of work that the cluster could have had, and of work that it could not
            known = next(attempt.id for attempt in reversed(attempts) if attempt.pool == "burst")
            for name, usd in ((known, 1), ("stranger-a1", 1_000)):
                charges.append(replace(charges[-1], key=name, attempt_id=name, amount=Money.of_usd(usd)))
        store.settle(pool, UsageReport(as_of_ns=now_ns, units=(), attempts=()), charges)


def _charge(pool: str, day: int, now_ns: int) -> Charge:
    begin = now_ns - day * DAY_NS
    return Charge(
        key=f"{pool}-{day}",
        book=Book.METERED,
        kind=ChargeKind.IDLE,
        pool=pool,
        unit_id=f"{pool}-1",
        attempt_id=None,
        started_ns=begin,
        ended_ns=begin + HOUR_NS,
        amount=Money.of_usd(48 if pool == "ray" else 6),
        offer=None,
    )


def keep_foresight(store: Store, days: int, now_ns: int, pool: Pool = RAY) -> None:
    """What would have been forecast before each of the last days, and two nodes decided on."""
    runs = store.runs(0)
    for day in range(days, 0, -1):
        at_ns = (now_ns - day * DAY_NS) // DAY_NS * DAY_NS - 600 * NS_PER_S
        known = [
            replace(run, ended_ns=run.ended_ns if run.ended_ns and run.ended_ns <= at_ns else None)
            for run in runs
            if run.started_ns < at_ns
        ]
        if (outlook := foresee(pool, known, at_ns)) is not None:
            store.keep_outlook(outlook)
        store.keep_decisions([NodesDecision(at_ns=at_ns, pool="ray", up=1, nodes=2, applied=True, reason="it pays")])
