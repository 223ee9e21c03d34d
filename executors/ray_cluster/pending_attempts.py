"""Attempts that wait for a node to be started → how many nodes to request, and which have waited too long."""

from __future__ import annotations

from dataclasses import dataclass

from executors.remote.room import Need, Room, Share, nodes_for


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    need: Need
    until_ns: int


class PendingAttempts:
    """Attempts that wait for nodes of an autoscaler, oldest first; from them, how many nodes it should hold."""

    def __init__(self, node: Share, most: int) -> None:
        self._node = node
        self._most = most
        self._waiting: dict[str, _Waiting] = {}
        self._target: int | None = None  # nodes that the plan wants, whether anything waits or not; None: it has none
        self._requested: int | None = None

    def aim(self, units: int) -> None:
        """Sets how many nodes the plan wants."""
        self._target = units

    def add(self, attempt_id: str, need: Need, until_ns: int, up: int) -> bool:
        """Queues an attempt; False where it needs more nodes than may still be started, of which `up` exist."""
        if attempt_id in self._waiting:
            return True
        wanted = nodes_for([*(each.need for each in self._waiting.values()), need], self._node)
        if up + wanted > self._most:
            return False
        self._waiting[attempt_id] = _Waiting(need=need, until_ns=until_ns)
        return True

    def drop(self, attempt_id: str) -> None:
        """Takes an attempt out of the queue; no effect when it is not in it."""
        self._waiting.pop(attempt_id, None)

    def served(self, room: Room) -> dict[str, list[str]]:
        """Removes the attempts for which there is room now, and takes that room: attempt id → its nodes."""
        found = {}
        for attempt_id, waiting in list(self._waiting.items()):
            nodes = room.take(attempt_id, waiting.need)
            if nodes is not None:
                found[attempt_id] = nodes
                del self._waiting[attempt_id]
        return found

    def expired(self, now_ns: int) -> list[str]:
        """Removes the attempts whose deadline has passed: their ids."""
        late = [attempt_id for attempt_id, waiting in self._waiting.items() if waiting.until_ns <= now_ns]
        for attempt_id in late:
            del self._waiting[attempt_id]
        return late

    def to_request(self, room: Room) -> int | None:
        """How many nodes to request from the autoscaler; None when that is what was requested last."""
        waiting = nodes_for([each.need for each in self._waiting.values()], self._node)
        busy = len(room.now()) - room.idle()
        wanted = min(max(self._target or 0, busy + waiting if waiting else 0), self._most)
        if wanted == self._requested:
            return None
        self._requested = wanted
        return wanted

    def forget(self) -> None:
        """Has the next request sent even if it is the same: the autoscaler may have lost the last one."""
        self._requested = None
