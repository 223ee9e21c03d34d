"""Jobs and how containers are kept warm → what serverless containers would cost, and how many jobs would wait for one.

Plays a fleet as a pool does it: a job takes a container of its shape that has room, then the one of its shape that
became idle last, or a new one, for which it waits. A container ends when its window has passed, the longest idle first,
unless it is one of those to be kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from broker.decide.compiled import compiled
from broker.decide.workload import Floats, Workload
from broker.model.pools import KeepWarm

Ints = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What containers cost, in GPU-seconds (of a job without GPUs: seconds, by its share of a container)."""

    jobs: int
    cold_starts: int  # jobs that waited for a container to start
    cold_job_gpus: float  # the GPUs of these jobs
    started_ahead: int  # containers started for no job
    held_gpu_s: float  # while any job was in them, their start for it included
    cold_gpu_s: float  # of `held_gpu_s` and of those started ahead, while they started
    ahead_gpu_s: float  # while those started ahead did
    idle_gpu_s: float  # ready, with no job in them

    @property
    def paid_gpu_s(self) -> float:
        """All that is paid."""
        return self.held_gpu_s + self.ahead_gpu_s + self.idle_gpu_s

    @property
    def warm_share(self) -> float:
        """The share of jobs that found a container; 1 where there were none."""
        return 1.0 - self.cold_starts / self.jobs if self.jobs else 1.0

    def cost_gpu_s(self, worth_s: float = 0.0) -> float:
        """What is paid, and `worth_s` seconds of its container for each job that had to wait for one."""
        return self.paid_gpu_s + worth_s * self.cold_job_gpus


def shapes_of(workload: Workload) -> tuple[Ints, Floats]:
    """For each job, which jobs' containers it can use (those of its kind and size); the GPUs of each such shape."""
    if not len(workload):
        return np.zeros(0, np.int64), np.zeros(0)
    both = np.stack([workload.kind.codes.astype(np.float64), workload.gpus])
    shapes, codes = np.unique(both, axis=1, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), np.ascontiguousarray(shapes[1])


def play(
    workload: Workload,
    kept: KeepWarm | Sequence[tuple[float, KeepWarm]],
    cold_start_s: float,
    *,
    jobs_per_container: int = 1,
    until_s: float | None = None,
) -> Played:
    """Runs every job in containers kept like this; or, from each of several times on, like that.

    After the last job those that are kept stay up until `until_s`, by default the end of the last job, and all for
    their window. Jobs that share a container are taken not to slow each other down.
    """
    times = [(0.0, kept)] if isinstance(kept, KeepWarm) else list(kept)
    if not times or jobs_per_container < 1:
        raise ValueError("at least one setting and one job in a container are needed")
    shape, gpus = shapes_of(workload)
    settings = Settings(
        np.array([at_s for at_s, _ in times]),
        np.array([each.scaledown_window_s for _, each in times]),
        np.array([each.min_containers for _, each in times], np.int64),
        np.array([each.buffer_containers for _, each in times], np.int64),
    )
    end_s = float(workload.end_s.max(initial=0.0)) if until_s is None else until_s
    jobs = Jobs(workload.submit_s, workload.duration_s, shape, gpus)
    sums = _play(jobs, settings, cold_start_s, jobs_per_container, end_s)[0]
    return Played(
        jobs=len(workload),
        cold_starts=int(sums["cold"]),
        cold_job_gpus=float(sums["cold_gpus"]),
        started_ahead=int(sums["ahead"]),
        held_gpu_s=float(sums["held"]),
        cold_gpu_s=cold_start_s * float(sums["cold_gpus"]) + float(sums["ahead_gpu_s"]),
        ahead_gpu_s=float(sums["ahead_gpu_s"]),
        idle_gpu_s=float(sums["idle"]),
    )


class Jobs(NamedTuple):
    """The workload's columns, by submission."""

    submit_s: Floats
    duration_s: Floats
    shape: Ints
    gpus: Floats  # of each shape


class Settings(NamedTuple):
    """How containers are kept, from each of several times on."""

    from_s: Floats
    window_s: Floats
    least: Ints
    buffer: Ints


class Boxes(NamedTuple):
    """Containers by number, and those that could take a job."""

    shape: list[int]
    inside: list[int]  # jobs
    since_s: list[float]  # idle or busy
    ready_s: list[float]
    idle: list[int]  # by when they became so
    shared: list[int]  # with jobs in them and room for more
    ends: list[tuple[float, int]]  # of jobs: when, and in which container
    coming: list[tuple[float, int]]  # started ahead: ready when, and which


SUMS = np.dtype(
    [
        *((name, np.float64) for name in ("cold", "cold_gpus", "ahead", "held", "ahead_gpu_s", "idle", "changed_s")),
        *((name, np.int64) for name in ("busy", "job", "setting", "last")),
    ]
)


@compiled
def _play(jobs: Jobs, settings: Settings, cold_s: float, room: int, until_s: float) -> Records:
    """Events in order of time: settings change, jobs end, containers started ahead are ready, jobs come."""
    sums = np.zeros(1, SUMS)
    boxes = _no_boxes()
    while sums[0].job < len(jobs.submit_s) or boxes.ends or boxes.coming:
        now = _next(jobs, settings, boxes, sums)
        _expire(boxes, jobs.gpus, settings, sums, now)
        if sums[0].setting + 1 < len(settings.from_s) and settings.from_s[sums[0].setting + 1] <= now:
            sums[0].setting += 1
            sums[0].changed_s = now
        elif boxes.ends and boxes.ends[0][0] <= now:
            _end(boxes, jobs.gpus, sums, heapq.heappop(boxes.ends)[1], room, now)
        elif boxes.coming and boxes.coming[0][0] <= now:
            box = heapq.heappop(boxes.coming)[1]
            sums[0].changed_s = boxes.since_s[box] = now
            boxes.idle.append(box)
        else:
            _come(boxes, jobs, sums, cold_s, room, now)
        if sums[0].job and (sums[0].job < len(jobs.submit_s) or boxes.ends):
            _fill(boxes, jobs.gpus, settings, sums, cold_s, now)
    _settle(boxes, jobs.gpus, settings, sums, until_s)
    return sums


@compiled
def _no_boxes() -> Boxes:
    """Lists whose types are known while they are empty."""
    return Boxes(
        [0 for _ in range(0)],
        [0 for _ in range(0)],
        [0.0 for _ in range(0)],
        [0.0 for _ in range(0)],
        [0 for _ in range(0)],
        [0 for _ in range(0)],
        [(0.0, 0) for _ in range(0)],
        [(0.0, 0) for _ in range(0)],
    )


@compiled
def _next(jobs: Jobs, settings: Settings, boxes: Boxes, sums: Records) -> float:
    now = jobs.submit_s[sums[0].job] if sums[0].job < len(jobs.submit_s) else np.inf
    if boxes.ends:
        now = min(now, boxes.ends[0][0])
    if boxes.coming:
        now = min(now, boxes.coming[0][0])
    if sums[0].setting + 1 < len(settings.from_s):
        now = min(now, settings.from_s[sums[0].setting + 1])
    return now


@compiled
def _keep(settings: Settings, sums: Records) -> int:
    """Idle containers that are not to end."""
    setting, busy = sums[0].setting, sums[0].busy
    keep: int = max(settings.least[setting] - busy, settings.buffer[setting] if busy else 0, 0)
    return keep


@compiled
def _expire(boxes: Boxes, gpus: Floats, settings: Settings, sums: Records, now: float) -> None:
    """Ends idle containers whose window has passed before now, but for those to be kept."""
    window_s, keep, over = settings.window_s[sums[0].setting], _keep(settings, sums), 0
    while len(boxes.idle) - over > keep:
        box = boxes.idle[over]
        due_s = max(boxes.since_s[box] + window_s, sums[0].changed_s)
        if due_s >= now:
            break
        sums[0].idle += (due_s - boxes.since_s[box]) * gpus[boxes.shape[box]]
        over += 1
    if over:
        del boxes.idle[:over]


@compiled
def _end(boxes: Boxes, gpus: Floats, sums: Records, box: int, room: int, now: float) -> None:
    """A job leaves its container."""
    boxes.inside[box] -= 1
    if boxes.inside[box] == 0:
        sums[0].held += (now - boxes.since_s[box]) * gpus[boxes.shape[box]]
        sums[0].busy -= 1
        sums[0].changed_s = boxes.since_s[box] = now
        boxes.idle.append(box)
        _drop(boxes.shared, box)
    elif boxes.inside[box] == room - 1:
        boxes.shared.append(box)


@compiled
def _come(boxes: Boxes, jobs: Jobs, sums: Records, cold_s: float, room: int, now: float) -> None:
    """A job comes and takes a container that has room, an idle one or a new one."""
    job, shape = sums[0].job, jobs.shape[sums[0].job]
    box, starts_s = _find(boxes, boxes.shared, shape, now), now
    if box < 0:
        box = _find(boxes, boxes.idle, shape, now)
        if box >= 0:
            _drop(boxes.idle, box)
            sums[0].idle += (now - boxes.since_s[box]) * jobs.gpus[shape]
        else:
            box, starts_s = _new(boxes, shape, now, cold_s), now + cold_s
            sums[0].cold += 1
            sums[0].cold_gpus += jobs.gpus[shape]
        sums[0].busy += 1
        sums[0].changed_s = boxes.since_s[box] = now
        if room > 1:
            boxes.shared.append(box)
    boxes.inside[box] += 1
    if boxes.inside[box] == room:
        _drop(boxes.shared, box)
    heapq.heappush(boxes.ends, (starts_s + jobs.duration_s[job], box))
    sums[0].last, sums[0].job = shape, job + 1


@compiled
def _new(boxes: Boxes, shape: int, now: float, cold_s: float) -> int:
    boxes.shape.append(shape)
    boxes.inside.append(0)
    boxes.since_s.append(now)
    boxes.ready_s.append(now + cold_s)
    return len(boxes.shape) - 1


@compiled
def _fill(boxes: Boxes, gpus: Floats, settings: Settings, sums: Records, cold_s: float, now: float) -> None:
    """Starts the containers that are to be kept and are not there, like the one used last."""
    shape = sums[0].last
    for _ in range(_keep(settings, sums) - len(boxes.idle) - len(boxes.coming)):
        heapq.heappush(boxes.coming, (now + cold_s, _new(boxes, shape, now, cold_s)))
        sums[0].ahead += 1
        sums[0].ahead_gpu_s += cold_s * gpus[shape]


@compiled
def _settle(boxes: Boxes, gpus: Floats, settings: Settings, sums: Records, until_s: float) -> None:
    """Pays for the containers that are idle at the end."""
    keep, window_s = _keep(settings, sums), settings.window_s[sums[0].setting]
    for place in range(len(boxes.idle)):
        box = boxes.idle[place]
        due_s = max(boxes.since_s[box] + window_s, sums[0].changed_s)
        if place >= len(boxes.idle) - keep:
            due_s = max(due_s, until_s)
        sums[0].idle += (due_s - boxes.since_s[box]) * gpus[boxes.shape[box]]


@compiled
def _find(boxes: Boxes, among: list[int], shape: int, now: float) -> int:
    """The last of some containers that has a shape and is ready; -1 where there is none."""
    for place in range(len(among) - 1, -1, -1):
        if boxes.shape[among[place]] == shape and boxes.ready_s[among[place]] <= now:
            return among[place]
    return -1


@compiled
def _drop(among: list[int], box: int) -> None:
    """Takes a container out of a list, if it is in it."""
    for place in range(len(among) - 1, -1, -1):
        if among[place] == box:
            del among[place]
            return
