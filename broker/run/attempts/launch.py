"""Launch requests: an attempt and its job → all that an executor needs, secrets and payload included.

The values of secrets go from their source into the request, and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace

from broker.decide.expand import task_count
from broker.model.jobs import JobSpec, LaunchRequest
from broker.ports import SecretSource
from broker.run.attempts.blobs import Blobs
from broker.run.attempts.live import Held
from broker.run.attempts.payloads import payload


def launch_request(held: Held, blobs: Blobs, secrets: SecretSource) -> LaunchRequest:
    """The request for one attempt. Raises `UnknownName` when a secret has no value or the payload is gone."""
    job, attempt = held.job, held.attempt
    values = _secrets(job.spec, secrets)
    call = job.spec.function
    return LaunchRequest(
        attempt_id=attempt.id,
        job_id=job.id,
        spec=replace(job.spec, max_duration_s=_most_s(held)),
        resources=attempt.resources,
        envs={**job.spec.envs, **job.task_envs, **values, **_broker_envs(held)},
        secret_names=frozenset(values),
        secret_files=frozenset(job.spec.secret_files),
        function_payload=payload(call, job.array_index or 0, blobs) if call else None,
        in_line=held.in_line,
    )


def _secrets(spec: JobSpec, secrets: SecretSource) -> dict[str, str]:
    """Variables of the job → values of secrets, of those in files as well."""
    values = secrets.values(spec.named_secrets)
    in_variables = {name: values[name] for name in spec.secrets}
    return in_variables | {variable: values[name] for variable, name in spec.secret_files.items()}


def _most_s(held: Held) -> float | None:
    """How long it may run: as its job says, and no longer than the job's max_cost pays for."""
    limits = (held.job.spec.max_duration_s, held.quote.affordable_s if held.quote else None)
    return min((limit for limit in limits if limit is not None), default=None)


def _broker_envs(held: Held) -> dict[str, str]:
    job, attempt = held.job, held.attempt
    envs = {
        "BROKER_JOB_ID": job.id,
        "BROKER_ATTEMPT_ID": attempt.id,
        "BROKER_ATTEMPT": str(attempt.number),
        "BROKER_POOL": attempt.pool,
    }
    if (most_s := _most_s(held)) is not None:
        envs["BROKER_TIME_LIMIT_S"] = f"{most_s:.3f}"
    if job.array_index is not None:
        envs["BROKER_ARRAY_ID"] = job.array_id or job.id
        envs["BROKER_ARRAY_INDEX"] = str(job.array_index)
        envs["BROKER_ARRAY_SIZE"] = str(task_count(job.spec))
    return envs
