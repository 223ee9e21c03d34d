"""Launch requests: an attempt and its job → all that an executor needs, secrets and payload included.

The values of secrets go from their source into the request, and nowhere else.
"""

from __future__ import annotations

from broker.decide.expand import task_count
from broker.model.jobs import Attempt, Job, LaunchRequest
from broker.ports import SecretSource, Store


def launch_request(job: Job, attempt: Attempt, store: Store, secrets: SecretSource) -> LaunchRequest:
    """The request for one attempt. Raises `UnknownName` when a secret has no value or the payload is gone."""
    values = secrets.values(job.spec.secrets)
    call = job.spec.function
    return LaunchRequest(
        attempt_id=attempt.id,
        job_id=job.id,
        spec=job.spec,
        resources=attempt.resources,
        envs={**job.spec.envs, **job.task_envs, **values, **_broker_envs(job, attempt)},
        secret_names=frozenset(values),
        function_payload=store.blob(call.blob) if call else None,
    )


def _broker_envs(job: Job, attempt: Attempt) -> dict[str, str]:
    envs = {
        "BROKER_JOB_ID": job.id,
        "BROKER_ATTEMPT_ID": attempt.id,
        "BROKER_ATTEMPT": str(attempt.number),
        "BROKER_POOL": attempt.pool,
    }
    if job.array_index is not None:
        envs["BROKER_ARRAY_ID"] = job.array_id or job.id
        envs["BROKER_ARRAY_INDEX"] = str(job.array_index)
        envs["BROKER_ARRAY_SIZE"] = str(task_count(job.spec))
    return envs
