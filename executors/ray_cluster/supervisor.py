"""The supervisor: a detached actor that owns the tasks of attempts, knows their states, and journals them.

It belongs to the cluster, not to the broker: tasks go on when the broker and its gateway are gone.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray

from broker.ports import LogChunk
from executors.on_machine.attempt_dir import AttemptDir, read_result, read_stream
from executors.on_machine.journal import Journal
from executors.on_machine.limits import end_left
from executors.on_machine.line import WHY_REFUSED, Line
from executors.on_machine.news import ACCEPTED_S, News
from executors.on_machine.order import Order
from executors.on_machine.reports import accepted, lost
from executors.ray_cluster import runner
from executors.ray_cluster.gangs import run_gang
from executors.ray_cluster.jobs_api import JobsApi
from executors.ray_cluster.launches import Asked
from executors.ray_cluster.output_forwarding import node_root
from executors.ray_cluster.tasks import cancel_on, lives, on_node

Report = dict[str, Any]


@dataclass
class HeldNodes:
    """Nodes, and the attempt that holds them now."""

    nodes: list[str]
    order: Order
    lost: bool = False  # with its worker: nothing is passed on any more
    watching: asyncio.Task[None] | None = None


class Supervisor:
    """The actor's state: one report an attempt, with versions, and who holds which node."""

    def __init__(self, root: str, dashboard: str, carried: bool) -> None:
        self._root = root = str(Path(root).expanduser())
        self._carried = carried
        self._awaiting: dict[str, Order] = {}  # those that wait for a node to be started
        self._journal = Journal(Path(root) / "journal.jsonl")
        self._reports: dict[str, Report] = self._journal.reports
        self._news = News(self._reports)
        self._cancelled: set[str] = set()
        self._notices: dict[str, float] = {}  # attempts whose node is being taken away: how long they have
        self._held: dict[str, HeldNodes] = {}  # by the attempt that holds it
        context = ray.get_runtime_context()
        self._node = context.get_node_id()
        modules = context.runtime_env.get("py_modules")
        self._jobs_api = JobsApi(dashboard or context.gcs_address, self._node, modules)
        self._line = Line(self._refuse)
        self._ending: set[asyncio.Task[None]] = set()
        self._working: Counter[Hashable] = Counter()  # attempts that hold nodes, by what they need of them
        for report in self._reports.values():
            if report["ended_ns"] is None:
                self._lost(report)

    def _lost(self, report: Report) -> None:
        """An attempt of an earlier supervisor: its task died with it, its processes must too."""
        end_left(report["attempt_id"])
        lost(report, "the supervisor of the Ray cluster", time.time_ns())
        self._journal.write(report)
        self._folder(report["attempt_id"]).close_if_open(report)

    def _folder(self, attempt_id: str) -> AttemptDir:
        return AttemptDir(Path(self._root) / "attempts" / attempt_id)

    async def launch_all(self, asked: Sequence[Asked]) -> list[tuple[str, str]]:
        """Launches each: what came of it, or else why it could not be done, which keeps no other from its launch."""
        return [await self._asked(*each) for each in asked]

    async def _asked(self, order: Order, nodes: list[str], awaits: bool) -> tuple[str, str]:
        try:
            return await self.launch(order, nodes, awaits), ""
        except OSError as error:
            return "", f"{order.attempt_id} could not be launched: {error}"

    async def launch(self, order: Order, nodes: list[str], awaits: bool) -> str:
        """Starts an order on the nodes named for it, or lets it wait where none are: `awaits` says for new ones.

        "going" or "ended", also for a repeat, which is left alone; "no place" when it may not wait either.
        """
        if order.attempt_id not in self._reports:
            if not nodes and not awaits and not self._may_wait(order):
                return "no place"
            await self._start(order, nodes, awaits)
        return "going" if self._reports[order.attempt_id]["ended_ns"] is None else "ended"

    def _may_wait(self, order: Order) -> bool:
        return order.in_line and not self._line.full and self._working[_need(order)] > 0

    async def place(self, attempt_id: str, nodes: list[str]) -> bool:
        """Nodes were started for an order that waited for them. False where it waits no longer."""
        order = self._awaiting.pop(attempt_id, None)
        if order is None:
            return False
        report = self._reports[attempt_id]
        report |= {"nodes": nodes, "launched_ns": time.time_ns(), "awaits": False}
        self._begin(order, nodes)
        await self._tell(report)
        return True

    async def give_up(self, attempt_id: str, reason: str) -> None:
        """No node was started for an order that waited for one."""
        if self._awaiting.pop(attempt_id, None) is not None:
            await self._end_without_nodes(attempt_id, "refused", reason)

    async def _start(self, order: Order, nodes: list[str], awaits: bool) -> None:
        held = {
            "cpus": order.cpus,
            "memory_bytes": order.memory_bytes,
            "gpus": order.gpus,
            "gpu_model": order.gpu_model,
        }
        report = accepted(order.attempt_id, nodes, held, time.time_ns())
        report["gang"] = order.num_nodes > 1 and not order.ray_program
        report |= {"extra": order.extra, "num_nodes": order.num_nodes, "awaits": awaits and not nodes}
        report["program"] = order.ray_program
        folder = self._folder(order.attempt_id)
        if self._carried or not nodes:
            folder.make()  # it may be asked for its output before its node has sent any
        self._journal.write(report)  # where the disk is full, nothing was launched
        if order.attempt_id in self._cancelled or folder.cancelled.exists():
            await self._end_without_nodes(order.attempt_id, "cancelled", "cancelled before it ran")
            return
        if nodes:
            self._begin(order, nodes)
        elif awaits:
            self._awaiting[order.attempt_id] = order
        else:
            self._line.join(_need(order), order)
        self._news.tell(report, within_s=ACCEPTED_S)

    def _begin(self, order: Order, nodes: list[str]) -> None:
        self._working[_need(order)] += 1
        self._held[order.attempt_id] = held = HeldNodes(nodes, order)
        held.watching = asyncio.create_task(self._watch(held))

    async def _watch(self, held: HeldNodes) -> None:
        try:
            outcome = await self._run(held.order, held.nodes)
        except ray.exceptions.RayError as error:
            held.lost = True
            await asyncio.to_thread(end_left, held.order.attempt_id)
            outcome = {"state": "interrupted", "reason": f"its Ray worker or node was lost: {_first_line(error)}"}
        except Exception as error:
            outcome = {"state": "failed", "reason": f"the runner failed: {type(error).__name__}: {_first_line(error)}"}
        order = self._held.pop(held.order.attempt_id).order
        if order.attempt_id in self._cancelled and outcome["state"] != "succeeded":
            outcome["state"] = "cancelled"
        elif (notice_s := self._notices.pop(order.attempt_id, None)) and outcome["state"] != "succeeded":
            outcome |= {"state": "interrupted", "reason": _taken_away(notice_s)}
        self._folder(order.attempt_id).close_if_open(outcome)
        self._working[_need(order)] -= 1
        # Nobody takes over a place whose node may be gone.
        following = None if outcome["state"] == "interrupted" else self._next(order)
        if following is not None:
            self._begin(following, held.nodes)
        await self._ended(order.attempt_id, outcome, following)
        if not self._working[_need(order)]:
            del self._working[_need(order)]
            for waiting in self._line.all(_need(order)):
                self._line.leave(waiting.attempt_id)
                self._refuse(waiting)

    async def pass_on(self, attempt_id: str, outcome: Report) -> Order | None:
        """The end of what a runner ran, and what takes over its place there.

        None: nothing does. Then the end is not noted either, but told by the end of the runner's task, as others are.
        """
        held = self._held.get(attempt_id)
        if held is None or held.lost or attempt_id in self._cancelled or attempt_id in self._notices:
            return None
        if (following := self._next(held.order)) is None:
            return None
        self._folder(attempt_id).close_if_open(outcome)
        held.order = following
        self._held[following.attempt_id] = self._held.pop(attempt_id)
        await self._ended(attempt_id, outcome, following)
        return following

    def _next(self, order: Order) -> Order | None:
        """The next in line for the place of an order, which stands in it no longer."""
        following = self._line.first(_need(order))
        return following and self._line.leave(following.attempt_id)

    def _refuse(self, order: Order) -> None:
        """It has waited in vain."""
        self._ending.add(task := asyncio.create_task(self._end_without_nodes(order.attempt_id, "refused", WHY_REFUSED)))
        task.add_done_callback(self._ending.discard)

    async def _end_without_nodes(self, attempt_id: str, state: str, reason: str) -> None:
        """The end of an attempt that held no node."""
        outcome = {"state": state, "reason": reason}
        self._folder(attempt_id).close_if_open(outcome)
        await self._ended(attempt_id, outcome)

    async def _run(self, order: Order, nodes: list[str]) -> Report:
        name = order.attempt_id
        if order.ray_program:
            return await self._jobs_api.run(order, lambda at_ns: self.started(name, at_ns))
        if order.num_nodes > 1:
            return await run_gang(order, nodes, lambda: name in self._cancelled, partial(self._end_on_nodes, name))
        outcome: Report = await on_node(order, nodes[0])
        if outcome.get("signal") == signal.SIGKILL and not await lives(nodes[0]):
            return {"state": "interrupted", "reason": "its node was lost, and what ran there was killed"}
        return outcome

    async def leaving(self) -> dict[str, int]:
        """Nodes that are being taken away, with the time when, in milliseconds; 0 where nobody has said."""
        found: dict[str, int] = await asyncio.to_thread(ray._private.state.state.get_draining_nodes)
        return found

    async def notice(self, node: str, grace_s: float) -> None:
        """A node is being taken away: what runs there gets SIGTERM, keeps what it can, and is interrupted."""
        for attempt_id, report in self._reports.items():
            if report["ended_ns"] is None and node in report["nodes"] and not report["program"]:
                self._notices[attempt_id] = grace_s
                if not self._carried:  # a node that is being taken away takes no new task: its runner asks
                    asyncio.create_task(self._end_on_nodes(attempt_id, grace_s))  # noqa: RUF006 (as in cancel)

    async def wrote(self, attempt_id: str, what: str, data: bytes) -> float | None:
        """A runner on a node whose files are not ours sends what its attempt wrote to a stream, or its result.

        Returns how long it has, where its node is being taken away.
        """
        await asyncio.to_thread(self._write, self._folder(attempt_id), what, data)
        return self._notices.get(attempt_id)

    def _write(self, folder: AttemptDir, what: str, data: bytes) -> None:
        folder.make()
        if what == "result":
            folder.write_private(folder.result, data)
            return
        with (folder.stdout if what == "stdout" else folder.stderr).open("ab") as file:
            file.write(data)

    async def logs(self, attempt_id: str, stream: str, offset: int, limit: int) -> LogChunk | None:
        """A piece of a stream; None for an attempt that is not known here."""
        return await asyncio.to_thread(_or_none, read_stream, self._folder(attempt_id), stream, offset, limit)

    async def result(self, attempt_id: str) -> tuple[bytes | None] | None:
        """What a function returned or raised, if it did; None for an attempt that is not known here."""
        return await asyncio.to_thread(_or_none, lambda folder: (read_result(folder),), self._folder(attempt_id))

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

    async def _tell(self, *reports: Report, within_s: float = 0.0) -> None:
        for report in reports:
            self._journal.write(report)
        self._news.tell(*reports, within_s=within_s)

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
        elif self._leave(attempt_id):
            await self._end_without_nodes(attempt_id, "cancelled", "cancelled before it ran")
        elif report["ended_ns"] is None:
            asyncio.create_task(self._end_on_nodes(attempt_id, grace_s))  # noqa: RUF006 (its end is reported by the watcher)

    def _leave(self, attempt_id: str) -> bool:
        """Whether it waited for a place, which it does no longer."""
        return self._line.leave(attempt_id) is not None or self._awaiting.pop(attempt_id, None) is not None

    async def _end_on_nodes(self, attempt_id: str, grace_s: float) -> None:
        report = self._reports[attempt_id]
        if report["program"]:  # its entrypoint is here, whatever the nodes of its tasks and actors
            await asyncio.to_thread(runner.cancel, self._root, attempt_id, None, grace_s)
            return
        ranks = list(enumerate(report["nodes"])) if report["gang"] else [(None, report["nodes"][0])]
        ends = [self._end_on(node, attempt_id, rank, grace_s) for rank, node in ranks]
        await asyncio.gather(*ends, return_exceptions=True)

    async def _end_on(self, node: str, attempt_id: str, rank: int | None, grace_s: float) -> None:
        root = node_root(self._root, node) if self._carried else self._root
        if node == self._node:
            await asyncio.to_thread(runner.cancel, root, attempt_id, rank, grace_s)
        else:
            await cancel_on(node, root, attempt_id, rank, grace_s)

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops ended attempts."""
        for attempt_id in attempt_ids:
            report = self._reports.get(attempt_id)
            if report is not None and report["ended_ns"] is not None:
                del self._reports[attempt_id]
                self._journal.forget(attempt_id)
        if self._carried:
            for attempt_id in attempt_ids:
                await asyncio.to_thread(shutil.rmtree, self._folder(attempt_id).path, ignore_errors=True)

    async def may_leave(self) -> str:
        """Its node, where the driver that made it has ended and nothing it was given is under way; else nothing."""
        if any(report["ended_ns"] is None for report in self._reports.values()):
            return ""
        mine = ray.get_runtime_context().get_job_id()
        jobs = await asyncio.to_thread(ray._private.state.jobs)
        return self._node if any(job["JobID"] == mine and job["IsDead"] for job in jobs) else ""

    async def held(self) -> list[Report]:
        """All reports, for usage and capacity."""
        return list(self._reports.values())

    async def stop(self) -> None:
        """Ends all that runs, at once."""
        going = [name for name, report in self._reports.items() if report["ended_ns"] is None]
        self._cancelled.update(going)
        for name in going:
            if self._leave(name):
                await self._end_without_nodes(name, "cancelled", "cancelled before it ran")
        held = [name for name in going if self._reports[name]["ended_ns"] is None]
        await asyncio.gather(*(self._end_on_nodes(name, 2.0) for name in held))
        watching = [held.watching for held in self._held.values() if held.watching is not None]
        await asyncio.gather(*watching, *self._ending)


def _need(order: Order) -> Hashable:
    """What it needs of its nodes: attempts that need the same can take over each other's."""
    alone = order.num_nodes == 1 and not order.ray_program
    held = (order.cpus, order.memory_bytes, order.gpus, order.gpu_model, *sorted(order.extra.items()))
    return held if alone else order.attempt_id


def _or_none(read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except KeyError:
        return None


def _taken_away(notice_s: float) -> str:
    return f"its node is being taken away: it was told to end (SIGTERM), and had {notice_s:.0f} s for it"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
