"""Options of a KubeRay pool, as its configuration has them, checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from broker.model.errors import Misconfigured
from broker.model.jobs import CHECKPOINT_GRACE_S, JobSpec

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_CLAIM: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LONGEST_CLUSTER: Final = 47  # characters, which KubeRay needs for the names of a cluster's services


class Options(BaseModel):
    """Settings of a KubeRay pool; what a worker has, and how many there may be, is said by the pool itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    image: str  # with Ray and python3: of head, workers and submitters
    namespace: str = "default"
    kubeconfig: str = ""  # a file; empty: KUBECONFIG, ~/.kube/config, or the service account of the broker's own pod
    context: str = ""  # of the kubeconfig; empty: its current one
    cluster: str = ""  # name of the RayCluster; empty: broker- and the pool's name
    ray_version: str = ""  # of the image, where KubeRay needs to be told
    head_cpus: float = Field(default=2.0, gt=0)
    head_memory_gib: float = Field(default=8.0, gt=0)
    gpu_resource: str = "nvidia.com/gpu"  # what a worker's GPUs are called by the device plugin
    service_account: str = ""  # of all pods
    image_pull_secrets: list[str] = []
    node_selector: dict[str, str] = {}  # of the workers
    tolerations: list[dict[str, Any]] = []  # of the workers
    queue: str = ""  # Kueue's local queue, which admits the RayCluster
    priority_class: str = ""  # of all pods
    labels: dict[str, str] = {}  # more, of all resources
    worker_pod: dict[str, Any] = {}  # merged into the pod spec of the workers
    head_pod: dict[str, Any] = {}  # merged into that of the head and of the submitters
    pip: list[str] = []  # Python packages in every job's environment
    python: str = PYTHON  # of the image: functions are pickled by the same version only
    grace_s: float = Field(default=5.0, gt=0)  # between SIGTERM and SIGKILL of a command that is cancelled or late
    start_within_s: float = Field(default=600.0, gt=0)  # how long a RayJob may take to begin, before the next pool
    patience_s: float = Field(default=30.0, gt=0)  # how long a call is made again while the API server does not answer

    @field_validator("grace_s", "start_within_s", "patience_s", "head_cpus", "head_memory_gib", mode="before")
    @classmethod
    def _whole_numbers_too(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def of(cls, pool: str, given: Mapping[str, Any]) -> Self:
        """Raises `Misconfigured` for an unknown option or an impossible value."""
        try:
            options = cls.model_validate(dict(given))
        except ValidationError as error:
            raise Misconfigured(f"pool {pool}: {_first_problem(error, cls)}") from None
        name = options.cluster_of(pool)
        if not _LABEL.fullmatch(name) or len(name) > _LONGEST_CLUSTER:
            raise Misconfigured(
                f"pool {pool}: {name!r} can't be a RayCluster's name: say option cluster, at most {_LONGEST_CLUSTER} "
                "lower-case letters, digits and hyphens, of which the first is a letter"
            )
        return options

    def grace_of(self, spec: JobSpec) -> float:
        """The time between SIGTERM and SIGKILL for a job's command; one that keeps checkpoints has enough for that."""
        return max(self.grace_s, CHECKPOINT_GRACE_S) if spec.checkpoint_every_s else self.grace_s

    def cluster_of(self, pool: str) -> str:
        """The name of the pool's RayCluster."""
        return self.cluster or f"broker-{pool.replace('_', '-').lower()}"


class SharedOptions(Options):
    """Settings of a pool whose attempts share a RayCluster."""

    initial_workers: int = Field(default=1, ge=0)  # of a new cluster, until a plan says otherwise


def check_claim(pool: str, claim: str) -> None:
    """Raises `Misconfigured` for what can't be the name of a PersistentVolumeClaim."""
    if claim and not _CLAIM.fullmatch(claim):
        raise Misconfigured(f"pool {pool}: volumes must name a PersistentVolumeClaim of its namespace, not {claim!r}")


def _first_problem(error: ValidationError, options: type[Options]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"no option {name!r} of a kuberay pool; there are: {', '.join(options.model_fields)}"
    if first["type"] == "missing":
        return f"option {name} is missing"
    return f"option {name}: {first['msg'][0].lower()}{first['msg'][1:]}"
