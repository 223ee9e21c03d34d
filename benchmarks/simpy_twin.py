"""The job-by-job simulator a second time, with SimPy: its processes instead of our heap, its objects instead of arrays.

Written from docs/simulate.md; what both say must agree, and what ours takes is held against what this takes.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from broker.decide.workload import Workload
from simulator.jobs import Rule, Terms

Process = Generator[simpy.Event, Any, None]


@dataclass(eq=False)
class Node:
    place: int
    asked: float
    size: float
    up: bool = False
    jobs: int = 0
    free: float = 0.0
    idle_since: float = 0.0


@dataclass(eq=False)
class Waiting:
    gpus: float
    go: simpy.Event
    nodes: list[Node] = field(default_factory=list)


class Twin:
    """One run; `node_gpu_s`, `serverless_gpu_s` and `tail_gpu_s` are what is paid for."""

    def __init__(self, workload: Workload, terms: Terms, rule: Rule) -> None:
        self.workload, self.terms, self.rule = workload, terms, rule
        self.env = simpy.Environment(float(workload.submit_s[0]))
        now = self.env.now
        self.nodes = [Node(place, now, terms.node_gpus, True, 0, terms.node_gpus) for place in range(rule.min_nodes)]
        self.queue: list[Waiting] = []
        self.warm: dict[float, list[float]] = {}
        self.node_gpu_s = self.serverless_gpu_s = self.tail_gpu_s = self.wait_s = 0.0
        self.left = len(workload)
        self.over = self.env.event()

    def run(self) -> float:
        """Plays to the end of the last job, which it returns."""
        self.env.process(self._arrivals())
        self.env.run(self.over)
        for node in self.nodes:
            self._pay(node)
        window = self.terms.scaledown_window_s
        self.tail_gpu_s += sum(gpus * window * len(idle) for gpus, idle in self.warm.items())
        return float(self.env.now)

    def _arrivals(self) -> Process:
        columns = self.workload.submit_s.tolist(), self.workload.duration_s.tolist(), self.workload.gpus.tolist()
        for submit, duration, gpus in zip(*columns, strict=True):
            if submit > self.env.now:
                yield self.env.timeout(submit - self.env.now)
            self.env.process(self._job(duration, gpus))

    def _whole(self, gpus: float) -> int:
        return math.ceil(gpus / self.terms.node_gpus - 1e-9)

    def _job(self, duration: float, gpus: float) -> Process:
        submitted = self.env.now
        patience = self.rule.wait_s + self.rule.wait_per_second * duration
        nodes = None if self.queue else self._find(gpus)
        if nodes is None and patience > 0 and self._whole(gpus) <= self.rule.max_nodes:
            waiting = Waiting(gpus, self.env.event())
            self.queue.append(waiting)
            self._ask()
            yield waiting.go | self.env.timeout(patience) if patience < math.inf else waiting.go
            if waiting.go.triggered:
                nodes = waiting.nodes
            else:
                self.queue.remove(waiting)
                self.env.process(self._later())
        self.wait_s += self.env.now - submitted
        yield from self._serve(duration, gpus) if nodes is None else self._hold(nodes, duration, gpus)
        self.left -= 1
        if not self.left:
            self.over.succeed()

    def _later(self) -> Process:
        yield self.env.timeout(0)
        self._advance()

    def _find(self, gpus: float) -> list[Node] | None:
        """The nodes that it gets, with its share taken; None where there is no room."""
        if gpus > self.terms.node_gpus + 1e-9:
            found = [node for node in self.nodes if node.up and not node.jobs][: self._whole(gpus)]
            if len(found) < self._whole(gpus):
                return None
        else:
            fitting = [node for node in self.nodes if node.up and node.free + 1e-9 >= gpus]
            if not fitting:
                return None
            found = [min(fitting, key=lambda node: node.free)]
        for node in found:
            node.jobs += 1
            node.free -= gpus if gpus <= node.size else node.size
        return found

    def _hold(self, nodes: list[Node], duration: float, gpus: float) -> Process:
        yield self.env.timeout(duration)
        for node in nodes:
            node.jobs -= 1
            node.free += gpus if gpus <= node.size else node.size
            if not node.jobs:
                node.free = node.size
                self.env.process(self._idle(node))
        self._advance()

    def _idle(self, node: Node) -> Process:
        since = node.idle_since = self.env.now
        while node in self.nodes:
            yield self.env.timeout(self.terms.node_idle_s)
            if node.jobs or node.idle_since != since:
                return
            if not self.queue:
                break
        if node in self.nodes and len(self.nodes) > self.rule.min_nodes:
            self._pay(node)
            self.nodes.remove(node)

    def _pay(self, node: Node) -> None:
        self.node_gpu_s += node.size * max(self.env.now - node.asked, self.terms.node_minimum_s)

    def _ask(self) -> None:
        size = self.terms.node_gpus
        waiting = sum(each.gpus if each.gpus <= size else size * self._whole(each.gpus) for each in self.queue)
        wanted = self._whole(waiting + sum(size - node.free for node in self.nodes if node.up))
        while len(self.nodes) < min(wanted, self.rule.max_nodes):
            taken = {node.place for node in self.nodes}
            node = Node(min(set(range(self.rule.max_nodes)) - taken), self.env.now, size)
            self.nodes = sorted([*self.nodes, node], key=lambda node: node.place)
            self.env.process(self._boot(node))

    def _boot(self, node: Node) -> Process:
        yield self.env.timeout(self.terms.boot_s)
        node.up, node.free = True, node.size
        self.env.process(self._idle(node))
        self._advance()

    def _advance(self) -> None:
        while self.queue and (nodes := self._find(self.queue[0].gpus)) is not None:
            self.queue[0].nodes = nodes
            self.queue.pop(0).go.succeed()

    def _serve(self, duration: float, gpus: float) -> Process:
        idle, window = self.warm.setdefault(gpus, []), self.terms.scaledown_window_s
        while idle and idle[0] + window < self.env.now:
            idle.pop(0)
            self.tail_gpu_s += gpus * window
        cold = 0.0 if idle else self.terms.cold_start_s
        if idle:
            self.tail_gpu_s += gpus * (self.env.now - idle.pop())
        self.wait_s += cold
        billing = self.terms.billing_s
        self.serverless_gpu_s += gpus * billing * math.ceil((cold + duration) / billing - 1e-9)
        yield self.env.timeout(cold + duration)
        idle.append(self.env.now)
