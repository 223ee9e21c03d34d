"""What Modal's decorators and images are given → fields of a job, as `broker.spec.adopt` reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from broker.spec.conversions import ALL_EVENTS
from broker.spec.local_paths import requirement_lines
from broker.spec.modal_app.constants import Call, NotConstant

ENDED_AFTER_S: Final = 300  # by Modal, when nothing is said
_MIB: Final = "MiB"


@dataclass(slots=True)
class Job:
    """A job in the making: its fields, and by line what is lost and what can't be translated."""

    fields: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[int, str, str]] = field(default_factory=list)  # line, what, why
    problems: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, name: str, values: list[Any] | Mapping[str, Any]) -> None:
        """Adds to a list or a map of fields."""
        held = self.fields.setdefault(name, type(values)())
        if isinstance(held, dict):
            held.update(values)
        else:
            held.extend(each for each in values if each not in held)


IGNORED: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("min_containers", "max_containers", "buffer_containers", "scaledown_window", "single_use_containers"),
        "the broker, not a job, decides how long containers stay up",
    ),
    "cloud": "a job runs in any pool of this broker; name pools in placement.pools",
    **dict.fromkeys(
        ("enable_memory_snapshot", "experimental_options", "routing_region", "startup_timeout", "i6pn"),
        "it configures Modal",
    ),
    "max_inputs": "a container that the broker starts runs one job at a time",
}
REFUSED: Final[Mapping[str, str]] = {
    "network_file_systems": "network file systems are not mounted: the job would run without its data; use a volume",
    "proxy": "no pool has it: the job would reach the network in another way",
    "block_network": "no pool closes the network to one job",
    "restrict_modal_access": "no pool closes the network to one job",
}
MEANINGLESS: Final = frozenset({"serialized", "include_source", "is_generator"})  # how Modal finds the function


def take_options(job: Job, options: Mapping[str, Any], line: int, folder: Path) -> None:
    """Takes what a decorator is given into the fields of a job."""
    for name, value in options.items():
        if name in MEANINGLESS or value in (None, False, {}, []):
            continue
        if name in IGNORED:
            job.notes.append((line, name, f"is ignored: {IGNORED[name]}"))
        elif name in REFUSED:
            job.problems.append((line, name, REFUSED[name]))
        elif isinstance(value, NotConstant):
            job.problems.append((line, name, f"is worked out when the program runs ({value}): write the value"))
        elif name == "image":
            take_image(job, value, folder)
        elif name in _TAKEN:
            _TAKEN[name](job, value, line)
        else:
            job.problems.append((line, name, "is not known"))


def _field(name: str, of: Callable[[Any], Any] = lambda value: value) -> Callable[[Job, Any, int], None]:
    def take(job: Job, value: Any, line: int) -> None:
        job.fields[name] = of(value)

    return take


def _request(value: Any) -> Any:
    """Of a request and a limit, the request."""
    return value[0] if isinstance(value, list) else value


def _retries(job: Job, value: Any, line: int) -> None:
    if isinstance(value, Call):
        known = {"max_retries", "initial_delay", "max_delay", "backoff_coefficient"}
        given = {key: each for key, each in value.named.items() if key in known}
        job.fields["retry"] = {"on_events": ALL_EVENTS, **given}
    else:
        job.fields["retries"] = value


def _secrets(job: Job, value: Any, line: int) -> None:
    for secret in value if isinstance(value, list) else [value]:
        named = secret.named if isinstance(secret, Call) else {}
        first = secret.args[0] if isinstance(secret, Call) and secret.args else None
        if isinstance(first, Mapping):  # from_dict
            job.add("secrets", list(first))
            job.notes.append((line, "secrets", f"give the broker the values of {', '.join(first)}"))
        elif isinstance(keys := named.get("required_keys"), list) and keys:
            job.add("secrets", keys)
            job.notes.append((line, "secrets", f"give the broker the values of {', '.join(keys)} (Modal's {first})"))
        else:
            said = first if isinstance(first, str) else "one that is worked out when the program runs"
            job.problems.append((line, "secrets", f"{said}: say which variables it holds, by required_keys=[…]"))


def _volumes(job: Job, value: Any, line: int) -> None:
    for path, volume in value.items():
        if isinstance(volume, Call) and volume.name == "modal.Volume.from_name" and volume.args:
            job.add("volumes", {path: volume.args[0]})
            there = (
                f"{path} is {path.lstrip('/')} in the job's working directory; broker volume create {volume.args[0]}"
            )
            job.notes.append((line, "volumes", there))
        else:
            job.problems.append((line, "volumes", f"{path}: only a modal.Volume.from_name(…) is understood"))


def _schedule(job: Job, value: Any, line: int) -> None:
    cron = value.args[0] if isinstance(value, Call) and value.name == "modal.Cron" and value.args else "…"
    zone = value.named.get("timezone") if isinstance(value, Call) else None
    when = f'--cron "{cron}"' + (f" --timezone {zone}" if zone else "")
    job.notes.append((line, "schedule", f"is not part of a job: broker schedule create NAME {when} FILE.yaml"))


_TAKEN: Final[Mapping[str, Callable[[Job, Any, int], None]]] = {
    "gpu": _field("gpu"),
    "cpu": _field("cpu", _request),
    "memory": _field("memory", lambda value: f"{_request(value)}{_MIB}"),
    "ephemeral_disk": _field("disk", lambda value: f"{value}{_MIB}"),
    "timeout": _field("timeout"),
    "region": _field("region"),
    "name": _field("name"),
    "env": lambda job, value, line: job.add("envs", value),
    "nonpreemptible": _field("spot_policy", lambda value: "on-demand"),
    "retries": _retries,
    "schedule": _schedule,
    "volumes": _volumes,
    "secrets": _secrets,
}


def take_image(job: Job, image: Any, folder: Path) -> None:
    """Takes the steps by which an image is made into the fields of a job, the first step first."""
    steps: list[Call] = []
    while isinstance(image, Call):
        steps.append(image)
        image = image.of
    for step in reversed(steps):
        name = step.name.rpartition(".")[2]
        if name in _STEPS and not any(isinstance(each, NotConstant) for each in step.args):
            _STEPS[name](job, step, folder)
        else:
            why = "is not translated: build the image elsewhere, and name it in image"
            job.problems.append((step.line, f"image.{name}", why))


def _packages(step: Call) -> list[Any]:
    return [each for given in step.args for each in (given if isinstance(given, list) else [given])]


def _debian(job: Job, step: Call, folder: Path) -> None:
    if version := step.named.get("python_version"):
        job.notes.append((step.line, "image", f"Python {version} is ignored: a pool has one; bring another by image"))


def _registry(job: Job, step: Call, folder: Path) -> None:
    job.fields["image"] = step.args[0] if step.args else None
    if "secret" in step.named:
        job.notes.append((step.line, "image", "its secret is ignored: a pool has its own access to registries"))


def _pip(job: Job, step: Call, folder: Path) -> None:
    job.add("requirements", _packages(step))
    if lost := sorted(step.named.keys() - {"force_build", "gpu"}):
        job.notes.append((step.line, "image", f"{', '.join(lost)} of {step.name}: a pool has its own package index"))


def _pip_file(job: Job, step: Call, folder: Path) -> None:
    lines, wrong = requirement_lines(str(step.args[0]) if step.args else "", folder)
    if wrong:
        job.problems.append((step.line, "image", wrong))
    job.add("requirements", lines)


def _apt(job: Job, step: Call, folder: Path) -> None:
    job.add("system_packages", _packages(step))
    job.notes.append((step.line, "image", "its Debian packages need a pool that builds images"))


def _commands(job: Job, step: Call, folder: Path) -> None:
    lines = [str(each) for each in _packages(step)]
    job.fields["setup"] = "\n".join([*filter(None, [job.fields.get("setup")]), *lines])
    job.notes.append((step.line, "image", "its commands are the job's setup: they run as the user of the pool"))


def _folder(job: Job, step: Call, folder: Path) -> None:
    local, remote = [*map(str, step.args), str(step.named.get("remote_path"))][:2]
    job.add("file_mounts", {remote.lstrip("/"): local})
    if remote.startswith("/"):
        job.notes.append((step.line, "image", f"{remote} is {remote.lstrip('/')} in the job's working directory"))


def _nothing(job: Job, step: Call, folder: Path) -> None:
    """Modules beside the program go along with its folder."""


_STEPS: Final[Mapping[str, Callable[[Job, Call, Path], None]]] = {
    "debian_slim": _debian,
    "from_registry": _registry,
    "pip_install": _pip,
    "uv_pip_install": _pip,
    "pip_install_from_requirements": _pip_file,
    "apt_install": _apt,
    "run_commands": _commands,
    "env": lambda job, step, folder: job.add("envs", step.args[0] if step.args else {}),
    "add_local_dir": _folder,
    "add_local_file": _folder,
    "add_local_python_source": _nothing,
}
