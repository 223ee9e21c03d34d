"""Jobs: what a user asks to run, its attempts, and the moves that their states may make.

A job is a frozen value; every change makes a new one and is recorded as a `StateChange`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from broker.model.pools import Isolation
from broker.model.projects import DEFAULT_PROJECT
from broker.model.resources import ResourceRequest, Resources


class Cause(StrEnum):
    """Why an attempt ended without success; retries are granted by cause."""

    NO_CAPACITY = "no_capacity"  # the pool had no room after all
    INTERRUPTION = "interruption"  # the node, container or executor died under it
    ERROR = "error"  # the command failed, timed out or could not be set up


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how fast an attempt is repeated, by cause."""

    on: frozenset[Cause] = frozenset({Cause.NO_CAPACITY, Cause.INTERRUPTION})
    max_attempts: int = 3  # in all, the first included; attempts refused for no capacity do not count
    backoff_s: float = 1.0  # before the second attempt; doubles each time
    max_backoff_s: float = 300.0
    within_s: float | None = None  # no new attempt later than this after submission


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """A Python call, whose parts are kept as blobs.

    Without `inputs`, the blob is the whole call: cloudpickle of (function, args, kwargs). With them it is the function
    alone, and they are a file of (args, kwargs) of `broker.model.calls`: one for each task of an array.
    """

    blob: str  # sha256 of the payload, hex
    name: str  # qualified name, for people
    python: str  # "3.11": the payload needs this minor version
    inputs: str | None = None  # sha256 of the file of its arguments, hex


CHECKPOINT_GRACE_S: Final = 30.0  # between SIGTERM and SIGKILL, for a job that is to keep a checkpoint first


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a user asks to run. Built from the document that people write by `broker.spec`."""

    name: str
    run: str | None = None  # shell script for bash -c; exactly one of run, argv, function is set
    argv: tuple[str, ...] = ()  # a command given word by word (after --), run without a shell
    function: FunctionCall | None = None
    setup: str | None = None  # shell script run once per environment before the job
    requirements: tuple[str, ...] = ()  # pip requirements of its Python environment
    system_packages: tuple[str, ...] = ()  # Debian packages of its image
    workdir: str | None = None  # local folder whose copy is the working directory
    file_mounts: dict[str, str] = field(default_factory=dict)  # path in the job -> local path
    volumes: dict[str, str] = field(default_factory=dict)  # path in the job -> name of a volume
    volumes_at: str = ""  # where all of them live; pools that share them say the same
    volumes_read_only: tuple[str, ...] = ()  # names of those that its project may only read
    envs: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()  # names; values are looked up at launch and never stored
    secret_files: dict[str, str] = field(default_factory=dict)  # variable, with a file's path -> secret that is in it
    image: str | None = None
    resources: ResourceRequest = ResourceRequest()
    max_duration_s: float | None = None  # running time after which an attempt is ended
    checkpoint_every_s: float | None = None  # an interrupted run goes on from a multiple of this; None: begins anew
    retry: RetryPolicy = RetryPolicy()
    deadline_ns: int | None = None  # must be finished by; wall clock, ns since the epoch
    max_wait_s: float | None = None  # may wait this long for cheaper capacity; None: the broker's default
    est_runtime_s: float | None = None  # the user's median estimate
    max_cost_usd: str | None = None  # decimal dollars for the whole job, all attempts
    array_size: int | None = None  # None: not an array
    matrix: dict[str, tuple[str, ...]] = field(default_factory=dict)  # environment variable -> values; the product runs
    project: str = DEFAULT_PROJECT
    tags: dict[str, str] = field(default_factory=dict)
    priority: int = 50  # 0..100, larger first
    client_id: str | None = None  # submitting the same id again finds the first job
    pools_allowed: tuple[str, ...] = ()  # names, or name/region; empty: any
    pools_denied: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()  # residency; empty: anywhere
    isolation: Isolation = Isolation.SHARED  # DEDICATED: never on infrastructure shared with others
    runtime: str = "any"  # any | ray

    @property
    def named_secrets(self) -> tuple[str, ...]:
        """Names of all secrets that it is given, once each."""
        return tuple(dict.fromkeys((*self.secrets, *self.secret_files.values())))


class JobState(StrEnum):
    """Where a job is; see `JOB_MOVES`."""

    QUEUED = "queued"  # accepted; waits for a placement, for capacity or for a retry
    STARTING = "starting"  # an attempt was launched: environment, image, cold start
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether it is one of the three ends."""
        return self in JOB_ENDS


JOB_ENDS: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
JOB_MOVES: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset({JobState.STARTING, JobState.RUNNING, *JOB_ENDS}),
    JobState.STARTING: frozenset({JobState.RUNNING, JobState.QUEUED, *JOB_ENDS}),
    JobState.RUNNING: frozenset({JobState.QUEUED, *JOB_ENDS}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class AttemptState(StrEnum):
    """Where one attempt is; see `ATTEMPT_MOVES`. Only `STORED` is the broker's alone; executors report the others."""

    STORED = "stored"  # written down, not yet known to have been launched
    STARTING = "starting"  # accepted by the pool: environment, image, cold start, or its queue
    RUNNING = "running"  # the command runs
    SUCCEEDED = "succeeded"  # exit code 0
    FAILED = "failed"  # another exit code, a signal, or an environment that could not be built
    TIMED_OUT = "timed_out"  # ended for running longer than max_duration
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # node, container or executor died under it
    REFUSED = "refused"  # the pool took it back before it ran: no capacity

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to it."""
        return self in ATTEMPT_ENDS

    @property
    def cause(self) -> Cause | None:
        """What kind of failure this end is; None for success, cancellation and states that are no end."""
        return _CAUSES.get(self)


ATTEMPT_ENDS: Final = frozenset(
    {
        AttemptState.SUCCEEDED,
        AttemptState.FAILED,
        AttemptState.TIMED_OUT,
        AttemptState.CANCELLED,
        AttemptState.INTERRUPTED,
        AttemptState.REFUSED,
    }
)
ATTEMPT_MOVES: Final[dict[AttemptState, frozenset[AttemptState]]] = {
    AttemptState.STORED: frozenset({AttemptState.STARTING, AttemptState.RUNNING, *ATTEMPT_ENDS}),
    AttemptState.STARTING: frozenset({AttemptState.RUNNING, *ATTEMPT_ENDS}),
    AttemptState.RUNNING: ATTEMPT_ENDS - {AttemptState.REFUSED},
    **{end: frozenset[AttemptState]() for end in ATTEMPT_ENDS},
}
_CAUSES: Final = {
    AttemptState.FAILED: Cause.ERROR,
    AttemptState.TIMED_OUT: Cause.ERROR,
    AttemptState.INTERRUPTED: Cause.INTERRUPTION,
    AttemptState.REFUSED: Cause.NO_CAPACITY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as the store has it. Tasks of an array are jobs that share `array_id`."""

    id: str  # unique; a task of an array is `<array id>.<index>`
    spec: JobSpec
    state: JobState
    user: str
    submitted_ns: int
    array_id: str | None = None
    array_index: int | None = None
    task_envs: dict[str, str] = field(default_factory=dict)  # matrix values of this task
    not_before_ns: int = 0  # retry backoff: not placed earlier
    cancel_requested: bool = False
    attempts: int = 0  # made so far
    reason: str = ""  # why it is in this state, for people
    started_ns: int | None = None  # first time that a command of it ran
    ended_ns: int | None = None
    exit_code: int | None = None  # of the last attempt
    unread: str = ""  # why its stored description can't be read; `spec` then has its name, project and priority alone

    @property
    def may_have_secrets(self) -> bool:
        """Whether what it writes is to be masked: also where it is not known."""
        return bool(self.unread or self.spec.named_secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a job in one pool."""

    id: str  # `<job id>-a<number>`: the key under which it is launched
    job_id: str
    number: int  # 1 for the first
    pool: str
    resources: Resources  # held on each node
    state: AttemptState = AttemptState.STORED
    stored_ns: int = 0
    started_ns: int | None = None  # when the command began to run
    ended_ns: int | None = None
    exit_code: int | None = None  # true exit code; 128 + n after signal n
    signal: int | None = None
    reason: str = ""  # why it ended, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One line of the append-only history of a job or attempt."""

    at_ns: int
    job_id: str
    attempt_id: str | None  # None: the job itself
    old: str
    new: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """All that an executor needs to run one attempt. Values of secrets are in `envs` here and nowhere else."""

    attempt_id: str  # launching it twice finds the first launch
    job_id: str
    spec: JobSpec
    resources: Resources  # per node, resolved: cpus, memory, GPUs of one model
    envs: dict[str, str]  # complete: job's, task's, BROKER_*, secrets
    secret_names: frozenset[str] = frozenset()  # names in `envs` whose values must never be shown or written
    secret_files: frozenset[str] = frozenset()  # those of them whose values go to a file each, and its path to the job
    function_payload: bytes | None = None  # cloudpickle of (function, args, kwargs)
    in_line: bool = False  # where there is no room, it may wait in the pool for the place of one like it


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReport:
    """What an executor knows of one attempt. States never go backwards."""

    attempt_id: str
    state: AttemptState
    at_ns: int  # when it entered the state
    started_ns: int | None = None  # when the command began
    ended_ns: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""  # for people; never contains a secret's value
    unit_ids: tuple[str, ...] = ()  # where it runs or ran
