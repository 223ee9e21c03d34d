"""Options and refusals → the sentences that say why, with the numbers that decided."""

from __future__ import annotations

from collections.abc import Sequence

from broker.decide.budgets import BUDGET
from broker.decide.cost import HELD_BACK
from broker.decide.patience import Patience
from broker.decide.quotas import QUOTA
from broker.decide.quote import Option
from broker.decide.wording import number, seconds
from broker.model.money import Money
from broker.model.placement import Refusal

MANY_POOLS = 3
HELD = "held"  # how the reason of a job begins that a budget or a quota holds
HOLDING = (BUDGET, QUOTA)


def why_run(chosen: Option, ranked: Sequence[Option], refusals: Sequence[Refusal], patience: Patience) -> str:
    """Why a job runs where it does."""
    pool = chosen.quote.pool
    instead = _instead(chosen, ranked, refusals, patience)
    if chosen.quote.marginal is None:
        may_wait_s = patience.for_(ranked[0], chosen)
        when = f"within {seconds(may_wait_s)}" if may_wait_s else "now"
        return f"{pool}: its price is unknown, and nothing with a known price could start {when}{instead}"
    return f"{pool}: {_self(chosen)}{_preferred(chosen, ranked)}{instead}"


def why_wait(chosen: Option, fallback: Option, patience: Patience) -> str:
    """Why a job that could start waits for something cheaper."""
    pool, now = chosen.quote.pool, fallback.quote
    unsaid = "" if patience.said else f" (no max_wait is set: on {_run(patience)} what it saves is worth so long)"
    return (
        f"waits up to {seconds(patience.for_(chosen, fallback))} for {pool}{unsaid}, expected to have room in "
        f"{seconds(chosen.quote.start_in_s)}, where this run {adds(chosen)}; "
        f"{now.pool} could start it now but {would_add(fallback)}"
    )


def why_no_room(chosen: Option) -> str:
    """Why a job waits that nothing can take now."""
    quote = chosen.quote
    return (
        f"no pool has room now; {quote.pool} is expected to in {seconds(quote.start_in_s)}, and the run {adds(chosen)}"
    )


def why_in_line(chosen: Option) -> str:
    """Why a job is launched that nothing has room for yet."""
    return f"{chosen.quote.pool}: next in line for the place of one like it, and the run {adds(chosen)}"


def why_nowhere(refusals: Sequence[Refusal], *, for_ever: bool) -> str:
    """Why no pool can take a job."""
    if not refusals:
        return "no pool can run it: 0 pools are configured"
    holding = next((refusal for refusal in refusals if refusal.constraint in HOLDING), None)
    if holding is not None:
        others = [refusal for refusal in refusals if refusal.constraint not in HOLDING and not refusal.permanent]
        return f"{HELD} by {holding.message}{'; ' if others else ''}{_each(others)}"
    return f"{'no pool can run it' if for_ever else 'no pool can take it now'}: {_each(refusals)}"


def adds(option: Option) -> str:
    """What a run adds to the bill, in words."""
    marginal = option.quote.marginal
    if marginal is None:
        return "adds an unknown amount"
    return f"adds about {marginal}" if marginal else f"adds {marginal}"


def would_add(option: Option) -> str:
    """The same of a run that is not made, with what it is made of."""
    return adds(option).replace("adds", "would add", 1) + _extras(option)


def _self(option: Option) -> str:
    nodes = option.spot.fresh
    if not option.cluster:
        start = "a warm container is idle, so " if not option.spot.cold else ""
        return f"{start}this run {adds(option)} for {seconds(option.quote.duration.p50_s)}{_extras(option)}"
    if nodes:
        what = "a node has" if nodes == 1 else f"{nodes} nodes have"
        return f"{what} to be started ({seconds(option.cold_s)}), so this run {adds(option)}{_wanted(option)}"
    return f"{_idle(option)} and already paid, so this run {adds(option)}{_wanted(option)}"


def _wanted(option: Option) -> str:
    """The work that a run keeps from nodes, where that counts."""
    held = [line.amount for line in option.quote.lines if line.what == HELD_BACK and line.amount]
    if not held:
        return ""
    share = option.full_share
    why = f": all nodes are expected to be wanted {share:.0%} of that time" if share else ""
    total = Money.total(held)
    return f", {'all' if total == option.quote.marginal else total} of it for work that it keeps from there{why}"


def _idle(option: Option) -> str:
    free, total = option.idle
    model = option.quote.resources.gpu_model
    what = f"{'emulated ' if option.quote.emulated else ''}{model}" if model else "CPUs"
    return f"{number(free)} of {number(total)} {what} {'is' if free == 1 else 'are'} idle"


def _extras(option: Option) -> str:
    if option.cluster and option.full_share:
        return _wanted(option)
    parts = []
    if option.cold_s:
        parts.append(f"{seconds(option.cold_s)} {'boot' if option.cluster else 'cold start'}")
    if option.tail_s:
        parts.append(f"{seconds(option.tail_s)} idle tail")
    return f" ({', '.join(parts)})" if parts else ""


def _preferred(chosen: Option, ranked: Sequence[Option]) -> str:
    if all(option.quote.resources.gpu_model == chosen.quote.resources.gpu_model for option in ranked):
        return ""
    return f" with {number(chosen.quote.resources.gpus)} {chosen.quote.resources.gpu_model}"


def _instead(chosen: Option, ranked: Sequence[Option], refusals: Sequence[Refusal], patience: Patience) -> str:
    pool = chosen.quote.pool
    rival = next((option for option in ranked if option.quote.pool != pool), None)
    if rival is not None:
        quote = rival.quote
        if quote.available_now:
            return f"; {quote.pool} {would_add(rival)}"
        room = f"has no room for about {seconds(quote.start_in_s)}"
        return f"; {quote.pool} {room}, and {_may_wait(patience, patience.for_(rival, chosen))}"
    refused = next((refusal for refusal in refusals if refusal.pool != pool), None)
    return f"; {refused.pool} can't run it: {refused.message}" if refused else ""


def _each(refusals: Sequence[Refusal]) -> str:
    """Why each pool refuses, the first of them by name."""
    pools = _one_each(refusals)
    left = len(pools) - MANY_POOLS
    more = f"; and {left} more pools" if left > 0 else ""
    return "; ".join(f"{refusal.pool}: {refusal.message}" for refusal in pools[:MANY_POOLS]) + more


def _may_wait(patience: Patience, may_wait_s: float) -> str:
    if not may_wait_s:
        return "the job may not wait"
    if patience.said:
        return f"the job may wait {seconds(may_wait_s)}"
    return f"what that would save on {_run(patience)} is worth a wait of {seconds(may_wait_s)}"


def _run(patience: Patience) -> str:
    return f"a run of {seconds(patience.run_s)}"


def _one_each(refusals: Sequence[Refusal]) -> list[Refusal]:
    first: dict[str, Refusal] = {}
    for refusal in refusals:
        first.setdefault(refusal.pool, refusal)
    return list(first.values())
