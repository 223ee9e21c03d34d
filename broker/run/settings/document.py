"""What people write in the configuration, as one model; TOML, YAML and the environment are all read into it."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from broker.spec.fields import (
    Accelerators,
    Boolean,
    Cpus,
    Duration,
    Line,
    LongerThanZero,
    Lower,
    ProjectName,
    Rate,
    Share,
    Size,
    Usd,
    Whole,
)
from broker.spec.quantities import duration, number, shown

MAX_UNITS: Final = 10_000

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_PORT: Final = re.compile(r"loopback:(\d{1,5})")


def _receiver_name(value: Any) -> str:
    return _name(value, "receiver")


def _pool_name(value: Any) -> str:
    return _name(value, "pool")


def _budget_name(value: Any) -> str:
    return _name(value, "budget")


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{shown(value)} is no name of a {what}: use 1 to 40 of a-z, 0-9, '_' and '-'")
    return str(value)


def _listen(value: Any) -> str:
    return "unix" if str(value).strip() == "unix" else _loopback(value, "unix")


def _loopback(value: Any, other: str) -> str:
    text = str(value).strip()
    port = _PORT.fullmatch(text)
    if not (port and int(port[1]) <= 65_535):
        raise ValueError(f"must be {other}, or loopback:PORT (0 is any free port), not {shown(value)}")
    return text


def _dashboard(value: Any) -> str:
    return "off" if value is False or str(value).strip() == "off" else _loopback(value, "off")


def _price(value: Any) -> Any:
    """An offer's id alone is a price, and so is a number of dollars per hour."""
    if isinstance(value, int | float):
        return {"usd_per_hour": value}
    return {"offer": value} if isinstance(value, str) else value


EventKind = Annotated[str, Field(pattern=r"^(job|attempt|plan|schedule|budget)(\.[a-z_]+)?$")]
Count = Annotated[int, Whole(1, MAX_UNITS, "a number")]
Many = Annotated[int, Whole(1, 1_000_000, "a number")]


def _share_of_time(value: Any) -> float:
    if not 0 < (share := number(value)) <= 1:
        raise ValueError(f"must be above 0 and at most 1, not {shown(value)}")
    return share


def _minutes(value: Any) -> float:
    if (every_s := duration(value)) < 300:
        raise ValueError(f"must be at least 5m, not {shown(value)}: providers limit how often they are asked")
    return every_s


def _share_below_one(value: Any) -> float:
    if not 0 <= (share := number(value)) <= 0.9:
        raise ValueError(f"must be between 0 and 0.9, not {shown(value)}")
    return share


def _at_least_one(value: Any) -> float:
    if not 1 <= (factor := number(value)) <= 10:
        raise ValueError(f"must be between 1 and 10, not {shown(value)}")
    return factor


def _years(value: Any) -> float:
    if not 0.1 <= (years := number(value)) <= 30:
        raise ValueError(f"must be between 0.1 and 30, not {shown(value)}")
    return years


class Part(BaseModel):
    """A piece of the configuration: only fields that it has, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnPart(Part):
    """What own hardware costs; all for one node."""

    purchase_usd: Share = Field(description="What it cost to buy.")
    years: Annotated[float, PlainValidator(_years)] = Field(description="How long it is used.")
    residual_usd: Share = Field(0.0, description="What it is sold for at the end.")
    power_w: Share = Field(0.0, description="Watts it draws on average.")
    usd_per_kwh: Share = Field(0.0, description="Price of electricity.")
    pue: Annotated[float, PlainValidator(_at_least_one)] = Field(
        1.0, description="Power of the whole site per power of the machines."
    )
    hosting_usd_per_month: Share = Field(0.0, description="Rack, network, insurance.")
    staff_hours_per_month: Share = Field(0.0, description="Hours that people spend on it.")
    staff_usd_per_hour: Share = Field(0.0, description="What such an hour costs.")
    utilization: Annotated[float, PlainValidator(_share_of_time)] = Field(
        1.0, description="Share of the time it is up and can be used, above 0 and at most 1."
    )


class PricePart(Part):
    """What a pool's nodes or containers cost: exactly one of offer, provider, usd_per_hour and own."""

    offer: Line | None = Field(None, description="Id of an offer of the price book, as `broker prices` lists it.")
    count: Count | None = Field(None, description="How many of the offer a node is worth; default: 1, or its part.")
    provider: Line | None = Field(None, description="All serverless offers of this provider.")
    product: Line | None = Field(None, description="Of these, those of this product; required where there are several.")
    gpus_of: Line | None = Field(
        None, description="GPUs at the price of this product; CPUs and memory stay those of `product`."
    )
    region: Line | None = Field(None, description="Of these, those of this region; required where there are several.")
    usd_per_hour: Rate | None = Field(None, description="Own number: a node, or one GPU of a container, per hour.")
    usd_per_cpu_hour: Rate | None = Field(None, description="Own number: one virtual CPU of a container, per hour.")
    usd_per_gib_hour: Rate | None = Field(None, description="Own number: one GiB of memory of a container, per hour.")
    granularity: Annotated[int, Whole(1, 86_400, "seconds")] = Field(
        1, description="Own number: billed time is rounded up to a multiple of these seconds."
    )
    minimum: Annotated[int, Whole(0, 86_400, "seconds")] = Field(
        0, description="Own number: a node or container is billed at least these seconds."
    )
    source: Line | None = Field(None, description="Where an own number comes from.")
    as_of: date | None = Field(
        None, description="The day from which an own number holds; the day of the configuration file if not given."
    )
    own: OwnPart | None = Field(None, description="Own hardware: its price per hour is computed from these.")


class WarmPart(Part):
    """What the autopilot may make of how a serverless pool's containers are kept warm."""

    least_window: Duration = Field(2.0, description="The shortest scaledown_window that it may set.")
    most_window: Duration = Field(1_200.0, description="The longest.")
    least_containers: Annotated[int, Whole(0, MAX_UNITS, "a number")] = Field(
        0, description="The fewest containers that it may keep up, busy or idle."
    )
    most_containers: Annotated[int, Whole(0, MAX_UNITS, "a number")] = Field(
        0, description="The most that it may keep up, and the most idle ones beside busy ones."
    )
    start_within: Duration | None = Field(
        None, description="Promise: jobs find a ready container within this; default: none is made."
    )
    start_share: Annotated[float, PlainValidator(_share_of_time)] = Field(
        0.95, description="The share of jobs that this is promised to."
    )
    worth: Duration = Field(
        0.0, description="What it is worth not to wait for a container, as seconds that it would run."
    )


class PoolPart(Part):
    """A place that runs attempts."""

    executor: Line = Field(
        description="The plugin that runs attempts: ray, local_serverless, modal, modal_functions, kuberay, "
        "kuberay_jobs, or an installed one."
    )
    kind: Annotated[Literal["cluster", "serverless"], Lower] = Field(
        description="cluster: nodes are paid while up. serverless: containers are paid per second."
    )
    cpus: Cpus | None = Field(None, description="Virtual CPUs of a node, or the most of one container.")
    memory: Size | None = Field(None, description="Memory of a node, or the most of one container.")
    disk: Size | None = Field(None, description="Disk of a node, or the most of one container.")
    accelerators: Accelerators | None = Field(
        None, description="GPUs of a node (L4:2), or the most of one container, of one or several models."
    )
    max_nodes: Count | None = Field(None, description="Nodes at most; cluster pools only.")
    max_containers: Count | None = Field(None, description="Containers at most; serverless pools only.")
    region: str = Field("", description="Where it is; jobs that name regions run only in pools of these.")
    isolation: Annotated[Literal["shared", "dedicated"], Lower] = Field(
        "shared", description="dedicated: no other customer's work runs on its infrastructure."
    )
    emulated: Boolean = Field(False, description="Its accelerators are logical: no GPU is there. Shown wherever it is.")
    price: Annotated[PricePart, BeforeValidator(_price)] | None = Field(
        None, description="What it costs; without it, costs are unknown, and shown as unknown."
    )
    head_price: Annotated[PricePart, BeforeValidator(_price)] | None = Field(
        None,
        description="What a head beside its nodes costs, as a whole; 0 where that is paid anyway; default: not known.",
    )
    scaledown_window: Duration | None = Field(None, description="Idle time after which a container ends; default 60s.")
    keep_warm: WarmPart | None = Field(
        None, description="Between which ways to keep containers warm the autopilot may choose; serverless pools only."
    )
    volumes: Line | None = Field(
        None,
        description="Where its volumes are: local on this machine (default there), a folder that all nodes of a Ray "
        "cluster share, the claim of a KubeRay pool, any name for those at Modal. Pools that say the same share them.",
    )
    cold_start: Duration = Field(0.0, description="Time to a ready node or container, until it has been measured.")
    shared: Boolean | None = Field(
        None,
        description="Its records lie in shared_dir, so that another broker can go on with it; "
        "default: where there is one, and the pool is not of this machine.",
    )
    options: dict[str, Any] = Field({}, description="Settings of the executor itself.")
    nodes: dict[str, Any] | None = Field(None, description="How the machines of a cluster are made at a provider.")


class BrokersPart(Part):
    """Several brokers on one database."""

    lease: LongerThanZero = Field(15.0, description="A broker that is silent for so long is gone: others take over.")
    lost_after: LongerThanZero = Field(
        600.0, description="What only a broker that is gone can reach counts as lost after this."
    )


class AutopilotPart(Part):
    """Whether the broker changes the size of its clusters, and how containers are kept warm, by itself."""

    mode: Annotated[Literal["off", "dry-run", "on"], Lower] = Field(
        "off",
        description="on: clusters get as many nodes, and containers are kept as warm, as pays; dry-run: only says so.",
    )
    every: LongerThanZero = Field(60.0, description="How often it decides.")


class PricesPart(Part):
    """Which providers the broker asks for their prices by itself."""

    refresh: tuple[Annotated[str, Lower], ...] = Field(
        (), description="Providers that are asked for their prices: aws, azure, gcp, modal; none: nobody is."
    )
    every: Annotated[float, PlainValidator(_minutes)] = Field(21_600.0, description="How often; at least 5m.")
    jitter: Annotated[float, PlainValidator(_share_below_one)] = Field(
        0.1, description="Share of that by which it is earlier or later, by chance: 0 to 0.9."
    )
    regions: dict[Line, tuple[Line, ...]] = Field(
        {}, description="By provider: the regions asked for; default: those in which prices are known."
    )
    project: Line | None = Field(None, description="Google Cloud: whose machine types are listed.")


class AdmissionPart(Part):
    """Which hooks may change or refuse jobs before they are stored."""

    hooks: list[Line] = Field([], description="Installed admission hooks, in the order in which they are asked.")
    timeout: LongerThanZero = Field(5.0, description="How long a hook may take; then the job is refused.")


class AuditPart(Part):
    """Who did what."""

    keep: LongerThanZero = Field(400 * 86_400.0, description="How long entries of the audit log are kept.")


class LogsPart(Part):
    """How much of what jobs write is kept."""

    max_stream: Size = Field(10 * 10**9, description="The most that is kept of one stream of one attempt.")
    keep: LongerThanZero = Field(30 * 86_400.0, description="How long logs of ended jobs are kept.")
    max_blobs: Size = Field(50 * 10**9, description="The most that functions and arguments of calls take together.")


class LimitsPart(Part):
    """How much each user may ask of the API. The socket of the owner has no limits."""

    requests_per_second: LongerThanZero = Field(200.0, description="Requests of one user in the long run.")
    burst: Many = Field(1_000, description="Requests of one user at once, after a quiet time.")
    streams: Many = Field(1_000, description="Answers of one user that follow a job or events, at once.")
    failures_per_minute: Many = Field(60, description="Requests from one address whose token is missing or wrong.")
    files: list[Line] = Field([], description="Folders whose files jobs may name, of tokens that are not `admin`.")


class SecretsPart(Part):
    """Where the values of secrets come from that the store does not have, and the keys of those that it has."""

    env_prefix: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] = Field(
        "BROKER_SECRET_", description="A secret NAME is the environment variable of this prefix and NAME."
    )
    file: Line | None = Field(None, description="A file of lines NAME=value; its mode must be 600.")
    key_command: Line | None = Field(
        None,
        description="A command that writes the keys of stored secrets; by default they are in the state folder.",
    )


class NotifyPart(Part):
    """Who is told of what happens, by a webhook."""

    url_secret: Line = Field(description="Name of the secret that holds the address that events are posted to.")
    events: list[EventKind] = Field(
        ["job.failed", "plan.proposal", "schedule.refused", "schedule.missed", "budget"],
        description="Kinds of events, or what they begin with: job, job.failed, plan, schedule, budget.",
    )
    format: Literal["json", "slack"] = Field("json", description="slack: as Slack's incoming webhooks take messages.")
    signing_secret: Line | None = Field(
        None, description="Name of the secret that bodies are signed with, in the header Broker-Signature."
    )


def _tag(value: Any) -> tuple[str, str]:
    key, _, content = str(value).partition("=")
    if not (key and content):
        raise ValueError(f"must be KEY=VALUE, not {shown(value)}")
    return key, content


class BudgetPart(Part):
    """How much may be spent by whom, on what, and what happens when it is; what it is for must fit in each way."""

    limit: Usd = Field(description="Dollars in one period.")
    period: Annotated[Literal["day", "week", "month", "total"], Lower] = Field(
        "month", description="How often it begins anew, at midnight UTC (weeks on Monday); total: never."
    )
    action: Annotated[Literal["warn", "hold", "refuse"], Lower] = Field(
        "hold",
        description="Of jobs that it has no room for: warn lets them run, hold keeps them queued, refuse takes none.",
    )
    user: Line | None = Field(None, description="Only jobs of this user.")
    pool: Line | None = Field(None, description="Only what this pool costs.")
    project: ProjectName | None = Field(None, description="Only jobs of this project.")
    tag: Annotated[tuple[str, str], PlainValidator(_tag)] | None = Field(
        None, description="Only jobs with this tag, KEY=VALUE."
    )
    stop_running: Boolean = Field(False, description="Cancel jobs that run once the limit is spent.")


class SettingsDocument(Part):
    """The configuration of a broker."""

    state_dir: Line | None = Field(
        None,
        description="Folder of all that is kept; default $XDG_STATE_HOME/broker or ~/.local/state/broker.",
    )
    store_url: Line | None = Field(
        None, description="The store: a sqlite:/// or postgresql:// URL; default: SQLite in state_dir."
    )
    shared_dir: Line | None = Field(
        None, description="Folder that all brokers of the database see; default: none, and each keeps its own."
    )
    brokers: BrokersPart = Field(BrokersPart(), description="How several brokers share a database.")
    listen: Annotated[str, PlainValidator(_listen)] = Field(
        "unix", description="Where it answers: unix (a socket in state_dir) or loopback:PORT (with a token file)."
    )
    dashboard: Annotated[str, PlainValidator(_dashboard)] = Field(
        "loopback:0", description="Where browsers find the dashboard, beside a Unix socket: loopback:PORT, or off."
    )
    user: Line | None = Field(None, description="Whose jobs these are, where nothing else says; default: login name.")
    default_max_wait: Duration | None = Field(
        None,
        description="How long jobs that do not say may wait for cheaper capacity; default: as long as that is worth.",
    )
    spot_rule: Literal["cheapest", "uniform_progress"] = Field(
        "cheapest", description="How jobs with a deadline use spot: whenever it adds least, or by uniform progress."
    )
    stale_price_days: Annotated[int, Whole(1, 3_660, "a number of days")] = Field(
        90, description="Prices older than this are flagged wherever they are used."
    )
    settle_every: LongerThanZero = Field(10.0, description="How often usage is charged.")
    autopilot: AutopilotPart = Field(AutopilotPart(), description="Whether pools are steered as pays.")
    prices: PricesPart = Field(PricesPart(), description="Which providers are asked for their prices.")
    admission: AdmissionPart = Field(AdmissionPart(), description="Which hooks jobs have to pass.")
    audit: AuditPart = Field(AuditPart(), description="How long it is known who did what.")
    limits: LimitsPart = Field(LimitsPart(), description="How much each user may ask of the API.")
    logs: LogsPart = Field(LogsPart(), description="How much of what jobs write is kept.")
    notify: dict[Annotated[str, PlainValidator(_receiver_name)], NotifyPart] = Field(
        {}, description="Who is told of what happens, by name."
    )
    secrets: SecretsPart = Field(SecretsPart(), description="Where the values of secrets come from.")
    budgets: dict[Annotated[str, PlainValidator(_budget_name)], BudgetPart] = Field(
        {}, description="How much may be spent, by name."
    )
    pools: dict[Annotated[str, PlainValidator(_pool_name)], PoolPart] = Field(
        {}, description="The places that run attempts, by name; default: pools of this machine."
    )
