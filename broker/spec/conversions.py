"""Values as other tools write them → the same thing as our own field writes it.

Each function takes the raw value and returns what `broker.spec.document` understands, or raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from broker.spec.quantities import number, shown

ALL_EVENTS: Final = ["no-capacity", "interruption", "error"]
_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})


def boolean(value: Any) -> bool | None:
    """True or false, however it was written; None for anything else."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def use_spot(value: Any) -> str:
    """`true` is spot, `false` is on-demand."""
    wanted = boolean(value)
    if wanted is None:
        raise ValueError(f"must be true or false, not {shown(value)}")
    return "spot" if wanted else "on-demand"


def byte_count(value: Any) -> str:
    """A plain number of bytes."""
    return f"{number(value):.0f}B"


def one_more(value: Any) -> int:
    """A number of retries → attempts in all."""
    return round(number(value)) + 1


def retry(value: Any) -> Any:
    """`true`, `false` or a number of retries → a retry policy; a map is one already."""
    if isinstance(value, Mapping):
        return value
    wanted = boolean(value)
    if wanted is not None:
        return {"on_events": ALL_EVENTS} if wanted else {"max_attempts": 1}
    return {"on_events": ALL_EVENTS, "max_attempts": one_more(value)}


def job_recovery(value: Any) -> Any:
    """SkyPilot's recovery: always after an interruption, after errors as often as it says."""
    if not isinstance(value, Mapping):
        return {}
    restarts = value.get("max_restarts_on_errors")
    known = {"strategy", "max_restarts_on_errors", "recover_on_exit_codes"}
    if unknown := sorted(map(str, value.keys() - known)):
        raise ValueError(f"has unknown fields: {', '.join(unknown)}")
    if value.get("recover_on_exit_codes") is not None:
        raise ValueError("recover_on_exit_codes is not known here; use retry: {on_events, max_attempts}")
    return {} if restarts is None else {"on_events": ALL_EVENTS, "max_attempts": one_more(restarts)}


def packages(value: Any) -> Any:
    """Ray's pip: a list, a map with `packages`, or a file."""
    return value.get("packages", []) if isinstance(value, Mapping) else value


def names(value: Any) -> Any:
    """Names, where some may be maps with a name."""
    if not isinstance(value, list | tuple):
        return value
    return [entry.get("name", entry) if isinstance(entry, Mapping) else entry for entry in value]


def repository(value: Any) -> Any:
    """The one local folder among dstack's repos."""
    entries = value if isinstance(value, list | tuple) else [value]
    paths = [entry.get("local_path") if isinstance(entry, Mapping) else entry for entry in entries]
    if len(paths) != 1 or not isinstance(paths[0], str) or "://" in paths[0] or paths[0].startswith("git@"):
        raise ValueError("must be one local folder: repositories are not cloned here")
    return paths[0].split(":")[0]


def files(value: Any) -> Any:
    """dstack's list of `local` or `local:path` → path in the job: local path."""
    if not isinstance(value, list | tuple):
        return value
    mounts: dict[str, Any] = {}
    for entry in value:
        if isinstance(entry, Mapping):
            local, path = entry.get("local_path"), entry.get("path")
        else:
            local, _, path = str(entry).partition(":")
        mounts[str(path or local)] = local
    return mounts


def script(value: Any) -> Any:
    """A list of commands → one script that stops at the first that fails."""
    if not isinstance(value, list | tuple) or not all(isinstance(line, str) for line in value):
        return value
    return value[0] if len(value) == 1 else "\n".join(["set -e", *value]) if value else ""


def image(value: Any) -> Any:
    """A container image, without SkyPilot's `docker:`."""
    if not isinstance(value, str):
        return value
    if re.match(r"(ami-|projects/|skypilot:)", value):
        raise ValueError(f"{value} is an image of a virtual machine: name a container image, or none")
    return value.removeprefix("docker:")


def pairs(value: Any) -> Any:
    """A list of `key=value` → a map; a key alone has the value None."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    found: dict[str, Any] = {}
    for entry in value:
        if not isinstance(entry, str):
            raise ValueError("must be a map, or a list of NAME=value")
        name, equals, text = entry.partition("=")
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = text if equals else None
    return found


def mounted(value: Any) -> Any:
    """A list of `name:/path`, as dstack writes volumes, or of `/path=name` → a map of paths."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    if not all(isinstance(entry, str) for entry in value):
        raise ValueError("must be a map of paths and names of volumes, or a list of NAME:/PATH")
    turned = ["=".join(reversed(entry.split(":", 1))) if "=" not in entry else entry for entry in value]
    return pairs(turned)


def listed(value: Any) -> Any:
    """One name, or several with commas between them, → a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CONVERSIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    function.__name__: function
    for function in (use_spot, byte_count, one_more, job_recovery, packages, names, repository, files)
}
