"""What a run of jobs keeps while it is played: terms, nodes, sums, and tables that grow with what is in flight.

Times are seconds, amounts are GPUs.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from broker.decide.workload import Floats

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint32]  # in tables: without a sign, an index needs no look whether it counts from the end
Records = npt.NDArray[np.void]

OFF, BOOTING, UP = 0, 1, 2  # states of a node
FREE, WAITING, RUNNING, OVER = 0, 1, 2, 3  # states of a job's row
GANG, SERVERLESS = -1, -2  # where a job runs that runs on no single node
NONE: Final = 2**32 - 1  # no place in a table
NO_ROOM: Final = -1
NOWHERE: Final = 2**62
PARTS: Final = 2**20  # of a GPU; amounts are counted in whole ones
ROUNDING: Final = 1e-9
FOR_EVER_S: Final = 1e9  # after the last submission: what waits so long waits for ever
WAIT_BINS: Final = 600
BIN_SHIFT: Final = 48  # of 1 + wait, as a number's bits: sixteen bins from each power of two to the next
ONE_BITS: Final = 1023 << 52
ABREAST: Final = 16  # nodes that are looked at together
SOON: Final = 32  # events that are kept in order


class Terms(NamedTuple):
    """How capacity comes, goes and is paid for."""

    node_gpus: float
    node_parts: int
    boot_s: float
    node_idle_s: float
    node_minimum_s: float
    node_billing_s: float
    cold_start_s: float
    scaledown_window_s: float
    container_minimum_s: float
    container_billing_s: float
    mtbf_s: float  # infinite: nodes never fail
    checkpoint_s: float  # infinite: interrupted work is lost
    on_demand: int  # nodes that are; the rest of all is spot
    nodes_ever: int  # that there may be at once, at the best of times
    tries: int  # a job interrupted so often runs serverless
    seed: int


class Patience(NamedTuple):
    """How long a job waits, by what is thought of its run time."""

    constant_s: float
    per_s: float
    per_gpu_s: float
    from_s: float  # shorter ones never wait
    error: float  # deviation of the logarithm of estimates


class Jobs(NamedTuple):
    """Some of the workload's columns, by submission."""

    submit_s: Floats
    duration_s: Floats
    gpus: Floats


class Steps(NamedTuple):
    """What changes at times known beforehand: nodes to be held, and spot nodes that can be had."""

    target_s: Floats
    target: Ints
    spot_s: Floats  # one more than there are levels: when the first comes again
    spot: Ints


NODE = np.dtype(
    [
        ("state", np.int64),
        ("asked_s", np.float64),
        ("idle_since_s", np.float64),
        ("checked", np.int64),  # 1 while a look at its idleness is due
        ("life", np.int64),  # of all nodes asked for, which
    ]
)
SHAPE = np.dtype(
    [
        ("gpus", np.float64),
        ("parts", np.int64),
        ("nodes", np.int64),  # that a gang holds whole; 0: it shares one
        ("held", np.int64),  # parts, with what is left of whole nodes
        ("warm", np.uint32),  # the container that became idle last
    ]
)
ROW = np.dtype(
    [
        ("number", np.int64),
        ("submit_s", np.float64),
        ("work_s", np.float64),  # left
        ("done_s", np.float64),  # of its work, kept through interruptions
        ("started_s", np.float64),  # when its command began to run
        ("waited_s", np.float64),
        ("place", np.int64),  # in the queue
        ("node", np.int64),
        ("state", np.int64),
        ("due", np.int64),  # events that will name it
        ("tries", np.int64),
        ("shape", np.uint32),
        ("container", np.uint32),
        ("next", np.uint32),  # in the list of free rows
    ],
    align=True,
)
CONTAINER = np.dtype([("born_s", np.float64), ("idle_since_s", np.float64), ("below", np.uint32)], align=True)
_AMOUNTS = (
    *("held_gpu_s", "spot_gpu_s", "boot_gpu_s", "node_rounding_gpu_s", "busy_gpu_s", "run_gpu_s", "cold_gpu_s"),
    *("tail_gpu_s", "rounding_gpu_s", "lost_gpu_s", "wait_s", "longest_wait_s"),
    *("last_submit_s", "now_s", "first_late_s", "last_late_s"),
)
_COUNTS = (
    *("cold_starts", "on_serverless", "jobs", "running", "waiting", "interrupted", "queued", "used", "most_in_flight"),
    *("held", "spot_held", "spot_most", "least", "most", "lives", "events", "arrived", "stuck"),
    *("first", "last", "heap", "late", "later", "last_late"),
)
_PLACES = ("rows", "containers", "free_row", "free_container", "soon")
SUMS = np.dtype(
    [(name, np.float64) for name in _AMOUNTS]
    + [(name, np.int64) for name in _COUNTS]
    + [(name, np.uint32) for name in _PLACES],
    align=True,
)


class World(NamedTuple):
    """All that a run changes, and what it is changed by."""

    terms: Terms
    patience: Patience
    steps: Steps
    sums: Records  # one
    nodes: Records
    room: Ints  # of each node the parts that are free, and its place in LIFE_BITS; NO_ROOM where it is not up
    gang: Places  # row of the job that holds a node whole, or NONE
    shapes: Records  # the sizes of jobs
    slots: Places  # where each is, by a hash of its GPUs
    waits: Ints  # jobs by how long they waited
    start_s: Floats  # when each job started; empty where nobody asks
    end_s: Floats
    serverless: npt.NDArray[np.bool_]
    soon_s: Floats  # the next events, the first of them last; behind them all one that never comes
    soon: Ints


class Tables(NamedTuple):
    """What grows with what is in flight. Rows and containers that are free form lists."""

    heap_s: Floats
    heap: Ints
    rows: Records
    containers: Records
    queue: Places  # a ring; its length is a power of two
    late_s: Floats  # ends of patience in their order, a ring as long as that
    late: Ints


def empty(capacity: int) -> Tables:
    """Tables with room for so many jobs (a power of two), and nothing in them."""
    return Tables(
        np.full(4 * capacity, np.inf),
        np.zeros(4 * capacity, np.int64),
        np.zeros(capacity, ROW),
        np.zeros(capacity, CONTAINER),
        np.full(capacity, NONE, np.uint32),
        np.zeros(capacity),
        np.zeros(capacity, np.int64),
    )


def grown(tables: Tables, sums: Records) -> Tables:
    """The same with more room: without the gaps in the queue where these are most of it, else twice as large."""
    rows, events = len(tables.rows), len(tables.heap)
    first, last, waiting = (int(sums[0][name]) for name in ("first", "last", "waiting"))
    more = empty(rows if last - first > 2 * waiting + rows // 4 else 2 * rows)
    more.heap_s[:events], more.heap[:events] = tables.heap_s, tables.heap
    more.rows[:rows], more.containers[:rows] = tables.rows, tables.containers
    there = tables.queue[np.arange(first, last) & (rows - 1)]
    there = there[there != NONE]
    more.queue[: len(there)] = there
    more.rows["place"][there] = np.arange(len(there))
    sums[0]["first"], sums[0]["last"] = 0, len(there)
    late = np.arange(int(sums[0]["late"]), int(sums[0]["later"])) & (rows - 1)
    more.late_s[: len(late)], more.late[: len(late)] = tables.late_s[late], tables.late[late]
    sums[0]["late"], sums[0]["later"] = 0, len(late)
    return more
