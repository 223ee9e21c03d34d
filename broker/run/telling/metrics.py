"""What the broker does and has → numbers as Prometheus reads them. Counted as it happens, the rest read when asked."""

from __future__ import annotations

import asyncio
from collections import Counter as Counted
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from broker.model.budgets import Standing
from broker.model.errors import BrokerError
from broker.model.jobs import Attempt, AttemptState, JobState
from broker.model.money import NS_PER_S
from broker.model.query import SpendFilter
from broker.model.usage import SpendRow
from broker.run.broker import Broker
from broker.run.failures import VITAL
from broker.run.pools import RunningPool
from broker.run.telling.events import Event

log = structlog.get_logger()

WAITS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400)
RUNS_S: Final = (0.1, 1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 604_800)
DAY_NS: Final = 86_400 * NS_PER_S
HOUR_NS: Final = 3_600 * NS_PER_S
OPEN: Final = tuple(state for state in AttemptState if not state.ended)
REGRET_EVERY_NS: Final = 3_600 * NS_PER_S


class Metrics:
    """The metrics of one broker."""

    def __init__(self, broker: Broker, regrets: Callable[[], Awaitable[Mapping[str, float]]]) -> None:
        """`regrets` says what each cluster cost over what perfect hindsight would have."""
        self._broker = broker
        self._regrets = regrets
        self._regretted: Mapping[str, float] = {}
        self._regretted_ns = 0
        self._looking_back: asyncio.Task[None] | None = None
        self._registry = CollectorRegistry()
        self._ended = Counter("broker_jobs_ended", "Jobs that ended.", ["state", "pool"], registry=self._registry)
        self._attempts = Counter(
            "broker_attempts_ended", "Attempts that ended.", ["state", "pool"], registry=self._registry
        )
        self._waits = Histogram(
            "broker_job_wait_seconds",
            "From a job's submission to its first command.",
            ["pool"],
            buckets=WAITS_S,
            registry=self._registry,
        )
        self._runs = Histogram(
            "broker_attempt_run_seconds",
            "How long the commands of attempts ran.",
            ["pool"],
            buckets=RUNS_S,
            registry=self._registry,
        )
        broker.events.call(self._count)

    def _count(self, event: Event) -> None:
        job, attempt = event.job, event.attempt
        what, _, state = event.kind.partition(".")
        if what == "job" and job is not None:
            if job.state.ended:
                self._ended.labels(state, event.pool).inc()
            elif state == JobState.RUNNING and job.started_ns is not None and job.attempts == 1:
                self._waits.labels(event.pool).observe((job.started_ns - job.submitted_ns) / NS_PER_S)
        elif what == "attempt" and attempt is not None and attempt.state.ended:
            self._attempts.labels(state, event.pool).inc()
            if (ran_s := _ran_s(attempt)) is not None:
                self._runs.labels(event.pool).observe(ran_s)

    async def text(self, seen: Callable[[Sequence[Standing]], Sequence[Standing]] = list) -> bytes:
        """All of them, as a scrape gets them (text format 0.0.4), with those budgets that are `seen` by who asks."""
        now_ns = self._broker.clock.now_ns()
        counts, spent, lately, started, budgets = await asyncio.gather(
            asyncio.to_thread(self._broker.store.counts),
            asyncio.to_thread(self._spent, now_ns // DAY_NS * DAY_NS, "pool", "kind"),
            asyncio.to_thread(self._spent, now_ns - HOUR_NS, "pool"),
            asyncio.to_thread(self._started),
            self._broker.budgets.standings(),
        )
        await asyncio.gather(*(pool.capacity() for pool in self._broker.pools.values()))
        now = CollectorRegistry()
        pools = _pools(self._broker.pools, started)
        families = [*_jobs(counts), *pools, self._open(), *_spend(spent), _rate(lately), *_budgets(seen(budgets))]
        now.register(_Now([*families, *self._foresight(now_ns), self._regret(now_ns), self._asked(), self._failed()]))
        return generate_latest(self._registry) + generate_latest(now)

    def _spent(self, since_ns: int, *by: str) -> tuple[SpendRow, ...]:
        return tuple(self._broker.store.spend(SpendFilter(since_ns=since_ns, by=by)))

    def _open(self) -> GaugeMetricFamily:
        made = GaugeMetricFamily("broker_pool_attempts", "Attempts that have not ended.", labels=["pool", "state"])
        open_now = Counted((held.attempt.pool, held.attempt.state.value) for held in self._broker.register.live)
        for pool in self._broker.pools:
            for state in OPEN:
                made.add_metric([pool, state.value], open_now[pool, state.value])
        return made

    def _started(self) -> dict[str, tuple[float, ...]]:
        return {pool: self._broker.store.cold_starts(pool) for pool in list(self._broker.pools)}

    def _foresight(self, now_ns: int) -> Iterator[GaugeMetricFamily]:
        busy = GaugeMetricFamily("broker_forecast_units", "Units forecast to be busy now.", labels=["pool", "quantile"])
        loss = GaugeMetricFamily("broker_forecast_pinball", "Mean loss of the forecast, in units.", labels=["pool"])
        held = GaugeMetricFamily("broker_forecast_coverage", "How often its 90% band has held.", labels=["pool"])
        for pool, outlook in self._broker.forecasting.current.items():
            step = min(int((now_ns - outlook.at_ns) / NS_PER_S / outlook.step_s), len(outlook.quantiles[0]) - 1)
            for level, row in zip(outlook.levels, outlook.quantiles, strict=True):
                busy.add_metric([pool, f"{level:g}"], row[max(step, 0)])
            if outlook.pinball is not None:
                loss.add_metric([pool], outlook.pinball)
            if outlook.coverage is not None:
                held.add_metric([pool], outlook.coverage)
        wanted = GaugeMetricFamily("broker_plan_nodes", "Nodes that there should be.", labels=["pool"])
        for decision in {each.pool: each for each in reversed(self._broker.autopilot.decided.of_nodes())}.values():
            wanted.add_metric([decision.pool], decision.nodes)
        yield from (busy, loss, held, wanted)

    def _asked(self) -> GaugeMetricFamily:
        failing = GaugeMetricFamily(
            "broker_prices_failing",
            "Providers that gave prices in part or not at all when asked last.",
            labels=["provider"],
        )
        if (asking := self._broker.asking) is not None:
            for provider in asking.settings.providers:
                failing.add_metric([provider], float(provider in asking.failing))
        return failing

    def _failed(self) -> CounterMetricFamily:
        failed = CounterMetricFamily(
            "broker_failures", "How often a part of the broker failed and was begun anew.", labels=["part"]
        )
        for part in sorted({*VITAL, *self._broker.failures.count}):
            failed.add_metric([part], self._broker.failures.count[part])
        return failed

    def _regret(self, now_ns: int) -> GaugeMetricFamily:
        """As it was found last; found anew in the background once an hour, and not before anything was forecast."""
        if self._broker.forecasting.current and now_ns - self._regretted_ns > REGRET_EVERY_NS:
            self._regretted_ns = now_ns
            self._looking_back = asyncio.create_task(self._look_back())
        regret = GaugeMetricFamily(
            "broker_regret_ratio",
            "What the last week of a cluster's work cost, over what perfect hindsight would have paid.",
            labels=["pool"],
        )
        for pool, ratio in self._regretted.items():
            regret.add_metric([pool], ratio)
        return regret

    async def _look_back(self) -> None:
        try:
            self._regretted = await self._regrets()
        except BrokerError as error:
            log.warning("regret could not be found", error=str(error))


class _Now:
    """Families that were just made, as a collector."""

    def __init__(self, families: list[GaugeMetricFamily | CounterMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield from self._families


def _ran_s(attempt: Attempt) -> float | None:
    if attempt.started_ns is None or attempt.ended_ns is None:
        return None
    return (attempt.ended_ns - attempt.started_ns) / NS_PER_S


def _jobs(counts: Mapping[JobState, int]) -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily("broker_jobs", "Jobs in each state.", labels=["state"])
    for state in JobState:
        jobs.add_metric([state.value], counts.get(state, 0))
    yield jobs


def _pools(pools: Mapping[str, RunningPool], started: Mapping[str, tuple[float, ...]]) -> Iterator[GaugeMetricFamily]:
    up = GaugeMetricFamily("broker_pool_usable", "1 where a pool takes work.", labels=["pool", "kind"])
    starts = GaugeMetricFamily(
        "broker_pool_cold_start_seconds", "What the last units took to be ready, the middle one.", labels=["pool"]
    )
    units = GaugeMetricFamily("broker_pool_units", "Nodes or containers that are up.", labels=["pool", "condition"])
    most = GaugeMetricFamily("broker_pool_max_units", "Nodes or containers that it may have.", labels=["pool"])
    gpus = GaugeMetricFamily("broker_pool_gpus", "GPUs of units that are up.", labels=["pool", "condition"])
    for name, running in pools.items():
        up.add_metric([name, running.pool.kind.value], float(running.usable))
        if began := started.get(name):  # a pool of another broker may have become known since
            starts.add_metric([name], median(began))
        if running.usable and (seen := running.last_capacity) is not None:
            ready = sum(unit.ready for unit in seen.units)
            free = sum(unit.free.gpus for unit in seen.units)
            total = sum(unit.total.gpus for unit in seen.units)
            most.add_metric([name], seen.max_units)
            units.add_metric([name, "ready"], ready)
            units.add_metric([name, "starting"], len(seen.units) - ready)
            gpus.add_metric([name, "busy"], total - free)
            gpus.add_metric([name, "idle"], free)
    yield from (up, starts, units, most, gpus)


def _spend(rows: tuple[SpendRow, ...]) -> Iterator[GaugeMetricFamily]:
    spent = GaugeMetricFamily("broker_spent_today_usd", "Dollars charged since midnight UTC.", labels=["pool", "kind"])
    unknown = GaugeMetricFamily(
        "broker_charges_unpriced_today", "Charges without a known price.", labels=["pool", "kind"]
    )
    for row in rows:
        spent.add_metric(list(row.group), float(row.total.usd))
        if row.unknown:
            unknown.add_metric(list(row.group), row.unknown)
    yield from (spent, unknown)


def _rate(rows: tuple[SpendRow, ...]) -> GaugeMetricFamily:
    rate = GaugeMetricFamily("broker_spend_usd_per_hour", "Dollars charged for the last hour.", labels=["pool"])
    for row in rows:
        rate.add_metric(list(row.group), float(row.total.usd))
    return rate


def _budgets(standings: Sequence[Standing]) -> Iterator[GaugeMetricFamily]:
    used = GaugeMetricFamily("broker_budget_used_ratio", "Share that is spent and committed.", labels=["budget"])
    left = GaugeMetricFamily("broker_budget_left_usd", "Dollars that may be begun.", labels=["budget"])
    for each in standings:
        if each.budget.limit:
            used.add_metric([each.budget.name], float(1 - each.left.usd / each.budget.limit.usd))
        left.add_metric([each.budget.name], float(each.left.usd))
    yield from (used, left)
