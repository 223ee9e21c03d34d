"""What the API answers with: the models behind the OpenAPI document. `broker.api.views` fills them.

Times are ISO 8601 in UTC; money is dollars as text, exact, beside whole nanodollars; what is not known is null.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from broker.api.brokers import BrokerView

State = Literal["queued", "starting", "running", "succeeded", "failed", "cancelled"]
AttemptStateName = Literal[
    "stored", "starting", "running", "succeeded", "failed", "timed_out", "cancelled", "interrupted", "refused"
]
ChargeKindName = Literal["job", "boot", "idle", "cold_start", "idle_tail", "head", "rounding", "other"]
BookName = Annotated[
    Literal["metered", "correction"], Field(description="correction: what a provider's bill adds or takes.")
]


class Money(BaseModel):
    """An exact amount."""

    usd: str = Field(description="Dollars, exact.", examples=["0.001234567"])
    nanodollars: int = Field(description="The same in whole billionths of a dollar.", examples=[1234567])


class Cost(BaseModel):
    """What something is known to have cost so far."""

    usd: str | None = Field(description="Dollars, exact; null when nothing of it has a known price.")
    nanodollars: int | None = Field(description="The same in whole billionths of a dollar.")
    unknown: int = Field(description="Charges without a known price, which are not in the amount.")
    complete: bool = Field(
        description="All that ran is charged; the idle tail of a serverless container may still be added."
    )


class ProblemItem(BaseModel):
    """One thing that is wrong, or ignored, in what was sent."""

    message: str = Field(description="What is wrong and what to do.")
    field: str = Field("", description="Dotted path of the field.", examples=["resources.accelerators"])
    file: str = Field("", description="File in which it stands, as the client named it.")
    line: int | None = Field(None, description="Line in that file, from 1.")


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it; sent as application/problem+json."""

    type: str = Field(description="Kind of error.", examples=["urn:gpu-broker:invalid-input"])
    title: str = Field(description="The kind in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong, where, and what to do.")
    problems: list[ProblemItem] = Field(default=[], description="Each thing that is wrong, where it is known.")


class Submitted(BaseModel):
    """What became of a submission."""

    id: str = Field(description="Of the job, or of the array; its tasks are <id>.0, <id>.1 and so on.")
    name: str
    tasks: int | None = Field(description="Number of tasks of an array; null for a single job.")
    created: bool = Field(description="False: the same was submitted before under this id and is found again.")
    ignored: list[ProblemItem] = Field(description="Fields of other tools that mean nothing here, and why.")
    warnings: list[str] = Field(description="Budgets that have no room for it; it is taken all the same.")


class ResourcesView(BaseModel):
    """Concrete resources of one node or container, or the part of it that is held."""

    cpus: float = Field(description="Virtual CPUs.")
    memory_bytes: int
    gpus: float
    gpu_model: str = Field(description="Empty where there is no GPU.")
    disk_bytes: int


class JobView(BaseModel):
    """One job as a line of a list."""

    kind: Literal["job"] = "job"
    id: str
    name: str
    user: str
    project: str
    state: State
    ended: bool
    reason: str = Field(description="Why it is in this state.")
    revision: str = Field(description="Pass it to `wait` as `since` to hear of the next change of state.")
    command: str = Field(description="What it runs, in short.")
    gpus: str = Field(description="What each node asks for: `H100:8`, or choices with `or`; empty for none.")
    num_nodes: int
    submitted_at: datetime
    started_at: datetime | None = Field(description="When a command of it first ran.")
    ended_at: datetime | None
    exit_code: int | None = Field(description="Of the last attempt; 128 + n after signal n.")
    pool: str | None = Field(description="Pool of the last attempt.")
    emulated: bool = Field(description="The GPUs of that pool are logical: there is none.")
    attempts: int = Field(description="Made so far.")
    cancel_requested: bool
    priority: int
    tags: dict[str, str]
    array_id: str | None
    array_index: int | None
    cost: Cost


class ArrayView(BaseModel):
    """An array as one line."""

    kind: Literal["array"] = "array"
    id: str
    name: str
    user: str
    project: str
    state: State = Field(description="What its least finished tasks are doing; once all ended, the worst end.")
    ended: bool = Field(description="All tasks have.")
    revision: str = Field(description="Pass it to `wait` as `since` to hear of the next change.")
    submitted_at: datetime
    tasks: int
    counts: dict[State, int] = Field(description="Tasks in each state; states without a task are left out.")
    cost: Cost | None = Field(description="Of all tasks; null where they are cancelled or waited for.")


Standing = Annotated[JobView | ArrayView, Field(discriminator="kind")]


class JobList(BaseModel):
    """One page of jobs, newest first."""

    items: list[Standing]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last.")


class AttemptView(BaseModel):
    """One run of a job in one pool."""

    id: str
    number: int
    pool: str
    emulated: bool
    state: AttemptStateName
    resources: ResourcesView = Field(description="Held on each node.")
    stored_at: datetime
    started_at: datetime | None = Field(description="When the command began to run.")
    ended_at: datetime | None
    exit_code: int | None = Field(description="128 + n after signal n.")
    signal: int | None
    reason: str


class ChangeView(BaseModel):
    """One line of the history of a job."""

    at: datetime
    attempt_id: str | None = Field(description="Null: the job itself changed.")
    old: str
    new: str
    reason: str


class PriceView(BaseModel):
    """A price, with where it comes from and since when it is known."""

    offer: str = Field(description="Its id in the price book.", examples=["modal/sandbox/h100//serverless"])
    tier: Literal["on_demand", "spot", "commit_1y", "commit_3y", "serverless", "owned"]
    usd_per_hour: str = Field(description="Of the whole node; of one GPU where the tier is serverless.")
    usd_per_cpu_hour: str | None = Field(description="Added per virtual CPU; null: in the price.")
    usd_per_gib_hour: str | None = Field(description="Added per GiB of memory; null: in the price.")
    gpu_model: str
    gpu_count: float
    source: str
    valid_from: date
    age_days: int | None = Field(None, description="Days since it was seen to be true; null in the history of a job.")
    stale: bool = Field(False, description="Older than the configured limit.")


class ChargeView(BaseModel):
    """One priced interval of use. Never changed: a correction is another one."""

    kind: ChargeKindName
    book: BookName
    pool: str
    unit_id: str = Field(description="Node or container.")
    attempt_id: str | None
    started_at: datetime
    ended_at: datetime
    amount: Money | None = Field(description="Null: the price is not known.")
    price: PriceView | None


class ChargedView(BaseModel):
    """All charges of a job for one thing in one pool, as one line."""

    kind: ChargeKindName
    book: BookName
    pool: str
    started_at: datetime = Field(description="When the first of them begins.")
    ended_at: datetime = Field(description="When the last of them ends.")
    amount: Money | None = Field(description="Null: none of them has a known price.")
    unknown: int = Field(description="Charges without a known price, which are not in the amount.")
    count: int = Field(description="Charges behind it: one for each settlement.")
    prices: list[PriceView] = Field(description="That were used.")


class EstimateView(BaseModel):
    """What a provider itself says that a unit has cost, before its bill. No part of the charges."""

    pool: str
    unit_id: str = Field(description="Container.")
    attempt_id: str | None
    amount: Money | None


class CostLineView(BaseModel):
    """One component of an expected cost."""

    what: str = Field(examples=["execution", "cold_start", "idle_tail", "boot", "held_back_work"])
    amount: Money
    sunk: bool = Field(description="Already paid for, whatever is decided.")


class DurationView(BaseModel):
    """How long a job is thought to run."""

    p50_s: float
    p90_s: float
    source: str = Field(description="Why one thinks so.")
    runs: int = Field(description="Past runs behind it.")


class QuoteView(BaseModel):
    """What one job would cost, when it would start and end, in one pool."""

    pool: str
    emulated: bool
    resources: ResourcesView = Field(description="Per node.")
    available_now: bool
    start_in_s: float
    end_in_s: float
    duration: DurationView
    marginal: Money | None = Field(description="What choosing this pool adds to the bill; it decides. Null: unknown.")
    full: Money | None = Field(description="With what is already paid for.")
    p90_full: Money | None = Field(description="The full cost if it runs as long as its p90.")
    lines: list[CostLineView]
    offers: list[str] = Field(description="Ids of the prices behind it.")
    warnings: list[str]


class RefusalView(BaseModel):
    """Why a job can't run in a pool."""

    pool: str
    constraint: str = Field(examples=["gpu_model", "memory", "region", "isolation", "price"])
    message: str
    have: str
    need: str
    permanent: bool = Field(description="False: may change without anybody changing the job or the configuration.")


class PlacementView(BaseModel):
    """The decision for a job: the quote chosen, the others, and the reason."""

    at: datetime
    verdict: Literal["run", "wait", "fail"]
    chosen: QuoteView | None = Field(description="With `wait`: what is waited for, where there is something.")
    others: list[QuoteView]
    refusals: list[RefusalView]
    reason: str
    flip: str = Field(description="What would have to change for the answer to be different.")


class JobDetail(JobView):
    """One job with its whole history."""

    endpoint: str | None = Field(description="Where it answers, if it says so while it runs: a line `endpoint: URL`.")
    made: list[AttemptView] = Field(description="Its attempts, oldest first.")
    changes: list[ChangeView] = Field(description="Its history, oldest first.")
    placement: PlacementView | None = Field(description="The decision that started its last attempt, else the last.")
    predicted: Money | None = Field(description="What those decisions expected it to cost; null: they did not know.")
    charges: list[ChargeView]
    charged: list[ChargedView] = Field(description="The charges, as one line for each kind and pool.")
    estimates: list[EstimateView] = Field(description="What providers themselves say, before their bills.")
    document: dict[str, Any] = Field(description="What was submitted, as the job schema has it.")


Shown = Annotated[JobDetail | ArrayView, Field(discriminator="kind")]


class Cancelled(BaseModel):
    """What became of a wish to cancel."""

    marked: int = Field(description="Jobs that had not ended and will be cancelled.")
    standing: Standing


class ExplanationView(BaseModel):
    """Why a job runs where it does, in words, with the decision behind them."""

    job_id: str
    chosen: str = Field(description="The pool chosen or waited for, its cost, start and end; empty for none.")
    reason: str
    rejected: list[str] = Field(description="A sentence for each other quote and each refusal.")
    difference: Money | None = Field(description="What the cheapest other pool would have added more.")
    flip: str = Field(description="What would have made the answer another one.")
    warnings: list[str]
    actual: list[str] = Field(description="What came of it.")
    placement: PlacementView | None = Field(description="Null: no decision was made about it yet.")
    earlier: list[PlacementView] = Field(description="The other decisions about it, oldest first.")


class UnitView(BaseModel):
    """One node or container now."""

    id: str
    ready: bool
    total: ResourcesView
    free: ResourcesView
    warm_key: str = Field(description="The environment that a warm container holds.")


class PoolView(BaseModel):
    """A place that runs attempts, with what it has now."""

    name: str
    kind: Literal["cluster", "serverless"]
    executor: str
    problem: str | None = Field(description="Why it takes no work; null when it does.")
    note: str = Field(description="How work is isolated, or why it is degraded.")
    region: str
    isolation: Literal["shared", "dedicated"]
    emulated: bool = Field(description="Its GPUs are logical: there is none.")
    gpu_models: list[str]
    capabilities: list[str]
    unit: ResourcesView = Field(description="What one node has, or one container may have at most.")
    max_units: int
    max_gpus: float = Field(description="GPUs that all its units may have together: those that are there for it.")
    as_of: datetime | None = Field(description="When its capacity was heard; null: never.")
    units: list[UnitView]
    backoff_until: datetime | None = Field(description="It starts nothing new before this.")
    prices: list[PriceView] = Field(description="Empty: not known.")
    head_prices: list[PriceView] = Field(description="Of a head beside its units. Empty: it has none, or not known.")


class PoolList(BaseModel):
    """All pools by name."""

    pools: list[PoolView]


class StatusView(BaseModel):
    """The daemon and what it has to do."""

    pid: int
    version: str
    started_at: datetime
    uptime_s: float
    memory_bytes: int = Field(description="Resident memory of the daemon.")
    counts: dict[State, int] = Field(description="Jobs in each state.")
    problems: dict[str, str] = Field(description="Pools that take no work, and why.")
    brokers: list[BrokerView] = Field(description="All brokers and API workers of the store, this one among them.")


class ShutdownWish(BaseModel):
    """How the broker is to end."""

    model_config = ConfigDict(extra="forbid")
    mode: Literal["drain", "now"] = Field("drain", description="drain: after what runs has ended. now: cancels it.")


class Accepted(BaseModel):
    """What was asked for will be done."""

    accepted: Literal[True] = True


class Healthy(BaseModel):
    """The daemon answers."""

    status: Literal["ok"] = "ok"


class LogEvent(BaseModel):
    """Data of a `log` event of a followed job."""

    attempt: int
    stream: Literal["stdout", "stderr"]
    next_offset: int = Field(description="Where the next piece of this stream begins.")
    data: str = Field(description="The bytes, in base64.")
