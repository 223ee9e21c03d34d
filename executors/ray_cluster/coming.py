"""Coming nodes: attempts that wait for a node to be started → how many nodes to ask for, and who has waited in vain."""

from __future__ import annotations

from dataclasses import dataclass

from executors.remote.room import Need, Room, Share, nodes_for


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    need: Need
    until_ns: int


class Coming:
    """What waits for nodes that an autoscaler starts, oldest first."""

    def __init__(self, node: Share, most: int) -> None:
        self._node = node
        self._most = most
        self._waiting: dict[str, _Waiting] = {}
        self._target: int | None = None  # nodes that the plan wants, whether anything waits or not; None: it has none
        self._told: int | None = None

    def aim(self, units: int) -> None:
        """The plan wants so many nodes."""
        self._target = units

    def add(self, attempt_id: str, need: Need, until_ns: int, up: int) -> bool:
        """It waits from now on, where as many nodes as it needs may still be started; `up` are there."""
        if attempt_id in self._waiting:
            return True
        wanted = nodes_for([*(each.need for each in self._waiting.values()), need], self._node)
        if up + wanted > self._most:
            return False
        self._waiting[attempt_id] = _Waiting(need=need, until_ns=until_ns)
        return True

    def drop(self, attempt_id: str) -> None:
        """It waits no longer."""
        self._waiting.pop(attempt_id, None)

    def served(self, room: Room) -> dict[str, list[str]]:
        """Those for which there is room now, which they hold from now on: the nodes of each."""
        found = {}
        for attempt_id, waiting in list(self._waiting.items()):
            nodes = room.take(attempt_id, waiting.need)
            if nodes is not None:
                found[attempt_id] = nodes
                del self._waiting[attempt_id]
        return found

    def in_vain(self, now_ns: int) -> list[str]:
        """Those that have waited for too long, and wait no longer."""
        late = [attempt_id for attempt_id, waiting in self._waiting.items() if waiting.until_ns <= now_ns]
        for attempt_id in late:
            del self._waiting[attempt_id]
        return late

    def news(self, room: Room) -> int | None:
        """How many nodes the autoscaler should hold, where that is not what it was told last."""
        waiting = nodes_for([each.need for each in self._waiting.values()], self._node)
        busy = len(room.now()) - room.idle()
        wanted = min(max(self._target or 0, busy + waiting if waiting else 0), self._most)
        if wanted == self._told:
            return None
        self._told = wanted
        return wanted

    def forget(self) -> None:
        """The autoscaler may not know any more what it was told."""
        self._told = None
