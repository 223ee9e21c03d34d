"""Pods that come and go → lives that are paid for: of workers, and of the heads that hold them together.

Times are Kubernetes' own, which knows seconds. A clock of its that is ahead of ours counts as ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from broker.model.resources import Resources
from executors.kuberay import names, pods
from executors.kuberay.api import Resource
from executors.remote.meter import Meter


class Metering:
    """Meters the pods of a pool's RayClusters."""

    def __init__(self, meter: Meter, head: Resources) -> None:
        self._meter, self._head = meter, head

    def see(self, known: Mapping[str, Resource], worker: Mapping[str, Resources], now_ns: int) -> None:
        """Takes over which pods live, by unit; `worker` says what each of the workers has."""
        for unit, pod in known.items():
            self._begin(unit, pod, worker.get(unit, self._head), now_ns)
            ready_ns = pods.ready_ns(pod)
            if ready_ns is not None and self._meter.lives(unit):
                self._meter.ready(unit, min(ready_ns, now_ns))
        for life in self._meter.up():
            if life["attempt_id"] not in known:
                self._meter.end(life["attempt_id"], now_ns)

    def _begin(self, unit: str, pod: Resource, has: Resources, now_ns: int) -> None:
        paid_ns = pods.paid_ns(pod)
        if paid_ns is None or self._meter.known(unit):
            return
        asked_ns = min(pods.asked_ns(pod), paid_ns, now_ns)
        cause = pod["metadata"].get("annotations", {}).get(names.ATTEMPT_ID)
        self._meter.begin(unit, has, cause, min(paid_ns, now_ns), asked_ns=asked_ns, head=pods.is_head(pod))
