"""What the autopilot decided: the last decisions at hand, and in the store each that says something new."""

from __future__ import annotations

import asyncio
from collections import deque

from broker.model.foresight import Decision, NodesDecision, Proposal, WarmDecision
from broker.model.money import NS_PER_S
from broker.ports import Store
from broker.run.telling.events import Event, Events

REMEMBERED = 200
REPEAT_S = 3_600.0  # a decision that repeats the last is stored once in this time


class Decided:
    """Decisions, oldest first."""

    def __init__(self, store: Store, events: Events) -> None:
        self.last: deque[Decision] = deque(maxlen=REMEMBERED)
        self._store = store
        self._events = events
        self._stored: dict[tuple[type[Decision], str], Decision] = {}

    def load(self, now_ns: int) -> None:
        """Takes up what was decided in the last day, by this broker before it was started."""
        for decision in self._store.decisions(now_ns - 86_400 * NS_PER_S, now_ns)[-REMEMBERED:]:
            self.last.append(decision)
            self._stored[type(decision), decision.pool] = decision

    async def keep(self, decision: Decision) -> None:
        """Remembers a decision; stores and tells it where it differs from the last about its pool, or that is old."""
        about = type(decision), decision.pool
        before = self._stored.get(about)
        if before is None or _gist(before) != _gist(decision) or decision.at_ns - before.at_ns >= REPEAT_S * NS_PER_S:
            await asyncio.to_thread(self._store.keep_decisions, [decision])
            self._stored[about] = decision
            self._events.tell([_event(decision)])
        self.last.append(decision)

    def of_nodes(self) -> list[NodesDecision]:
        """Those about nodes, newest first."""
        return [each for each in reversed(self.last) if isinstance(each, NodesDecision)]

    def of_warmth(self) -> list[WarmDecision]:
        """Those about warm containers, newest first."""
        return [each for each in reversed(self.last) if isinstance(each, WarmDecision)]

    def proposals(self) -> list[Proposal]:
        """The newest proposal for each pool."""
        return [each for each in self._stored.values() if isinstance(each, Proposal)]


def _event(decision: Decision) -> Event:
    kinds = {NodesDecision: "plan.nodes", WarmDecision: "plan.warm", Proposal: "plan.proposal"}
    return Event(
        kind=kinds[type(decision)],
        at_ns=decision.at_ns,
        reason=decision.reason,
        pool=decision.pool,
        decision=decision,
    )


def _gist(decision: Decision) -> tuple[object, ...]:
    """What a decision comes to, whatever the numbers behind it."""
    if isinstance(decision, NodesDecision):
        return decision.up, decision.nodes, decision.applied
    if isinstance(decision, WarmDecision):
        return decision.before, decision.after, decision.applied
    return decision.offer_id, decision.nodes
