"""What became of jobs in virtual time → a result like that of any other rule."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from broker.decide.rules import PlacementRules
from broker.decide.spot import SpotRule
from broker.decide.workload import Floats, Workload
from broker.model.usage import ChargeKind
from simulator.jobs import state
from simulator.jobs.result import Result, Waits
from simulator.jobs.run import run
from simulator.jobs.terms import Live, Rule, Terms
from simulator.virtual.broker import play
from simulator.virtual.from_trace import BEGAN_NS, CLUSTER, SERVERLESS, SPOT, sites, spot_site, works
from simulator.virtual.values import Manner, Outcome


def played(workload: Workload, terms: Terms, rule: Rule | Live, left: Callable[[int], None] | None = None) -> Result:
    """Plays a workload under a rule of either kind. Raises what `run` and `play` raise.

    `left` is told how many jobs have not ended, where they are played one by one.
    """
    if isinstance(rule, Rule):
        return run(workload, terms, rule)
    manner = Manner(
        rules=PlacementRules(spot_rule=SpotRule(rule.spot_rule)),
        steer_every_s=rule.steer_every_s,
        checkpoint_s=terms.checkpoint_s if math.isfinite(terms.checkpoint_s) else None,
    )
    jobs = list(works(workload, terms, wait_s=rule.wait_s, error=rule.estimate_error, slack=rule.slack))
    there = [*sites(terms, rule.nodes, rule.max_nodes)]
    if rule.spot_nodes:
        there.append(spot_site(terms, rule.spot_nodes))
    return result(workload, terms, play(jobs, there, manner, left=left))


def result(workload: Workload, terms: Terms, outcome: Outcome) -> Result:
    """Money and GPU-hours by what they were for; jobs in the order of submission."""
    start_s = _seconds([lived.started_ns or 0 for lived in outcome.jobs])
    ended_s = _seconds([lived.job.ended_ns or 0 for lived in outcome.jobs])
    serverless = np.array([lived.pool == SERVERLESS for lived in outcome.jobs])
    paid = {kind: _usd(outcome, SERVERLESS, kind) for kind in ChargeKind}
    held = sum(_usd(outcome, CLUSTER, kind) for kind in ChargeKind)
    on_spot = sum(_usd(outcome, SPOT, kind) for kind in ChargeKind)
    hours = {kind: amount / terms.serverless if terms.serverless else 0.0 for kind, amount in paid.items()}
    return Result(
        cost=outcome.usd,
        parts={
            "on_demand": held,
            "spot": on_spot,
            "serverless": paid[ChargeKind.JOB],
            "cold_start": paid[ChargeKind.COLD_START],
            "idle_tail": paid[ChargeKind.IDLE_TAIL],
            "rounding": paid[ChargeKind.ROUNDING],
        },
        cluster_gpu_hours=held / terms.cluster if terms.cluster else 0.0,
        spot_gpu_hours=on_spot / terms.spot if terms.spot else 0.0,
        busy_gpu_hours=float((workload.gpus * workload.duration_s)[~serverless].sum()) / 3_600 + outcome.lost_s / 3_600,
        boot_gpu_hours=_usd(outcome, CLUSTER, ChargeKind.BOOT) / terms.cluster if terms.cluster else 0.0,
        serverless_gpu_hours=hours[ChargeKind.JOB] + hours[ChargeKind.COLD_START],
        tail_gpu_hours=hours[ChargeKind.IDLE_TAIL],
        lost_gpu_hours=outcome.lost_s / 3_600,
        jobs=len(workload),
        on_serverless=int(serverless.sum()),
        cold_starts=outcome.cold_starts,
        interruptions=outcome.interruptions,
        waits=_waits(np.maximum(ended_s - workload.submit_s - workload.duration_s, 0.0)),
        most_in_flight=_most(workload.submit_s, ended_s),
        events=outcome.decisions,
        end_s=float(ended_s.max()),
        start_s=start_s,
        ended_s=ended_s,
        serverless=serverless,
    )


def _usd(outcome: Outcome, pool: str, kind: ChargeKind) -> float:
    amount = outcome.spent.get((pool, kind))
    return float(amount.usd) if amount else 0.0


def _seconds(times_ns: list[int]) -> Floats:
    return (np.array(times_ns, np.int64) - BEGAN_NS) / 1e9


def _waits(waited_s: Floats) -> Waits:
    """In the bins that the kernel counts in; what is below a microsecond is rounding."""
    waited_s = np.where(waited_s < 1e-6, 0.0, waited_s)
    bits = (1.0 + waited_s).view(np.int64) - state.ONE_BITS
    bins = np.where(waited_s > 0, (bits >> state.BIN_SHIFT) + 1, 0)
    return Waits.counted(np.bincount(bins), float(waited_s.mean()), float(waited_s.max()))


def _most(submit_s: Floats, ended_s: Floats) -> int:
    times = np.concatenate([submit_s, ended_s])
    change = np.concatenate([np.ones(len(submit_s)), -np.ones(len(ended_s))])
    return int(change[np.lexsort((change, times))].cumsum().max())
