"""The supervisor: a detached actor that owns the tasks of attempts, knows their states, and journals them.

It belongs to the cluster, not to the broker: tasks go on when the broker and its gateway are gone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.journal import Journal
from executors.on_machine.line import WHY_REFUSED, Line
from executors.on_machine.news import News
from executors.on_machine.order import Order
from executors.on_machine.processes import end, marked
from executors.on_machine.reports import accepted
from executors.ray_cluster import runner
from executors.ray_cluster.programs import RayPrograms

Report = dict[str, Any]
Kind = Hashable


def run_attempt(order: Order, supervisor: Any) -> Report:
    """The task of an attempt: runs its order on the node that Ray chose."""

    def started(at_ns: int) -> None:
        supervisor.started.remote(order.attempt_id, at_ns)

    return runner.run(order, started, os.environ.get("CUDA_VISIBLE_DEVICES"))


def cancel_attempt(root: str, attempt_id: str, rank: int | None, grace_s: float) -> None:
    """Ends an attempt, or one rank of it, on the node where it runs."""
    runner.cancel(root, attempt_id, rank, grace_s)


RUN_ATTEMPT: Any = ray.remote(max_retries=0)(run_attempt)
CANCEL_ATTEMPT: Any = ray.remote(num_cpus=0, max_retries=0)(cancel_attempt)


class Supervisor:
    """The actor's state: one report an attempt, with versions, and who holds which node."""

    def __init__(self, root: str, dashboard: str) -> None:
        self._root = root
        self._journal = Journal(Path(root) / "journal.jsonl")
        self._reports: dict[str, Report] = self._journal.reports
        self._news = News(self._reports)
        self._cancelled: set[str] = set()
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._programs = RayPrograms(dashboard)
        self._node = ray.get_runtime_context().get_node_id()
        self._line = Line(self._refuse)
        self._unplaced: set[asyncio.Task[None]] = set()
        self._working: Counter[Kind] = Counter()  # attempts that hold a node, by what they hold of it
        for report in self._reports.values():
            if report["ended_ns"] is None:
                self._lost(report)

    def _lost(self, report: Report) -> None:
        """An attempt of an earlier supervisor: its task died with it, its processes must too."""
        end(lambda: marked("BROKER_ATTEMPT_ID", report["attempt_id"]), 0.0)
        now = time.time_ns()
        state = "interrupted" if report["nodes"] else "refused"  # it waited for a place
        report |= {"state": state, "at_ns": now, "ended_ns": now, "released_ns": now}
        report["reason"] = "the supervisor of the Ray cluster was lost, and the attempt with it"
        self._journal.write(report)
        self._folder(report["attempt_id"]).close_if_open(report)

    def _folder(self, attempt_id: str) -> AttemptDir:
        return AttemptDir(Path(self._root) / "attempts" / attempt_id)

    async def launch(self, order: Order, nodes: list[str]) -> str:
        """Starts an order on the nodes named for it, or lets it wait where none are.

        "going" or "ended", also for a repeat, which is left alone; "no place" when it may not wait either.
        """
        if order.attempt_id not in self._reports:
            if not nodes and not self._may_wait(order):
                return "no place"
            await self._start(order, nodes)
        return "going" if self._reports[order.attempt_id]["ended_ns"] is None else "ended"

    def _may_wait(self, order: Order) -> bool:
        return order.in_line and not self._line.full and self._working[_kind(order)] > 0

    async def _start(self, order: Order, nodes: list[str]) -> None:
        held = {
            "cpus": order.cpus,
            "memory_bytes": order.memory_bytes,
            "gpus": order.gpus,
            "gpu_model": order.gpu_model,
        }
        report = accepted(order.attempt_id, nodes, held, time.time_ns())
        report["gang"] = order.num_nodes > 1 and not order.ray_program
        self._reports[order.attempt_id] = report
        if order.attempt_id in self._cancelled or self._folder(order.attempt_id).cancelled.exists():
            await self._end_unplaced(order.attempt_id, "cancelled", "cancelled before it ran")
            return
        if nodes:
            self._begin(order, nodes)
        else:
            self._folder(order.attempt_id).make()
            self._line.join(_kind(order), order)
        await self._tell(report)

    def _begin(self, order: Order, nodes: list[str]) -> None:
        self._working[_kind(order)] += 1
        self._watching[order.attempt_id] = asyncio.create_task(self._watch(order, nodes))

    async def _watch(self, order: Order, nodes: list[str]) -> None:
        try:
            outcome = await self._run(order, nodes)
        except ray.exceptions.RayError as error:
            await asyncio.to_thread(end, lambda: marked("BROKER_ATTEMPT_ID", order.attempt_id), 0.0)
            outcome = {"state": "interrupted", "reason": f"its Ray worker or node was lost: {_first_line(error)}"}
        except Exception as error:
            outcome = {"state": "failed", "reason": f"the runner failed: {type(error).__name__}: {_first_line(error)}"}
        if order.attempt_id in self._cancelled and outcome["state"] != "succeeded":
            outcome["state"] = "cancelled"
        self._folder(order.attempt_id).close_if_open(outcome)
        self._working[_kind(order)] -= 1
        await self._ended(order.attempt_id, outcome, self._follow(order, nodes, outcome))
        self._watching.pop(order.attempt_id, None)
        if not self._working[_kind(order)]:
            del self._working[_kind(order)]
            for waiting in self._line.all(_kind(order)):
                self._line.leave(waiting.attempt_id)
                self._refuse(waiting)

    def _follow(self, order: Order, nodes: list[str], outcome: Report) -> Order | None:
        """The next in line, which takes over the place of one that ended; not that of one whose node may be gone."""
        following = self._line.first(_kind(order))
        if following is None or outcome["state"] == "interrupted":
            return None
        self._line.leave(following.attempt_id)
        self._begin(following, nodes)
        return following

    def _refuse(self, order: Order) -> None:
        """It has waited in vain."""
        self._unplaced.add(task := asyncio.create_task(self._end_unplaced(order.attempt_id, "refused", WHY_REFUSED)))
        task.add_done_callback(self._unplaced.discard)

    async def _end_unplaced(self, attempt_id: str, state: str, reason: str) -> None:
        """The end of an attempt that held no node."""
        outcome = {"state": state, "reason": reason}
        self._folder(attempt_id).close_if_open(outcome)
        await self._ended(attempt_id, outcome)

    async def _run(self, order: Order, nodes: list[str]) -> Report:
        if order.ray_program:
            return await self._programs.run(order, lambda at_ns: self.started(order.attempt_id, at_ns))
        if order.num_nodes > 1:
            return await self._run_gang(order)
        strategy = NodeAffinitySchedulingStrategy(nodes[0], soft=False)
        outcome: Report = await _task(order, strategy)
        return outcome

    async def _run_gang(self, order: Order) -> Report:
        """All nodes or none: a placement group holds them, one task on each; the first failure ends all."""
        bundle = {name: amount for name, amount in _ray_resources(order).items() if amount}
        group = ray.util.placement_group([bundle] * order.num_nodes, strategy="STRICT_SPREAD")
        try:
            while not await _within(group.ready(), 0.5):
                if order.attempt_id in self._cancelled:
                    return {"state": "cancelled", "reason": "cancelled before it ran"}
            placed = ray.util.placement_group_table(group)["bundles_to_node_id"]
            master = next(n["NodeManagerAddress"] for n in ray.nodes() if n["NodeID"] == placed[0])
            self._reports[order.attempt_id]["nodes"] = [placed[rank] for rank in range(order.num_nodes)]
            refs = [
                _task(
                    replace(order, rank=rank, master=master),
                    PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
                )
                for rank in range(order.num_nodes)
            ]
            outcomes = await self._gather_gang(order, refs)
        finally:
            ray.util.remove_placement_group(group)
        bad = [outcome for outcome in outcomes if outcome["state"] != "succeeded"]
        return bad[0] if bad else outcomes[0]

    async def _gather_gang(self, order: Order, refs: list[Any]) -> list[Report]:
        waiting = {asyncio.ensure_future(ref) for ref in refs}
        outcomes: list[Report] = []
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            outcomes += [task.result() for task in done]
            if waiting and any(outcome["state"] != "succeeded" for outcome in outcomes):
                await self._end_on_nodes(order.attempt_id, 5.0)
        return outcomes

    async def started(self, attempt_id: str, at_ns: int) -> None:
        """A runner says that the command runs."""
        report = self._reports.get(attempt_id)
        if report is not None and report["state"] == "starting":
            report |= {"state": "running", "at_ns": at_ns, "started_ns": at_ns}
            await self._tell(report)

    async def _ended(self, attempt_id: str, outcome: Report, following: Order | None = None) -> None:
        """It holds its nodes no more; `following` does, and both are told at once, so that no node seems free."""
        now = time.time_ns()
        report = self._reports[attempt_id]
        known = {name: value for name, value in outcome.items() if value is not None}
        report |= {"at_ns": now, "ended_ns": now, **known, "released_ns": now}
        news = [report]
        if following is not None:
            news.append(self._reports[following.attempt_id])
            news[1] |= {"nodes": report["nodes"], "launched_ns": now}
        await self._tell(*news)

    async def _tell(self, *reports: Report) -> None:
        for report in reports:
            self._journal.write(report)
        await self._news.tell(*reports)

    async def poll(self, since: int, wait_s: float) -> tuple[int, list[Report]]:
        """Reports newer than a version; waits for one for a while when there is none."""
        return await self._news.since(since, wait_s)

    async def cancel(self, attempt_id: str, grace_s: float) -> None:
        """Ends an attempt, or remembers that it must not start."""
        self._cancelled.add(attempt_id)
        report = self._reports.get(attempt_id)
        if report is None:
            folder = self._folder(attempt_id)
            folder.make()
            folder.cancelled.touch()
        elif self._line.leave(attempt_id):
            await self._end_unplaced(attempt_id, "cancelled", "cancelled before it ran")
        elif report["ended_ns"] is None:
            asyncio.create_task(self._end_on_nodes(attempt_id, grace_s))  # noqa: RUF006 (its end is reported by the watcher)

    async def _end_on_nodes(self, attempt_id: str, grace_s: float) -> None:
        nodes, gang = self._reports[attempt_id]["nodes"], self._reports[attempt_id]["gang"]
        ranks = list(enumerate(nodes)) if gang else [(None, nodes[0])]
        here = [
            asyncio.to_thread(runner.cancel, self._root, attempt_id, rank, grace_s)
            for rank, node in ranks
            if node == self._node
        ]
        elsewhere = [
            CANCEL_ATTEMPT.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                self._root, attempt_id, rank, grace_s
            )
            for rank, node in ranks
            if node != self._node
        ]
        await asyncio.gather(*here, *elsewhere, return_exceptions=True)

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops ended attempts."""
        for attempt_id in attempt_ids:
            report = self._reports.get(attempt_id)
            if report is not None and report["ended_ns"] is not None:
                del self._reports[attempt_id]
                self._journal.forget(attempt_id)

    async def held(self) -> list[Report]:
        """All reports, for usage and capacity."""
        return list(self._reports.values())

    async def stop(self) -> None:
        """Ends all that runs, at once."""
        going = [name for name, report in self._reports.items() if report["ended_ns"] is None]
        self._cancelled.update(going)
        for name in going:
            if self._line.leave(name):
                await self._end_unplaced(name, "cancelled", "cancelled before it ran")
        held = [name for name in going if self._reports[name]["ended_ns"] is None]
        await asyncio.gather(*(self._end_on_nodes(name, 2.0) for name in held))
        await asyncio.gather(*self._watching.values(), *self._unplaced)


def _kind(order: Order) -> Kind:
    """What it holds of its nodes: attempts of one kind can take over each other's places."""
    alone = order.num_nodes == 1 and not order.ray_program
    return (order.cpus, order.memory_bytes, order.gpus, order.gpu_model) if alone else order.attempt_id


def _ray_resources(order: Order) -> dict[str, float]:
    named = {f"accelerator_type:{order.gpu_model}": 0.001} if order.gpus and order.gpu_model else {}
    return {"CPU": order.cpus, "GPU": order.gpus, **named}


def _task(order: Order, strategy: Any) -> Any:
    custom = {name: amount for name, amount in _ray_resources(order).items() if ":" in name}
    return RUN_ATTEMPT.options(
        num_cpus=order.cpus, num_gpus=order.gpus, resources=custom, scheduling_strategy=strategy, name=order.attempt_id
    ).remote(order, ray.get_runtime_context().current_actor)


async def _within(awaited: Any, limit_s: float) -> bool:
    done, _ = await asyncio.wait({asyncio.ensure_future(awaited)}, timeout=limit_s)
    return bool(done)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
