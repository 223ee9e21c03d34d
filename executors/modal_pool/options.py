"""Options of a Modal pool, as its configuration has them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from broker.model.errors import Misconfigured

DAY_S: Final = 86_400  # Modal ends what runs longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a Modal pool; its GPUs, CPUs, memory and number of containers are said by the pool itself."""

    app: str = "gpu-broker"  # in which app of the workspace all of it runs
    environment: str = ""  # Modal's environment; empty: the workspace's default
    token_id_env: str = "MODAL_TOKEN_ID"  # which environment variable of the broker holds the token's id
    token_secret_env: str = "MODAL_TOKEN_SECRET"  # and which its secret
    server_url: str = ""  # empty: Modal's own, or MODAL_SERVER_URL
    capacity_wait_s: float = 60.0  # how long an attempt may wait for capacity, before the next GPU or pool is tried
    startup_s: float = 3600.0  # time for boot and setup, added to a job's max_duration
    estimate_after_s: float = 300.0  # sandboxes: Modal is asked what one has cost so long after its end
    region: str = ""  # where to run; Modal asks 1.5 to 1.75 times the price for a choice
    cloud: str = ""
    base_image: str = ""  # of jobs that name none; empty: Debian with the broker's version of Python
    dockerfile: str = ""  # built for jobs that name no image, in place of base_image
    add_python: str = ""  # version of Python put into images that have none
    apt: tuple[str, ...] = ()  # Debian packages in every image
    pip: tuple[str, ...] = ()  # Python packages in every image
    secrets: tuple[str, ...] = ()  # Modal's own secrets, by name, for every attempt
    volumes: dict[str, str] = field(default_factory=dict)  # where it is mounted -> name of the volume

    @classmethod
    def of(cls, pool: str, given: Mapping[str, Any]) -> Self:
        """Raises `Misconfigured` for an unknown option or an impossible value."""
        plain = cls()
        known = {one.name: getattr(plain, one.name) for one in fields(cls)}
        if unknown := [name for name in given if name not in known]:
            raise Misconfigured(f"pool {pool}: no option {unknown[0]!r} of a modal pool; there are: {', '.join(known)}")
        options = cls(**{name: _checked(pool, name, value, known[name]) for name, value in given.items()})
        if options.estimate_after_s <= 0:
            raise Misconfigured(f"pool {pool}: estimate_after_s must be above 0")
        if options.capacity_wait_s <= 0 or not 0 < options.startup_s < DAY_S:
            raise Misconfigured(f"pool {pool}: capacity_wait_s and startup_s must be above 0, startup_s below {DAY_S}")
        if wrong := [path for path in options.volumes if not path.startswith("/")]:
            raise Misconfigured(f"pool {pool}: a volume is mounted at an absolute path, not at {wrong[0]!r}")
        return options


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionOptions(Options):
    """Settings of a pool whose attempts are calls of functions."""

    min_containers: int = 0  # up at least, busy or idle, until `keep_warm` says otherwise
    buffer_containers: int = 0  # idle beyond those that are busy, while any is
    single_use: bool = False  # a container for each call, never used again
    look_every_s: float = 2.0  # how often Modal is asked how many containers are up, while any is


def _checked(pool: str, name: str, value: Any, example: Any) -> Any:
    if isinstance(example, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(example, tuple):
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise Misconfigured(f"pool {pool}: option {name} must be a list of texts, not {value!r}")
        return tuple(value)
    if isinstance(example, dict):
        if not isinstance(value, dict) or not all(isinstance(one, str) for pair in value.items() for one in pair):
            raise Misconfigured(f"pool {pool}: option {name} must be a table of texts, not {value!r}")
        return dict(value)
    if type(value) is not type(example):
        raise Misconfigured(f"pool {pool}: option {name} must be {type(example).__name__}, not {value!r}")
    return value
