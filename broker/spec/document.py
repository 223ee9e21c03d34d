"""What people write about a job, as one model: YAML, flags and Python are all read into `JobDocument`.

Other tools' names are translated by `broker.spec.adopt` before; `broker.spec.build` makes the value that runs.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from broker.model.jobs import RetryPolicy
from broker.spec.adopt import adopt
from broker.spec.fields import (
    Accelerators,
    Amounts,
    Cpus,
    Deadline,
    Duration,
    EnvName,
    Envs,
    Image,
    Line,
    LongerThanZero,
    Lower,
    Mounts,
    ProjectName,
    Requirement,
    Script,
    SecretFiles,
    Size,
    SystemPackage,
    Tags,
    Text,
    Usd,
    Volumes,
    Whole,
)
from broker.spec.quantities import shown
from broker.spec.source import dotted

ADOPTED: Final = object()  # context of a validation: what is validated is in our own names already
MAX_TASKS: Final = 100_000
MAX_NODES: Final = 1_000
MAX_ATTEMPTS: Final = 100
RETRY_OF: Final = "retry_of"  # the tag that names the job before
SCHEDULE: Final = "schedule"  # the tag that names the schedule of a job
ADDED_TAGS: Final = frozenset({RETRY_OF, SCHEDULE})  # by the broker

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAME: Final = re.compile(r"\w[\w ._/@+=:-]{0,99}")
_DEFAULT_RETRY: Final = RetryPolicy()

Event = Annotated[Literal["no-capacity", "interruption", "error"], Lower]
SpotPolicy = Annotated[Literal["auto", "spot", "on-demand"], Lower]


def _id(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"must be 1 to 63 of a-z, 0-9, and inside also '.', '_' and '-', not {shown(value)}")
    if re.search(r"\.\d+$", value):
        raise ValueError(f"{value} looks like a task of an array: it may not end in a dot and a number")
    return str(value)


def _name(value: Any) -> str:
    if not _NAME.fullmatch(found := str(value).strip()):
        raise ValueError(f"must be 1 to 100 letters, digits, spaces and ._/@+=:- not {shown(value)}")
    return found


def _only_tasks(value: Any) -> Any:
    if value in ("service", "dev-environment"):
        raise ValueError(f"{value} is not run here, only jobs that end: task")
    return value


Name = Annotated[str, PlainValidator(_name), WithJsonSchema({"type": "string"})]
Id = Annotated[str, PlainValidator(_id), WithJsonSchema({"type": "string", "pattern": f"^{_ID.pattern}$"})]


class Part(BaseModel):
    """A piece of a document: only fields that it has, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResourcesPart(Part):
    """What each node of a job asks for."""

    accelerators: Accelerators | None = Field(
        None, description="GPUs of each node: a map is any of them, a list is in order of preference."
    )
    cpus: Cpus | None = Field(None, description="Virtual CPUs of each node; a lower bound.")
    memory: Size | None = Field(None, description="Memory of each node; GB where no unit is given; a lower bound.")
    disk: Size | None = Field(None, description="Disk of each node; GB where no unit is given; a lower bound.")
    num_nodes: Annotated[int, Whole(1, MAX_NODES, "a number of nodes")] = Field(
        1, description="Nodes; all start together or none does."
    )
    spot_policy: SpotPolicy = Field("auto", description="Whether capacity that may be taken away will do.")
    max_hourly_cost: Usd | None = Field(None, description="The most that the whole job may cost per hour, in dollars.")
    extra: Amounts = Field({}, description="Custom resources of a Ray cluster, by name.")


class RetryPart(Part):
    """How often and how fast an attempt is repeated."""

    on_events: tuple[Event, ...] = Field(("no-capacity", "interruption"), description="What is retried.")
    max_attempts: Annotated[int, Whole(1, MAX_ATTEMPTS, "a number of attempts")] = Field(
        _DEFAULT_RETRY.max_attempts,
        description="Attempts in all, the first included; no capacity is not counted.",
    )
    backoff: Duration = Field(_DEFAULT_RETRY.backoff_s, description="Pause before the second attempt; it doubles.")
    max_backoff: Duration = Field(_DEFAULT_RETRY.max_backoff_s, description="The longest pause.")
    duration: LongerThanZero | None = Field(None, description="No new attempt later than this after submission.")


class PlacementPart(Part):
    """Where a job may run."""

    pools: tuple[Line, ...] = Field((), description="Pools that are allowed: a name, or name/region; none: all.")
    not_pools: tuple[Line, ...] = Field((), description="Pools that are not allowed.")
    regions: tuple[Line, ...] = Field((), description="Regions in which its data may be; none: anywhere.")
    isolation: Annotated[Literal["shared", "dedicated"], Lower] = Field(
        "shared", description="dedicated: never on infrastructure that other customers share."
    )
    runtime: Annotated[Literal["any", "ray"], Lower] = Field("any", description="ray: it is a Ray program of its own.")


class FunctionPart(Part):
    """A Python function, as the Python interface sends it; not written by hand."""

    blob: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the pickled call, which the store keeps.")
    name: Line = Field(description="Qualified name, for people.")
    python: str = Field(pattern=r"^3\.\d+$", description="The minor version of Python that the call needs.")
    inputs: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the file of pickled arguments, of each task its own; the blob is the function alone.",
    )


class JobDocument(Part):
    """A job, as people describe it."""

    type: Annotated[Literal["task"], BeforeValidator(_only_tasks)] = Field(
        "task", description="Only `task`: a job that ends."
    )
    name: Name | None = Field(
        None,
        description="For people; jobs of one name are expected to run about as long. Default: the file's name.",
    )
    id: (
        Annotated[str, PlainValidator(_id), WithJsonSchema({"type": "string", "pattern": f"^{_ID.pattern}$"})] | None
    ) = Field(None, description="Chosen by you: submitting the same job again under it finds the first one.")
    run: Script | None = Field(None, description="Script for bash. Exactly one of run, argv and function is given.")
    argv: tuple[Text, ...] = Field((), description="Command, word by word, run without a shell.")
    function: FunctionPart | None = Field(None, description="A Python function; written by the Python interface.")
    setup: Script | None = Field(None, description="Script that prepares the environment, once, before the job runs.")
    requirements: tuple[Requirement, ...] = Field(
        (), description="Python packages, as pip names them, or a file of them that ends in .txt."
    )
    system_packages: tuple[SystemPackage, ...] | None = Field(
        None, description="Debian packages, which pools that build images install in it."
    )
    workdir: Line | None = Field(None, description="Local folder whose copy is the working directory.")
    file_mounts: Mounts = Field({}, description="Path in the job: local file or folder that is copied there.")
    volumes: Volumes = Field({}, description="Path in the job: name of a volume, which is there and outlives it.")
    envs: Envs = Field({}, description="Environment variables: a map, or a list of NAME=value.")
    secrets: tuple[EnvName, ...] = Field((), description="Names of secrets, which the job finds in its environment.")
    secret_files: SecretFiles = Field({}, description="Variable with the path of a file: name of the secret in it.")
    image: Image | None = Field(None, description="Container image, or a Dockerfile: its path, or its text.")
    resources: ResourcesPart = Field(ResourcesPart(), description="What each node asks for.")
    max_duration: LongerThanZero | None = Field(None, description="Running time after which an attempt is ended.")
    checkpoint_every: LongerThanZero | None = Field(
        None, description="How often it keeps a checkpoint, from which the next attempt goes on."
    )
    retry: RetryPart = Field(RetryPart(), description="How often an attempt is repeated, by cause.")
    deadline: Deadline | None = Field(None, description="When it must be finished: a time with its zone, or +6h.")
    max_wait: Duration | None = Field(None, description="How long it may wait for cheaper capacity.")
    est_runtime: LongerThanZero | None = Field(None, description="Your estimate of how long it runs (the median).")
    max_cost: Usd | None = Field(None, description="The most that the job may cost, all attempts, in dollars.")
    array: Annotated[int, Whole(1, MAX_TASKS, "a number of tasks")] | None = Field(
        None, description="Number of tasks; each finds its index in BROKER_ARRAY_INDEX."
    )
    matrix: dict[EnvName, tuple[Text, ...]] = Field(
        {}, description="Environment variable: its values; there is a task for each combination."
    )
    project: ProjectName | None = Field(None, description="Whose job it is: a project that you are a member of.")
    tags: Tags = Field({}, description="Labels for finding jobs and splitting their cost.")
    priority: Annotated[int, Whole(0, 100, "a priority")] = Field(50, description="Larger goes first.")
    placement: PlacementPart = Field(PlacementPart(), description="Where it may run.")

    @model_validator(mode="before")
    @classmethod
    def _translate(cls, data: Any, info: ValidationInfo) -> Any:
        """Other tools' names are accepted wherever a document is."""
        if info.context is ADOPTED or not isinstance(data, dict):
            return data
        adopted = adopt(data)
        if adopted.problems:
            raise ValueError("; ".join(f"{dotted(keys)}: {message}" for keys, message in adopted.problems))
        return adopted.data
