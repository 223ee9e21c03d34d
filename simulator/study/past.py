"""Jobs → the past of a broker that had run them: its own decisions and charges, in virtual time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from broker.decide.demand import Demand
from broker.model.errors import InvalidInput
from broker.model.placement import Placement, Verdict
from broker.model.times import day_of
from broker.model.usage import Charge, ChargeKind
from simulator.jobs.terms import Terms
from simulator.names import known_names
from simulator.study.workloads import TABLE
from simulator.traces.own_csv import history_of
from simulator.virtual.broker import play
from simulator.virtual.from_trace import sites, works

COLUMNS = ("job", "user", "name", "pool", "kind", "day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was charged, as a broker's ledger would have it."""

    charges: pd.DataFrame  # a row each: job, user, name, pool, kind, day, usd, predicted_usd (on a job's first alone)

    def spend(self, by: Sequence[str] = ("pool",)) -> list[dict[str, Any]]:
        """Rows like those of `broker.spend`, by columns of job, user, name, pool, kind, day.

        Raises `UnknownName` for another column.
        """
        columns = known_names(by, COLUMNS, "column")
        job_usd = self.charges["usd"].where(self.charges["kind"] == ChargeKind.JOB.value, 0.0)
        grouped = self.charges.assign(job_usd=job_usd).groupby(columns)
        table = grouped[["job_usd", "usd"]].sum()
        table.insert(1, "overhead_usd", table["usd"] - table["job_usd"])
        expected = grouped["predicted_usd"].sum(min_count=1).astype(object)
        known_there = expected.notna() & ("kind" not in columns)
        table["predicted_usd"] = expected.where(known_there, None)
        table["unknown"] = 0
        rows: list[dict[str, Any]] = table.reset_index().to_dict("records")
        return rows


def past(
    jobs: pd.DataFrame,
    held_usd: float,
    serverless_usd: float,
    *,
    nodes: int,
    estimate_error: float = 0.5,
    wait_s: float = 0.0,
) -> Past:
    """What a broker would have decided and been charged, with a cluster of so many nodes of one GPU.

    Prices are dollars for an hour of a GPU. `estimate_error` is that of the run times that users say, as a deviation of
    their logarithm; jobs may wait `wait_s` seconds for a node. Raises `InvalidInput` for a series, which has no jobs.
    """
    workload = history_of(jobs, TABLE)
    if isinstance(workload, Demand):
        raise InvalidInput("a series of busy GPUs has no jobs to be charged for")
    terms = Terms(cluster=held_usd, serverless=serverless_usd, unit="US dollars", node_gpus=1)
    todo = list(works(workload, terms, wait_s=wait_s, error=estimate_error))
    predicted: defaultdict[str, float] = defaultdict(float)
    charges: list[Charge] = []

    def told(placement: Placement) -> None:
        if placement.verdict is Verdict.RUN and placement.chosen is not None and placement.chosen.full is not None:
            predicted[placement.job_id] += float(placement.chosen.full.usd)

    play(todo, sites(terms, nodes, nodes), told=told, charged=charges.append)
    who = {work.job.id: (work.job.user, work.job.spec.name) for work in todo}
    return Past(charges=_table(charges, who, predicted))


def _table(charges: list[Charge], who: dict[str, tuple[str, str]], predicted: dict[str, float]) -> pd.DataFrame:
    left = dict(predicted)
    rows = []
    for charge in sorted(charges, key=lambda each: (each.started_ns, each.key)):
        job = charge.attempt_id.rpartition("-a")[0] if charge.attempt_id else ""
        user, name = who.get(job, ("", ""))
        day = day_of(charge.started_ns).isoformat()
        usd = float(charge.amount.usd) if charge.amount is not None else None
        rows.append((job, user, name, charge.pool, charge.kind.value, day, usd, left.pop(job, None)))
    return pd.DataFrame(rows, columns=[*COLUMNS, "usd", "predicted_usd"]).astype({"predicted_usd": float})
