"""`JobDocument` → the `JobSpec` that is placed and run, and the JSON that the store keeps of what was written."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import PurePath
from typing import Any, Final

from broker.model.errors import InvalidInput, Problem, StoreError
from broker.model.jobs import Cause, FunctionCall, JobSpec, RetryPolicy
from broker.model.pools import Isolation
from broker.model.projects import DEFAULT_PROJECT
from broker.model.resources import ResourceRequest
from broker.spec.check import World, contradictions
from broker.spec.document import JobDocument
from broker.spec.quantities import deadline_ns, deadline_text
from broker.spec.source import dotted

FORMAT: Final = 1

_INTERPRETERS: Final = frozenset(
    {"bash", "env", "exec", "python", "python3", "sh", "time", "uv", "torchrun", "accelerate"}
)
_QUOTING: Final = frozenset("\"'\\")


def check(document: JobDocument, world: World) -> None:
    """Raises `InvalidInput` with everything that contradicts itself or does not exist."""
    found = [Problem(message=message, field=dotted(keys)) for keys, message in contradictions(document, world)]
    if found:
        raise InvalidInput(*found)


def resolve(document: JobDocument, now_ns: int) -> JobDocument:
    """The document as submitted at `now_ns`: a deadline of `+6h` becomes a time."""
    if document.deadline is None:
        return document
    return document.model_copy(update={"deadline": deadline_text(deadline_ns(document.deadline, now_ns))})


def to_spec(document: JobDocument, now_ns: int) -> JobSpec:
    """The value that is placed and run, for a document submitted at `now_ns`. Raises `InvalidInput`."""
    check(document, World(now_ns=now_ns))
    job = resolve(document, now_ns)
    function = job.function
    return JobSpec(
        name=job.name or default_name(job),
        run=job.run,
        argv=job.argv,
        function=FunctionCall(**function.model_dump()) if function else None,
        setup=job.setup,
        requirements=job.requirements,
        system_packages=job.system_packages or (),
        workdir=job.workdir,
        file_mounts=job.file_mounts,
        volumes=job.volumes,
        envs=job.envs,
        secrets=tuple(dict.fromkeys(job.secrets)),
        secret_files=job.secret_files,
        image=job.image,
        resources=_request(job),
        max_duration_s=job.max_duration,
        checkpoint_every_s=job.checkpoint_every,
        retry=_retry(job),
        deadline_ns=deadline_ns(job.deadline, now_ns) if job.deadline else None,
        max_wait_s=job.max_wait,
        est_runtime_s=job.est_runtime,
        max_cost_usd=job.max_cost,
        array_size=job.array,
        matrix=job.matrix,
        project=job.project or DEFAULT_PROJECT,
        tags=job.tags,
        priority=job.priority,
        client_id=job.id,
        pools_allowed=job.placement.pools,
        pools_denied=job.placement.not_pools,
        regions=job.placement.regions,
        isolation=Isolation(job.placement.isolation),
        runtime=job.placement.runtime,
    )


def default_name(document: JobDocument) -> str:
    """A name from the command: the script that an interpreter runs, else the program."""
    if document.function:
        return document.function.name.rsplit(".", 1)[-1]
    words = document.argv or _words(document.run or "")
    for word in words:
        name = PurePath(word).name
        if word.endswith((".py", ".sh")) or (name and name not in _INTERPRETERS and not word.startswith("-")):
            return "".join(char for char in name if char.isalnum() or char in "._-")[:100].lstrip("._-") or "job"
        if word.startswith("-") and word not in ("-m", "-u"):
            break
    return PurePath(words[0]).name if words else "job"


def _words(script: str) -> list[str]:
    lines = [line.strip() for line in script.splitlines()]
    line = next((line for line in lines if line and not line.startswith(("#", "set "))), "")
    try:
        return shlex.split(line) if _QUOTING & set(line) else line.split()
    except ValueError:
        return line.split()


def _request(job: JobDocument) -> ResourceRequest:
    wanted = job.resources
    gpus = wanted.accelerators
    return ResourceRequest(
        gpu_choices=gpus.choices if gpus else (),
        gpu_ordered=gpus.ordered if gpus else False,
        cpus=wanted.cpus,
        memory_bytes=wanted.memory,
        disk_bytes=wanted.disk,
        num_nodes=wanted.num_nodes,
        spot_policy=wanted.spot_policy,
        max_hourly_cost=wanted.max_hourly_cost,
        extra=wanted.extra,
    )


def _retry(job: JobDocument) -> RetryPolicy:
    return RetryPolicy(
        on=frozenset(Cause(event.replace("-", "_")) for event in job.retry.on_events),
        max_attempts=job.retry.max_attempts,
        backoff_s=job.retry.backoff,
        max_backoff_s=job.retry.max_backoff,
        within_s=job.retry.duration,
    )


def dump(document: JobDocument) -> str:
    """Canonical JSON that the store keeps: the same document gives the same text."""
    body: dict[str, Any] = {"format": FORMAT, **document.model_dump(mode="json", exclude_none=True)}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def fingerprint(dumped: str) -> str:
    """A hash of a document as it was dumped, `+6h` as it stands: submitting the same file again has the same one."""
    return hashlib.sha256(dumped.encode()).hexdigest()


def load(text: str) -> JobDocument:
    """The document that `dump` wrote. Raises StoreError when it is damaged or of a format that is not known."""
    try:
        body = json.loads(text)
        if body.pop("format") != FORMAT:
            raise StoreError(f"a stored job is not of format {FORMAT}, the only one known: upgrade the broker")
        return JobDocument.model_validate(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"a stored job can't be read: {error}") from error
