"""What executors are given, each in one call: a valid job, a launch request, a pool, an offer."""

from __future__ import annotations

import secrets
from datetime import date
from decimal import Decimal
from typing import Any, Final

from broker.model.jobs import JobSpec, LaunchRequest
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources

SMALL: Final = Resources(cpus=0.5, memory_bytes=GIB // 4)  # enough for a shell or a Python function


def job_spec(run: str | None = None, **fields: Any) -> JobSpec:
    """A job that runs a shell script; `true` where nothing else is said."""
    if run is None and not fields.get("argv") and not fields.get("function"):
        run = "true"
    return JobSpec(name=fields.pop("name", "work"), run=run, **fields)


def launch_request(run: str | None = None, **fields: Any) -> LaunchRequest:
    """A request under an id of its own; fields of the request, and of its job where it has none of that name."""
    attempt_id = fields.pop("attempt_id", f"j-{secrets.token_hex(6)}-a1")
    job_id = attempt_id.rpartition("-")[0]
    request: dict[str, Any] = {
        "resources": SMALL,
        "envs": {},
        "secret_names": frozenset[str](),
        "secret_files": frozenset[str](),
        "function_payload": None,
        "in_line": False,
    }
    request |= {name: fields.pop(name) for name in list(fields) if name in request and name != "resources"}
    held = fields.pop("resources", SMALL)
    envs = {**request.pop("envs"), "BROKER_JOB_ID": job_id, "BROKER_ATTEMPT_ID": attempt_id}
    spec = fields.pop("spec", None) or job_spec(run, **fields)
    return LaunchRequest(attempt_id=attempt_id, job_id=job_id, spec=spec, envs=envs, **{**request, "resources": held})


def pool(name: str = "pool", **fields: Any) -> Pool:
    """A serverless pool of two small containers; fields of `Pool` change it."""
    values: dict[str, Any] = {
        "kind": PoolKind.SERVERLESS,
        "executor": "fake",
        "unit": Resources(cpus=2.0, memory_bytes=2 * GIB),
        "max_units": 2,
        "scaledown_window_s": 10.0,
    }
    return Pool(name=name, **values | fields)


def offer(offer_id: str = "acme/cloud/n1/eu/on_demand", **fields: Any) -> Offer:
    """A node without a GPU at a dollar an hour; fields of `Offer` change it."""
    provider, product, sku, region, tier = offer_id.split("/")
    values: dict[str, Any] = {
        "provider": provider,
        "product": product,
        "sku": sku,
        "region": region,
        "tier": Tier(tier),
        "gpu_model": "",
        "gpu_count": 0.0,
        "cpus": 2.0,
        "memory_gib": 2.0,
        "usd_per_hour": Decimal(1),
        "valid_from": date(2026, 1, 1),
        "source": "a test",
    }
    return Offer(id=offer_id, **values | fields)
