"""An order: a launch request made plain, so that it travels to a runner that knows nothing of the broker."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.model.environment import environment_key
from broker.model.jobs import LaunchRequest
from broker.model.pools import Pool
from broker.model.projects import DEFAULT_PROJECT


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a node needs to run one attempt."""

    attempt_id: str
    root: str  # state folder of the pool on the node
    argv: tuple[str, ...]  # empty for a function
    payload: bytes | None
    envs: dict[str, str]
    secret_files: frozenset[str]  # variables whose values go to a file each
    workdir: str | None
    file_mounts: dict[str, str]
    volumes: dict[str, str]  # path in the job -> folder on the node
    read_only: frozenset[str]  # those of these folders that it may only read
    requirements: tuple[str, ...]
    setup: str | None
    environment: str  # key of requirements and setup, and of the project
    cpus: float
    memory_bytes: int
    gpus: float
    gpu_model: str
    emulated: bool
    num_nodes: int
    max_duration_s: float | None
    max_stream_bytes: int
    ray_program: bool
    preload: tuple[str, ...] = ()  # modules that a function finds imported
    in_line: bool = False  # where there is no room, it may wait for the place of one like it
    rank: int = 0
    master: str = "127.0.0.1"
    extra: dict[str, float] = field(default_factory=dict)  # custom resources, by name
    carried: bool = (
        False  # the broker's files are not on the node: they come in the bundle, and what it writes goes back
    )
    bundle: bytes | None = None  # tar of the working directory with its mounts
    no_bundle: str = ""  # why there is no bundle though there should be
    project: str = DEFAULT_PROJECT  # whose builds it may share


def order_of(request: LaunchRequest, pool: Pool, max_stream_bytes: int, root: str, volumes: str = "") -> Order:
    """The order for a request; `volumes` is the folder on its nodes that has those of the pool."""
    spec = request.spec
    return Order(
        attempt_id=request.attempt_id,
        root=root,
        argv=("bash", "-c", spec.run) if spec.run is not None else spec.argv,
        payload=request.function_payload,
        envs=request.envs,
        secret_files=request.secret_files,
        workdir=spec.workdir,
        file_mounts=spec.file_mounts,
        volumes={path: f"{volumes}/{name}" for path, name in spec.volumes.items()},
        read_only=frozenset(f"{volumes}/{name}" for name in spec.volumes_read_only),
        requirements=spec.requirements,
        setup=spec.setup,
        environment=environment_key(spec),
        cpus=request.resources.cpus,
        memory_bytes=request.resources.memory_bytes,
        gpus=request.resources.gpus,
        gpu_model=request.resources.gpu_model,
        emulated=pool.emulated,
        num_nodes=spec.resources.num_nodes,
        max_duration_s=spec.max_duration_s,
        max_stream_bytes=max_stream_bytes,
        ray_program=spec.runtime == "ray",
        in_line=request.in_line,
        extra=spec.resources.extra,
        project=spec.project,
    )
