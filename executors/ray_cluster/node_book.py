"""The node book: which nodes the cluster has had, since when, until when; kept in a file so that it outlives us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from broker.model.resources import Resources
from broker.model.usage import UnitUsage
from executors.remote.room import Share

LABEL = "broker-node"


@dataclass(frozen=True, slots=True)
class _Life:
    started_ns: int
    ready_ns: int
    ended_ns: int | None
    cpus: float
    memory_bytes: int
    gpus: float
    label: str = ""  # which of our nodes it is; "" for one that we did not start
    gpu_model: str = ""  # as Ray says, canonical; "": it does not say
    extra: dict[str, float] = field(default_factory=dict)  # custom resources


class NodeBook:
    """Lives of nodes by Ray's node id.

    Of all nodes of the cluster, those with CPUs and these `labels` count; their GPUs are of the model that Ray says,
    or else of `gpu_model`.
    """

    def __init__(self, path: Path, gpu_model: str, labels: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._gpu_model = gpu_model
        self._labels = dict(labels or {})
        self._lives: dict[str, _Life] = {}
        if path.exists():
            self._lives = {name: _Life(**life) for name, life in json.loads(path.read_text()).items()}

    def see(self, nodes: list[dict[str, Any]], now_ns: int, started_ns: Mapping[str, int]) -> None:
        """Takes over what Ray says of its nodes; `started_ns` tells by label when those that we started were."""
        before = dict(self._lives)
        alive = {node["id"]: node for node in nodes if node["alive"] and self._counts(node)}
        for name, node in alive.items():
            if name not in self._lives:
                label = node["labels"].get(LABEL, "")
                have = (node["cpus"], node["memory_bytes"], node["gpus"], label, node["gpu_model"], node["extra"])
                self._lives[name] = _Life(min(started_ns.get(label, now_ns), now_ns), now_ns, None, *have)
        self._end({name for name in self._lives if name not in alive}, now_ns)
        if self._lives != before:
            self._save()

    def _counts(self, node: Mapping[str, Any]) -> bool:
        return bool(node["cpus"]) and self._labels.items() <= node["labels"].items()

    def unit_of(self, node: str) -> str:
        """What is paid for one of Ray's nodes: itself."""
        return node

    def named(self, label: str) -> str | None:
        """The node that is up and carries a label."""
        return next((name for name, life in self._lives.items() if life.label == label and not life.ended_ns), None)

    def end_all(self, now_ns: int) -> None:
        """Notes that all nodes are gone."""
        self._end(set(self._lives), now_ns)
        self._save()

    def _end(self, names: set[str], now_ns: int) -> None:
        for name in names:
            if self._lives[name].ended_ns is None:
                self._lives[name] = replace(self._lives[name], ended_ns=now_ns)

    def _save(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps({name: asdict(life) for name, life in self._lives.items()}))
        draft.replace(self._path)

    def units(self, since_ns: int = 0) -> tuple[UnitUsage, ...]:
        """Nodes that had not ended before `since_ns`."""
        return tuple(
            UnitUsage(
                unit_id=name,
                resources=self._resources(life),
                started_ns=life.started_ns,
                ready_ns=life.ready_ns,
                ended_ns=life.ended_ns,
            )
            for name, life in self._lives.items()
            if life.ended_ns is None or life.ended_ns >= since_ns
        )

    def _resources(self, life: _Life) -> Resources:
        model = (life.gpu_model or self._gpu_model) if life.gpus else ""
        return Resources(cpus=life.cpus, memory_bytes=life.memory_bytes, gpus=life.gpus, gpu_model=model)

    def up(self) -> dict[str, Share]:
        """Nodes that are up, with what they have."""
        return {
            name: Share(resources=self._resources(life), extra=life.extra)
            for name, life in self._lives.items()
            if life.ended_ns is None
        }
