"""A decision and what it was made from → what would have to change for it to be different."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from broker.decide.cost import HELD_BACK
from broker.decide.patience import Patience
from broker.decide.quote import Option
from broker.decide.wording import seconds
from broker.model.placement import Refusal

_REMEDIES: Final = {
    "gpu_model": "if it asked for {have}",
    "gpus": "if it asked for no more than {have}",
    "cpus": "if it asked for no more than {have}",
    "memory": "if it asked for no more than {have} of memory",
    "disk": "if it asked for no more than {have} of disk",
    "nodes": "if it asked for no more than {have} nodes",
    "region": "if it might run in {have}",
    "isolation": "if it might run on shared infrastructure",
    "pools": "if the job allowed that pool",
    "budget": "if its budget had {need} left",
    "quota": "if its quota had {need} left",
    "price": "if its limit were at least {have}",
    "deadline": "if its deadline were more than {need} away",
    "runtime": "if it needed no Ray runtime",
    "image": "if it needed no image",
}


_UNSAID: Final = ("", "none", "?")


def of_run(chosen: Option, ranked: Sequence[Option], refusals: Sequence[Refusal], patience: Patience) -> str:
    """What would make a job that runs now wait, or run elsewhere."""
    place = ranked.index(chosen)
    others = [option for option in ranked[place + 1 :] if option.quote.pool != chosen.quote.pool]
    parts = [_wait_longer(ranked[:place], patience.left_s(chosen)), _other_pool(chosen, others, patience)]
    if len({option.quote.pool for option in ranked}) == 1:
        parts.append(of_refusals([refusal for refusal in refusals if refusal.pool != chosen.quote.pool]))
    return "; ".join(part for part in parts if part)


def of_wait(chosen: Option, fallback: Option, may_wait_s: float) -> str:
    """What would make a job that waits for cheaper capacity run now."""
    pool, waited_for = fallback.quote.pool, chosen.quote.pool
    return (
        f"it would run in {pool} now if it might not wait {seconds(chosen.quote.start_in_s)}, "
        f"or if {waited_for} were thought to have no room within {seconds(may_wait_s)}"
    )


def of_refusals(refusals: Sequence[Refusal]) -> str:
    """What would let refused pools take a job: named for those that refuse for one reason alone."""
    by_pool: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        by_pool.setdefault(refusal.pool, []).append(refusal)
    parts = [_remedy(reasons[0]) for reasons in by_pool.values() if len(reasons) == 1]
    return "; ".join(part for part in parts if part)


def _remedy(refusal: Refusal) -> str:
    remedy = _REMEDIES.get(refusal.constraint, "")
    if not remedy or (refusal.have in _UNSAID and "{have}" in remedy) or (refusal.need == "?" and "{need}" in remedy):
        return ""
    return f"{refusal.pool} could run it {remedy.format(have=refusal.have, need=refusal.need)}"


def _wait_longer(better: Sequence[Option], left_s: float) -> str:
    """Options better than the chosen one were passed over because they start too late."""
    if not better:
        return ""
    pool, start_s = better[0].quote.pool, ceil(better[0].quote.start_in_s)
    if start_s > left_s:
        return f"it would wait for {pool} if its deadline were {seconds(ceil(start_s - left_s))} later"
    return f"it would wait for {pool} if it might wait {start_s} s"


def _other_pool(chosen: Option, others: Sequence[Option], patience: Patience) -> str:
    """What would make the next best pool that can start in time the best one."""
    fallback = next((option for option in others if option.quote.available_now), chosen)
    rivals = [option for option in others if option.quote.available_now or patience.waits(option, fallback)]
    if not rivals:
        return ""
    pool, rival, cost = chosen.quote.pool, rivals[0].quote, chosen.quote.marginal
    comparable = rival.resources.gpu_model == chosen.quote.resources.gpu_model and (
        rival.available_now or patience.said
    )
    if comparable and cost and rival.marginal is None:
        return f"{rival.pool} would be used if its price were known and the run added less than {cost} there"
    if comparable and cost and rival.marginal and not any(line.what == HELD_BACK for line in rival.lines):
        share = 100 * cost.nanodollars / rival.marginal.nanodollars
        return f"{rival.pool} would be used below {share:.3g}% of its price, where this run would add {cost}"
    return f"{rival.pool} would be used if {pool} had no room {_within(patience.for_(chosen, fallback))}"


def _within(may_wait_s: float) -> str:
    return f"within {seconds(may_wait_s)}" if may_wait_s else "now"
