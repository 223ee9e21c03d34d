"""Fields of SkyPilot, dstack, Modal and Ray, and what becomes of each: another name of ours, ignored, or refused.

Only data; `broker.spec.adopt` acts on it, the JSON Schema and the docs are made from it. A field is ignored where
the job still does what was meant; it is refused where it would run elsewhere, cost more, or lack its data unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a field."""

    name: str  # dotted, as it is written
    field: str  # dotted, ours
    tools: str  # who writes it so
    convert: str = ""  # name of a function of `broker.spec.conversions`; "": the value is understood as it is


@dataclass(frozen=True, slots=True)
class Foreign:
    """A field of another tool that has no counterpart here."""

    name: str  # dotted
    tools: str
    why: str  # why it is ignored, or what to do instead


ALIASES: Final = (
    Alias("commands", "run", "dstack"),
    Alias("entrypoint", "run", "Ray"),
    Alias("working_dir", "workdir", "dstack, Ray"),
    Alias("repos", "workdir", "dstack", "repository"),
    Alias("files", "file_mounts", "dstack", "files"),
    Alias("env", "envs", "dstack, Modal"),
    Alias("env_vars", "envs", "Ray"),
    Alias("environment", "envs", ""),
    Alias("image_id", "image", "SkyPilot"),
    Alias("pip", "requirements", "Ray"),
    Alias("timeout", "max_duration", "Modal"),
    Alias("retries", "retry", "Modal"),
    Alias("job_recovery", "retry", "SkyPilot", "job_recovery"),
    Alias("labels", "tags", "SkyPilot"),
    Alias("metadata", "tags", "Ray"),
    Alias("submission_id", "id", "Ray"),
    Alias("job_id", "id", "Ray"),
    Alias("num_jobs", "array", "SkyPilot"),
    Alias("runtime_env.working_dir", "workdir", "Ray"),
    Alias("runtime_env.env_vars", "envs", "Ray"),
    Alias("runtime_env.pip", "requirements", "Ray", "packages"),
    Alias("runtime_env.uv", "requirements", "Ray", "packages"),
    Alias("entrypoint_num_cpus", "resources.cpus", "Ray"),
    Alias("entrypoint_num_gpus", "resources.accelerators", "Ray"),
    Alias("entrypoint_memory", "resources.memory", "Ray", "byte_count"),
    Alias("entrypoint_resources", "resources.extra", "Ray"),
    Alias("num_nodes", "resources.num_nodes", "SkyPilot"),
    Alias("nodes", "resources.num_nodes", "dstack"),
    Alias("accelerators", "resources.accelerators", ""),
    Alias("gpu", "resources.accelerators", "Modal"),
    Alias("gpus", "resources.accelerators", ""),
    Alias("cpu", "resources.cpus", "Modal"),
    Alias("cpus", "resources.cpus", ""),
    Alias("memory", "resources.memory", "Modal"),
    Alias("disk", "resources.disk", ""),
    Alias("spot_policy", "resources.spot_policy", "dstack"),
    Alias("use_spot", "resources.spot_policy", "SkyPilot", "use_spot"),
    Alias("max_price", "resources.max_hourly_cost", "dstack"),
    Alias("max_hourly_cost", "resources.max_hourly_cost", "SkyPilot"),
    Alias("infra", "placement.infra", "SkyPilot"),
    Alias("pools", "placement.pools", ""),
    Alias("fleets", "placement.pools", "dstack", "names"),
    Alias("regions", "placement.regions", "dstack"),
    Alias("region", "placement.regions", "Modal"),
    Alias("isolation", "placement.isolation", ""),
    Alias("runtime", "placement.runtime", ""),
    Alias("resources.gpu", "resources.accelerators", "dstack"),
    Alias("resources.gpus", "resources.accelerators", ""),
    Alias("resources.cpu", "resources.cpus", "dstack"),
    Alias("resources.disk_size", "resources.disk", "SkyPilot"),
    Alias("resources.nodes", "resources.num_nodes", ""),
    Alias("resources.use_spot", "resources.spot_policy", "SkyPilot", "use_spot"),
    Alias("resources.max_price", "resources.max_hourly_cost", ""),
    Alias("resources.image_id", "image", "SkyPilot"),
    Alias("resources.labels", "tags", "SkyPilot"),
    Alias("resources.job_recovery", "retry", "SkyPilot", "job_recovery"),
    Alias("resources.priority", "priority", "SkyPilot"),
    Alias("resources.infra", "placement.infra", "SkyPilot"),
    Alias("resources.region", "placement.regions", "SkyPilot"),
    Alias("resources.regions", "placement.regions", ""),
    Alias("placement.region", "placement.regions", ""),
    Alias("retry.on", "retry.on_events", ""),
    Alias("retry.attempts", "retry.max_attempts", ""),
    Alias("retry.max_retries", "retry.max_attempts", "Modal", "one_more"),
    Alias("retry.initial_delay", "retry.backoff", "Modal"),
    Alias("retry.max_delay", "retry.max_backoff", "Modal"),
)

IGNORED: Final = (
    Foreign("resources.cloud", "SkyPilot", "a job runs in any pool of this broker; name pools in placement.pools"),
    Foreign("resources.zone", "SkyPilot", "pools have regions, not zones"),
    Foreign("resources.ports", "SkyPilot", "no port of a job is opened to the outside"),
    Foreign("resources.accelerator_args", "SkyPilot", "there is nothing to pass them to"),
    Foreign("resources.disk_tier", "SkyPilot", "a pool has one kind of disk"),
    Foreign("resources.network_tier", "SkyPilot", "a pool has one kind of network"),
    Foreign("resources.local_disk", "SkyPilot", "a pool has one kind of disk"),
    Foreign("resources.autostop", "SkyPilot", "the broker, not a job, decides how long nodes stay up"),
    Foreign("resources.shm_size", "dstack", "a job may use all of its memory as shared memory"),
    Foreign("resources._cluster_config_overrides", "SkyPilot", "it configures SkyPilot"),
    Foreign("autostop", "SkyPilot", "the broker, not a job, decides how long nodes stay up"),
    Foreign("inputs", "SkyPilot", "transfer of data is not priced"),
    Foreign("outputs", "SkyPilot", "transfer of data is not priced"),
    Foreign("config", "SkyPilot", "it configures SkyPilot"),
    Foreign("experimental", "SkyPilot", "it configures SkyPilot"),
    Foreign("event_callback", "SkyPilot", "read a job's history instead: broker show"),
    Foreign("backends", "dstack", "a job runs in any pool of this broker; name pools in placement.pools"),
    Foreign("availability_zones", "dstack", "pools have regions, not zones"),
    Foreign("ports", "dstack", "no port of a job is opened to the outside"),
    Foreign("python", "dstack", "a pool has one Python; bring another by image or setup"),
    Foreign("nvcc", "dstack", "bring it by image or setup"),
    Foreign("user", "dstack", "a job runs as the user of its pool"),
    Foreign("shell", "dstack", "a script is run by bash"),
    Foreign("home_dir", "dstack", "a pool chooses it"),
    Foreign("registry_auth", "dstack", "a pool has its own access to registries"),
    Foreign("idle_duration", "dstack", "the broker, not a job, decides how long nodes stay up"),
    Foreign("creation_policy", "dstack", "the broker, not a job, decides when nodes are started"),
    Foreign("utilization_policy", "dstack", "use of GPUs is not watched; max_duration and max_cost bound the job"),
    Foreign("stop_duration", "dstack", "a job that is stopped has five seconds"),
    Foreign("stop_criteria", "dstack", "all nodes of a job end together"),
    Foreign("startup_order", "dstack", "all nodes of a job start together"),
    Foreign("single_branch", "dstack", "no repository is cloned"),
    Foreign("ssh_key_pub", "dstack", "nobody logs in to a job"),
    Foreign("retry.backoff_coefficient", "Modal", "the pause doubles each time"),
    Foreign("runtime_env.excludes", "Ray", "the whole working directory is copied"),
    Foreign("runtime_env.config", "Ray", "it configures Ray"),
)

REFUSED: Final = (
    Foreign("service", "SkyPilot", "services are not run here, only jobs that end"),
    Foreign("pool", "SkyPilot", "a pool of workers is not a job; name a pool in placement.pools"),
    Foreign(
        "resources.volumes", "SkyPilot", "disks of a cloud are not attached: name volumes of the broker in volumes"
    ),
    Foreign("resources.instance_type", "SkyPilot", "say what the job needs instead: accelerators, cpus, memory"),
    Foreign("instance_types", "dstack", "say what the job needs instead: resources.gpu, cpu, memory"),
    Foreign("instances", "dstack", "name a pool in placement.pools instead"),
    Foreign("reservation", "dstack", "name the pool that has the reservation in placement.pools instead"),
    Foreign("profile", "dstack", "its limits would be lost: write its fields here"),
    Foreign("params", "dstack", "write the values into the file"),
    Foreign("privileged", "dstack", "no pool runs privileged containers: remove it"),
    Foreign("docker", "dstack", "no pool runs Docker inside a job: remove it"),
    Foreign("schedule", "dstack", "a file is one job, run once: `broker schedule create` runs it again and again"),
    Foreign("runtime_env.conda", "Ray", "list pip packages in requirements, or name an image"),
    Foreign("runtime_env.py_modules", "Ray", "put the modules into workdir"),
    Foreign("runtime_env.container", "Ray", "name the image in image"),
    Foreign("runtime_env.image_uri", "Ray", "name the image in image"),
)
