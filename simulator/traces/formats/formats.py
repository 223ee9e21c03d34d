"""Which formats there are, and how one is recognised by its beginning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pandas as pd

from simulator.traces.formats.broker_history import broker_history
from simulator.traces.formats.kubernetes_pods import kubernetes_pods
from simulator.traces.formats.modal_report import modal_report
from simulator.traces.formats.own import own
from simulator.traces.formats.ray_jobs import ray_jobs
from simulator.traces.formats.request_log import request_log
from simulator.traces.formats.slurm import slurm
from simulator.traces.formats.source import Source
from simulator.traces.formats.swf import FIELDS, swf

FORMATS: Mapping[str, Callable[[Source], pd.DataFrame]] = MappingProxyType(
    {
        "jobs": own,
        "slurm": slurm,
        "swf": swf,
        "ray": ray_jobs,
        "kubernetes": kubernetes_pods,
        "modal": modal_report,
        "broker": broker_history,
        "requests": request_log,
    }
)


def recognise(head: str) -> str | None:
    """Which format a file is in, by its beginning; None where that does not tell."""
    head = head.lstrip("\ufeff \n\r\t")
    first = head.splitlines()[0] if head else ""
    if "submit_s" in first and "duration_s" in first:
        return "jobs"
    if first.startswith("JobID") and "|" in first:
        return "slurm"
    if first.startswith("Object ID,"):
        return "modal"
    if first.startswith("TIMESTAMP,") or "context_tokens" in first:
        return "requests"
    if head.startswith("["):
        return "ray"
    if head.startswith("{") and '"items"' in head:
        return "broker" if '"submitted_at"' in head or '"next_cursor"' in head else "kubernetes"
    body = next((line for line in head.splitlines() if line and not line.startswith(";")), "")
    return "swf" if len(body.split()) == FIELDS else None
