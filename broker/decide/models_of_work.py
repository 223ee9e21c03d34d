"""What ran and the broker's pools → its work by the GPU models that would do for it, hour by hour.

A job that asks for one model is bound to it. One that names several, or none, may run on each of them that some pool
has room for; how many GPUs it asks of each says how fast they are to it, since it is taken to last as long on any.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from broker.decide.constraints import resolve
from broker.decide.demand import demand
from broker.decide.wording import number
from broker.decide.workload import Floats, Workload
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S
from broker.model.pools import Pool
from broker.model.runs import Run

STEP_S = 3_600.0
Speeds = Mapping[str, float]  # by GPU model: 1 for that of which the work takes fewest


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Work for which the same GPU models would do."""

    speeds: Speeds
    gpus: Floats  # of speed 1 that were busy on it, on average in each of the whole hours before now

    @property
    def name(self) -> str:
        """The models in words, with how many GPUs of each do the same where these differ."""
        alike = all(speed == 1 for speed in self.speeds.values())
        return " or ".join(model if alike else f"{number(1 / speed)} {model}" for model, speed in self.speeds.items())


def works(
    runs: Sequence[Run], pools: Sequence[Pool], sold: Collection[str], since_ns: int, now_ns: int
) -> tuple[Work, ...]:
    """All work with GPUs, most GPU-hours first. Jobs have a choice between models of the pools that are `sold`."""
    asked = {id(run.wants): _asked(run.wants, pools, sold) for run in {id(run.wants): run for run in runs}.values()}
    found: defaultdict[tuple[tuple[str, float], ...], list[tuple[Run, float]]] = defaultdict(list)
    for run in runs:
        model = run.resources.gpu_model
        if run.resources.gpus and model and run.started_ns < now_ns:
            gpus = asked[id(run.wants)]
            speeds = _speeds(gpus) if model in gpus else {model: 1.0}
            found[tuple(sorted(speeds.items()))].append((run, speeds[model]))
    made = [Work(speeds=dict(key), gpus=busy_gpus(held, since_ns, now_ns)) for key, held in found.items()]
    return tuple(sorted(made, key=lambda work: (-work.gpus.sum(), work.name)))


def models(pools: Sequence[Pool]) -> list[str]:
    """The GPU models that some pool has."""
    return sorted({model for pool in pools for model in (*pool.gpu_models, pool.unit.gpu_model) if model})


def gpu_hours(runs: Sequence[Run], since_ns: int, now_ns: int) -> dict[str, float]:
    """GPU-hours of work by the model that it ran on, most first."""
    found: dict[str, float] = defaultdict(float)
    for run in runs:
        if run.resources.gpus and run.resources.gpu_model:
            span_ns = min(run.ended_ns or now_ns, now_ns) - max(run.started_ns, since_ns)
            found[run.resources.gpu_model] += run.resources.gpus * max(span_ns, 0) / NS_PER_S / STEP_S
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def busy_gpus(held: Sequence[tuple[Run, float]], since_ns: int, now_ns: int) -> Floats:
    """GPUs that were busy on runs, each with its speed, on average in each of the whole hours from the first on."""
    seen = [(run, speed) for run, speed in held if run.started_ns < now_ns]
    first_ns = max(min((run.started_ns for run, _ in seen), default=now_ns), since_ns)
    hours = max(math.ceil((now_ns - first_ns) / NS_PER_S / STEP_S), 1)
    begin_ns = now_ns - round(hours * STEP_S * NS_PER_S)
    starts = [max(run.started_ns, begin_ns) for run, _ in seen]
    ends = [min(run.ended_ns or now_ns, now_ns) for run, _ in seen]
    work = Workload.of(
        [(start - begin_ns) / NS_PER_S for start in starts],
        [max(end - start, 0) / NS_PER_S for start, end in zip(starts, ends, strict=True)],
        [run.resources.gpus * speed for run, speed in seen],
    )
    return demand(work, STEP_S, hours * STEP_S + STEP_S / 2).gpus


def _asked(wants: JobSpec | None, pools: Sequence[Pool], sold: Collection[str]) -> dict[str, float]:
    """GPUs of a node of a job by model, of those that it may use in some pool; the fewest where pools differ."""
    found: dict[str, float] = {}
    for pool in pools:
        for way in resolve(wants, pool)[0] if wants is not None else ():
            if way.gpus and way.gpu_model in sold:
                found[way.gpu_model] = min(way.gpus, found.get(way.gpu_model, math.inf))
    return found


def _speeds(gpus: Mapping[str, float]) -> dict[str, float]:
    fewest = min(gpus.values())
    return {model: fewest / count for model, count in gpus.items()}
