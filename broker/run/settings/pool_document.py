"""What people write about a pool in the configuration, as models: what it has, what it costs, how it is kept warm."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator

from broker.run.settings import fields
from broker.run.settings.fields import MAX_UNITS, Count
from broker.spec.document import Part
from broker.spec.fields import Accelerators, Boolean, Cpus, Duration, Line, Lower, Rate, Share, Size, Whole


class OwnPart(Part):
    """What own hardware costs; all for one node."""

    purchase_usd: Share = Field(description="What it cost to buy.")
    years: Annotated[float, PlainValidator(fields.years)] = Field(description="How long it is used.")
    residual_usd: Share = Field(0.0, description="What it is sold for at the end.")
    power_w: Share = Field(0.0, description="Watts it draws on average.")
    usd_per_kwh: Share = Field(0.0, description="Price of electricity.")
    pue: Annotated[float, PlainValidator(fields.pue)] = Field(
        1.0, description="Power of the whole site per power of the machines."
    )
    hosting_usd_per_month: Share = Field(0.0, description="Rack, network, insurance.")
    staff_hours_per_month: Share = Field(0.0, description="Hours that people spend on it.")
    staff_usd_per_hour: Share = Field(0.0, description="What such an hour costs.")
    utilization: Annotated[float, PlainValidator(fields.share_of_time)] = Field(
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
    start_share: Annotated[float, PlainValidator(fields.share_of_time)] = Field(
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
    price: Annotated[PricePart, BeforeValidator(fields.price)] | None = Field(
        None, description="What it costs; without it, costs are unknown, and shown as unknown."
    )
    head_price: Annotated[PricePart, BeforeValidator(fields.price)] | None = Field(
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
