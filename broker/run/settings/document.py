"""What people write in the configuration, as one model; TOML, YAML and the environment are all read into it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from broker.run.settings import fields
from broker.run.settings.fields import EventKind, Many
from broker.run.settings.pool_document import PoolPart
from broker.spec.document import Part
from broker.spec.fields import Boolean, Duration, Line, LongerThanZero, Lower, ProjectName, Size, Usd, Whole


class BrokersPart(Part):
    """How several brokers share one database."""

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
    every: Annotated[float, PlainValidator(fields.refresh_interval)] = Field(
        21_600.0, description="How often; at least 5m."
    )
    jitter: Annotated[float, PlainValidator(fields.jitter)] = Field(
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
    """How long it is known who did what."""

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
    tag: Annotated[tuple[str, str], PlainValidator(fields.tag)] | None = Field(
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
    listen: Annotated[str, PlainValidator(fields.listen_address)] = Field(
        "unix", description="Where it answers: unix (a socket in state_dir) or loopback:PORT (with a token file)."
    )
    dashboard: Annotated[str, PlainValidator(fields.dashboard_address)] = Field(
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
    notify: dict[Annotated[str, PlainValidator(fields.receiver_name)], NotifyPart] = Field(
        {}, description="Who is told of what happens, by name."
    )
    secrets: SecretsPart = Field(SecretsPart(), description="Where the values of secrets come from.")
    budgets: dict[Annotated[str, PlainValidator(fields.budget_name)], BudgetPart] = Field(
        {}, description="How much may be spent, by name."
    )
    pools: dict[Annotated[str, PlainValidator(fields.pool_name)], PoolPart] = Field(
        {}, description="The places that run attempts, by name; default: pools of this machine."
    )
