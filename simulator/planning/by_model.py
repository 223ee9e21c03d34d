"""A plan → what it buys of each GPU model, and of all together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from broker.decide.plan import Holding, Kind, Plan, Problem
from broker.decide.plan.separate import part_of

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfModel:
    """What is bought of a model."""

    gpu: str  # "" where offers name none
    committed_gpus: float  # to commit to now
    held_gpus: float  # on average
    serverless_gpus: float  # on average
    work_gpu_hours: float  # in which its GPUs work
    cost_usd: float


def by_model(problem: Problem, plan: Plan) -> tuple[OfModel, ...]:
    """Each model, in the order of its first offer."""
    holdings = list(plan.holdings.values())
    models = dict.fromkeys(each.offer.gpu for each in holdings)
    return tuple(_of(model, [each for each in holdings if each.offer.gpu == model], problem.hours) for model in models)


def together(problem: Problem, plan: Plan) -> OfModel:
    """All models."""
    return _of(ALL, list(plan.holdings.values()), problem.hours)


def mixed(problem: Problem) -> bool:
    """Whether there is more than one model to buy."""
    return len({offer.gpu for offer in problem.offers}) > 1


def separable(problem: Problem) -> bool:
    """Whether nothing ties GPU models to each other, so that the best plan is the best of each, side by side."""
    parts = (part_of(problem, offer.name) for offer in problem.offers)
    return not any(part is not None and mixed(part) for part in parts)


def _of(gpu: str, holdings: list[Holding], hours: float) -> OfModel:
    def of_kind(kind: Kind) -> Iterable[Holding]:
        return (each for each in holdings if each.offer.kind is kind)

    return OfModel(
        gpu=gpu,
        committed_gpus=sum((each.now_gpus for each in of_kind(Kind.COMMITTED)), 0.0),
        held_gpus=sum(each.gpu_hours for each in of_kind(Kind.HELD)) / hours,
        serverless_gpus=sum(each.gpu_hours for each in of_kind(Kind.SERVERLESS)) / hours,
        work_gpu_hours=sum(each.busy_gpu_hours for each in holdings),
        cost_usd=sum(each.cost_usd for each in holdings),
    )
