"""Files of other systems → our table of jobs: Slurm, Standard Workload Format, Ray, Kubernetes, request logs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pandas as pd

from broker.model.errors import InvalidInput, Problem

COLUMNS = ["submit_s", "duration_s", "gpus", "user", "kind", "gpu_type"]
_GRES = re.compile(r"gres/gpu(?::([A-Za-z0-9_.-]+))?=(\d+)")
_SWF_FIELDS = 18
# What a request holds a GPU for: tokens read and written a second, of one of the requests that share a GPU.
PREFILL_TOKENS_PER_S = 8_000.0
DECODE_TOKENS_PER_S = 40.0
REQUESTS_PER_GPU = 16


def slurm(text: str, name: str) -> pd.DataFrame:
    """`sacct --parsable2 --allusers -o JobID,User,Submit,Start,End,State,AllocTRES`: jobs, not their steps.

    A job is counted from its start; one that still runs has no end and is left out, as is one that never started.
    """
    table = _separated(text, name, "|")
    _require(table, ("JobID", "Start", "End", "AllocTRES"), name)
    rows = []
    for row in table.itertuples(index=False):
        began, ended = _time(row.Start), _time(row.End)
        gpus = {model or "": int(count) for model, count in _GRES.findall(str(row.AllocTRES))}
        if "." in str(row.JobID) or began is None or ended is None or not gpus:
            continue
        model = next((each for each in gpus if each), "")
        rows.append((began, ended - began, max(gpus.values()), str(getattr(row, "User", "")), "slurm", model))
    return _table(rows, name)


def swf(text: str, name: str) -> pd.DataFrame:
    """The Standard Workload Format (Feitelson): 18 numbers a line, `;` before comments; processors stand for GPUs."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        fields = line.split()
        if len(fields) != _SWF_FIELDS:
            raise InvalidInput(Problem(file=name, line=number, message=f"{len(fields)} fields, not {_SWF_FIELDS}"))
        submit, wait, run, processors = (float(field) for field in fields[1:5])
        if run > 0 and processors > 0:
            rows.append((submit + max(wait, 0.0), run, processors, f"user{fields[11]}", f"queue{fields[14]}", ""))
    return _table(rows, name)


def ray(text: str, name: str) -> pd.DataFrame:
    """Ray's job list (`GET /api/jobs/`): times in milliseconds; GPUs are those of the entrypoint."""
    rows = []
    for job in _json(text, name, list):
        began, ended, gpus = job.get("start_time"), job.get("end_time"), job.get("entrypoint_num_gpus") or 0
        if began and ended and gpus:
            user = str((job.get("metadata") or {}).get("user", ""))
            rows.append((began / 1e3, (ended - began) / 1e3, gpus, user, "ray", ""))
    return _table(rows, name)


def kubernetes(text: str, name: str) -> pd.DataFrame:
    """`kubectl get pods -A -o json`: pods that asked for nvidia.com/gpu and have ended, by namespace."""
    rows = []
    for pod in _json(text, name, dict).get("items", []):
        status, spec = pod.get("status", {}), pod.get("spec", {})
        gpus = sum(
            int(c.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0)) for c in spec.get("containers", [])
        )
        ends = [
            each["state"]["terminated"]["finishedAt"]
            for each in status.get("containerStatuses", [])
            if each.get("state", {}).get("terminated", {}).get("finishedAt")
        ]
        began = _time(status.get("startTime"))
        if gpus and began is not None and ends:
            ended = max(time for end in ends if (time := _time(end)) is not None)
            model = str(spec.get("nodeSelector", {}).get("nvidia.com/gpu.product", ""))
            rows.append((began, ended - began, gpus, pod.get("metadata", {}).get("namespace", ""), "pod", model))
    return _table(rows, name)


def broker(text: str, name: str) -> pd.DataFrame:
    """The broker's own history, `broker list --tasks --limit 1000000 --json`: jobs with GPUs that have ended."""
    rows = []
    for job in _json(text, name, dict).get("items", []):
        began, ended = _time(job.get("started_at")), _time(job.get("ended_at"))
        model, _, count = str(job.get("gpus", "")).split(" or ")[0].rpartition(":")
        if began is not None and ended is not None and count:
            gpus = float(count) * int(job.get("num_nodes", 1))
            rows.append((began, ended - began, gpus, job.get("user", ""), job.get("name", ""), model))
    return _table(rows, name)


def requests(text: str, name: str) -> pd.DataFrame:
    """A log of requests: arrival_s (or TIMESTAMP), context_tokens, generated_tokens.

    Each holds a part of a GPU while it is served: the service-time model is that of the constants above.
    """
    names = {"ContextTokens": "context_tokens", "GeneratedTokens": "generated_tokens"}
    table = _separated(text, name, ",").rename(columns=names)
    if "TIMESTAMP" in table:
        times = pd.to_datetime(table["TIMESTAMP"], format="ISO8601", utc=True)
        table["arrival_s"] = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    _require(table, ("arrival_s", "context_tokens", "generated_tokens"), name)
    began = table["arrival_s"]
    served = table["context_tokens"] / PREFILL_TOKENS_PER_S + table["generated_tokens"] / DECODE_TOKENS_PER_S
    columns = {"submit_s": began, "duration_s": served, "gpus": 1 / REQUESTS_PER_GPU, "user": "", "kind": "request"}
    return _from_zero(pd.DataFrame(columns | {"gpu_type": ""}), name)


FORMATS: dict[str, Callable[[str, str], pd.DataFrame]] = {
    "slurm": slurm,
    "swf": swf,
    "ray": ray,
    "kubernetes": kubernetes,
    "broker": broker,
    "requests": requests,
}


def recognise(text: str) -> str | None:
    """Which format a file is in, by its beginning; None where that does not tell."""
    head = text[:4_000].lstrip()
    first = head.splitlines()[0] if head else ""
    if first.startswith("JobID") and "|" in first:
        return "slurm"
    if first.startswith("TIMESTAMP,") or "context_tokens" in first:
        return "requests"
    if head.startswith("["):
        return "ray"
    if head.startswith("{") and '"items"' in head:
        return "broker" if '"submitted_at"' in head or '"next_cursor"' in head else "kubernetes"
    body = next((line for line in head.splitlines() if line and not line.startswith(";")), "")
    return "swf" if len(body.split()) == _SWF_FIELDS else None


def _table(rows: list[tuple[Any, ...]], name: str) -> pd.DataFrame:
    return _from_zero(pd.DataFrame(rows, columns=COLUMNS), name)


def _from_zero(table: pd.DataFrame, name: str) -> pd.DataFrame:
    table = table[table["duration_s"] > 0]
    if table.empty:
        raise InvalidInput(Problem(file=name, message="there is no ended job with GPUs in it"))
    table = table.sort_values("submit_s", kind="stable", ignore_index=True)
    midnight = table["submit_s"].iloc[0] // 86_400 * 86_400  # so that hours of the day stay hours of the day
    return table.assign(submit_s=table["submit_s"] - midnight)


def _separated(text: str, name: str, separator: str) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(text), sep=separator)
    except ValueError as error:
        raise InvalidInput(Problem(file=name, message=f"can't be read: {error}")) from None


def _require(table: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InvalidInput(Problem(file=name, line=1, message=f"no column {', '.join(missing)}"))


def _json(text: str, name: str, kind: type) -> Any:
    try:
        found = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise InvalidInput(Problem(file=name, line=line, message=f"is no JSON: {error}")) from None
    if not isinstance(found, kind):
        raise InvalidInput(Problem(file=name, message=f"is a JSON {type(found).__name__}, not a {kind.__name__}"))
    return found


def _time(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None  # Slurm writes Unknown and None for what has not happened
