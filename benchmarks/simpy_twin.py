"""The job-by-job simulator a second time, with SimPy: its processes instead of our heap, its objects instead of arrays.

Written from docs/simulate.md; what both say must agree, and what ours takes is held against what this takes. Only what
is drawn by chance comes from ours: two programs can't agree on dice.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from broker.decide.workload import Workload
from simulator.jobs import Rule, Terms, random_draws

Process = Generator[simpy.Event, Any, None]


@dataclass(eq=False)
class Node:
    place: int
    asked: float
    size: float
    life: int
    spot: bool = False
    up: bool = False
    jobs: int = 0
    free: float = 0.0
    idle_since: float = 0.0


@dataclass(eq=False)
class Job:
    number: int
    submitted: float
    work: float
    gpus: float
    done: float = 0.0
    tries: int = 0
    started: float = 0.0
    nodes: list[Node] = field(default_factory=list)
    lost: simpy.Event | None = None
    again: Waiting | None = None


@dataclass(eq=False)
class Waiting:
    job: Job
    go: simpy.Event
    until: float = math.inf
    nodes: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Container:
    born: float
    idle_since: float = 0.0


class Twin:
    """One run; `node_gpu_s`, `spot_gpu_s`, `serverless_gpu_s`, `tail_gpu_s` and `rounding_gpu_s` are paid for."""

    def __init__(self, workload: Workload, terms: Terms, rule: Rule) -> None:
        self.workload, self.terms, self.rule = workload, terms, rule
        self.env = simpy.Environment(float(workload.submit_s[0]))
        self.least, self.most, self.spot_most, self.lives = rule.min_nodes, rule.max_nodes, 0, 0
        if rule.targets:
            self.step = min(int(self.env.now // rule.step_s), len(rule.targets) - 1)
            self.least = self.most = rule.targets[self.step]
        self.ever = max(rule.targets, default=rule.max_nodes)
        self.spot_places = 0
        if rule.spot_nodes and terms.availability:
            self.spot_places = min(rule.spot_nodes, int(terms.availability.nodes.max()))
        self.nodes: list[Node] = []
        self.queue: list[Waiting] = []
        self.running: dict[int, Job] = {}
        self.warm: dict[float, list[Container]] = {}
        self.node_gpu_s = self.spot_gpu_s = self.serverless_gpu_s = self.tail_gpu_s = self.rounding_gpu_s = 0.0
        self.wait_s = self.busy_gpu_s = self.lost_gpu_s = 0.0
        self.interruptions = 0
        self.fragile = bool(self.spot_places) or terms.node_mtbf_s < math.inf
        self.left = len(workload)
        self.over = self.env.event()

    def run(self) -> float:
        """Plays to the end of the last job, which it returns."""
        for place in range(self.least):
            self.lives += 1
            node = Node(place, self.env.now, self.terms.node_gpus, self.lives)
            self.nodes.append(node)
            self._up(node)
        if self.rule.targets:
            self.env.process(self._targets())
        if self.spot_places:
            self.env.process(self._levels())
        self.env.process(self._arrivals())
        self.env.run(self.over)
        for node in self.nodes:
            self._pay(node)
        for gpus, idle in self.warm.items():
            for container in idle:
                self._end(container, gpus)
        return float(self.env.now)

    def _arrivals(self) -> Process:
        columns = self.workload.submit_s.tolist(), self.workload.duration_s.tolist(), self.workload.gpus.tolist()
        for number, (submit, duration, gpus) in enumerate(zip(*columns, strict=True)):
            if submit > self.env.now:
                yield self.env.timeout(submit - self.env.now)
            self.env.process(self._job(Job(number, submit, duration, gpus)))

    def _whole(self, gpus: float) -> int:
        return math.ceil(gpus / self.terms.node_gpus - 1e-9)

    def _patience(self, job: Job) -> float:
        rule, thought = self.rule, job.work
        if rule.estimate_error:
            thought *= math.exp(
                rule.estimate_error * random_draws.normal(self.terms.seed, random_draws.ESTIMATE, job.number)
            )
        if self._whole(job.gpus) > self.ever + self.spot_places or job.tries >= self.terms.tries:
            return 0.0
        return (
            rule.wait_s + (rule.wait_per_second + rule.wait_per_gpu_second * job.gpus) * thought
            if thought >= rule.wait_from_s
            else 0.0
        )

    def _job(self, job: Job) -> Process:
        nodes = None if self.queue else self._find(job.gpus)
        if nodes is None and (patience := self._patience(job)) > 0:
            waiting = Waiting(job, self.env.event())
            self.queue.append(waiting)
            self._ask()
            nodes = yield from self._wait(waiting, patience)
        while nodes is not None:
            self._count(job, self.env.now)
            yield from self._hold(nodes, job)
            if job.again is None:
                break
            patience = self._patience(job)
            nodes = (yield from self._wait(job.again, patience)) if patience > 0 else None
        else:
            yield from self._serve(job)
        self.left -= 1
        if not self.left:
            self.over.succeed()

    def _count(self, job: Job, start: float) -> None:
        """The wait before the last start is the job's."""
        self.wait_s += start - job.submitted - job.done

    def _wait(self, waiting: Waiting, patience: float) -> Generator[simpy.Event, Any, list[Node] | None]:
        waiting.until = self.env.now + patience
        yield waiting.go | self.env.timeout(patience) if patience < math.inf else waiting.go
        if waiting in self.queue:
            self._lose_patience(waiting)
        return waiting.nodes or None

    def _lose_patience(self, last: Waiting) -> None:
        """It leaves the queue, and before it those in front of it whose patience ends now."""
        for each in self.queue[: self.queue.index(last) + 1]:
            if each.until <= self.env.now and each in self.queue:
                self.queue.remove(each)
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

    def _hold(self, nodes: list[Node], job: Job) -> Process:
        job.again, job.started = None, self.env.now
        if self.fragile:
            job.nodes, job.lost = nodes, self.env.event()
            self.running[job.number] = job
            yield self.env.timeout(job.work) | job.lost
            if job.lost.triggered:
                return
            del self.running[job.number]
        else:
            yield self.env.timeout(job.work)
        self.busy_gpu_s += job.work * job.gpus
        self._leave(nodes, job.gpus)
        self._advance()

    def _leave(self, nodes: list[Node], gpus: float) -> None:
        for node in nodes:
            node.jobs -= 1
            node.free += gpus if gpus <= node.size else node.size
            if not node.jobs:
                node.free = node.size
                self.env.process(self._idle(node))

    def _idle(self, node: Node) -> Process:
        since = node.idle_since = self.env.now
        wait = self.terms.node_idle_s
        while node in self.nodes:
            yield self.env.timeout(wait)
            if node.jobs or node.idle_since != since:
                return
            if not self.queue:
                break
            wait = max(self.terms.node_idle_s, 1.0)
        if node in self.nodes and (node.spot or sum(not each.spot for each in self.nodes) > self.least):
            self._give_up(node)

    def _give_up(self, node: Node) -> None:
        self._pay(node)
        self.nodes.remove(node)

    def _pay(self, node: Node) -> None:
        unit = self.terms.node_billing_s
        held = self.env.now - node.asked
        paid = max(unit * math.ceil(max(held, self.terms.node_minimum_s) / unit - 1e-9), held) * node.size
        if node.spot:
            self.spot_gpu_s += paid
        else:
            self.node_gpu_s += paid

    def _ask(self) -> None:
        size, wanted = self.terms.node_gpus, 0
        if self.queue:
            gpus = [each.job.gpus for each in self.queue]
            waiting = sum(each if each <= size else size * self._whole(each) for each in gpus)
            wanted = self._whole(waiting + sum(size - node.free for node in self.nodes if node.up))
        spot = sum(node.spot for node in self.nodes)
        while spot < self.spot_most and len(self.nodes) < wanted:
            self._ask_one(range(self.ever, self.ever + self.spot_places), spot=True)
            spot += 1
        held = len(self.nodes) - spot
        while held < self.least or (held < self.most and len(self.nodes) < wanted):
            self._ask_one(range(self.ever), spot=False)
            held += 1

    def _ask_one(self, places: range, *, spot: bool) -> None:
        self.lives += 1
        place = min(set(places) - {node.place for node in self.nodes})
        node = Node(place, self.env.now, self.terms.node_gpus, self.lives, spot)
        self.nodes = sorted([*self.nodes, node], key=lambda node: node.place)
        self.env.process(self._boot(node))

    def _boot(self, node: Node) -> Process:
        yield self.env.timeout(self.terms.boot_s)
        if node in self.nodes:
            self._up(node)
            self._advance()

    def _up(self, node: Node) -> None:
        node.up, node.free = True, node.size
        self.env.process(self._idle(node))
        if self.terms.node_mtbf_s < math.inf:
            self.env.process(self._fail(node))

    def _fail(self, node: Node) -> Process:
        yield self.env.timeout(
            self.terms.node_mtbf_s * random_draws.exponential(self.terms.seed, random_draws.LIFE, node.life)
        )
        if node in self.nodes:
            self._lose(node)
            self._ask()
            self._advance()

    def _levels(self) -> Process:
        spot = self.terms.availability
        assert spot is not None
        lasts = [*(spot.time_s[1:] - spot.time_s[:-1]), spot.period_s - spot.time_s[-1]]
        while True:
            for level, seconds in zip(spot.nodes.tolist(), lasts, strict=True):
                self.spot_most = min(level, self.spot_places)
                held = sorted((node for node in self.nodes if node.spot), key=lambda node: node.life)
                for node in reversed(held[self.spot_most :]):
                    self._lose(node)
                self._ask()
                self._advance()
                yield self.env.timeout(seconds)

    def _lose(self, node: Node) -> None:
        for job in [job for job in self.running.values() if node in job.nodes]:
            del self.running[job.number]
            ran = min(self.env.now - job.started, job.work)
            every = self.terms.checkpoint_s
            kept = min(every * math.floor(ran / every), ran) if every < math.inf else 0.0
            self.wait_s -= job.started - job.submitted - job.done
            self.busy_gpu_s += ran * job.gpus
            self.lost_gpu_s += (ran - kept) * job.gpus
            self.interruptions += 1
            job.work, job.done, job.tries = job.work - kept, job.done + kept, job.tries + 1
            job.again = Waiting(job, self.env.event())
            self._leave(job.nodes, job.gpus)
            if self._patience(job) > 0:
                self.queue = sorted([*self.queue, job.again], key=lambda each: each.job.number)
            assert job.lost is not None
            job.lost.succeed()
        self._give_up(node)

    def _targets(self) -> Process:
        for step in range(self.step + 1, len(self.rule.targets)):
            yield self.env.timeout(step * self.rule.step_s - self.env.now)
            target = self.rule.targets[step]
            self.least = self.most = target
            for node in reversed([node for node in self.nodes if not node.spot and not node.jobs]):
                if sum(not each.spot for each in self.nodes) > target:
                    self._give_up(node)
            self._ask()
            self._advance()

    def _advance(self) -> None:
        while self.queue and (nodes := self._find(self.queue[0].job.gpus)) is not None:
            self.queue[0].nodes = nodes
            self.queue.pop(0).go.succeed()

    def _end(self, container: Container, gpus: float) -> None:
        unit, window = self.terms.container_billing_s, self.terms.scaledown_window_s
        lived = container.idle_since + window - container.born
        paid = unit * math.ceil(max(lived, self.terms.container_minimum_s) / unit - 1e-9)
        self.tail_gpu_s += gpus * window
        self.rounding_gpu_s += gpus * max(paid - lived, 0.0)

    def _serve(self, job: Job) -> Process:
        gpus, idle, window = job.gpus, self.warm.setdefault(job.gpus, []), self.terms.scaledown_window_s
        while idle and idle[0].idle_since + window < self.env.now:
            self._end(idle.pop(0), gpus)
        cold = 0.0 if idle else self.terms.cold_start_s
        if idle:
            container = idle.pop()
            self.tail_gpu_s += gpus * (self.env.now - container.idle_since)
        else:
            container = Container(self.env.now)
        self._count(job, self.env.now + cold)
        self.serverless_gpu_s += gpus * (cold + job.work)
        yield self.env.timeout(cold + job.work)
        container.idle_since = self.env.now
        idle.append(container)
