"""SkyPilot's `any_of` and `ordered`: lists of resources → one description, where that says the same.

Alternatives may differ in one thing (the GPU, the place, or spot); in more than one they are jobs of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from broker.spec.conversions import use_spot
from broker.spec.source import Keys

_NAMES: Final = {"gpu": "accelerators", "gpus": "accelerators", "cpu": "cpus", "disk_size": "disk"}
_WITHOUT_EFFECT: Final = frozenset({"cloud", "zone", "disk_tier", "network_tier", "ports"})


def flatten(data: dict[str, Any], ignored: list[tuple[Keys, str]]) -> None:
    """Replaces `any_of` or `ordered` of the job's resources. Raises ValueError where one description can't say it."""
    resources = data.get("resources")
    if isinstance(resources, list | tuple):
        resources = data["resources"] = {"ordered": resources}
    if not isinstance(resources, dict) or not {"any_of", "ordered"} & resources.keys():
        return
    if {"any_of", "ordered"} <= resources.keys():
        raise ValueError("has any_of and ordered: keep one")
    ordered = "ordered" in resources
    field = "ordered" if ordered else "any_of"
    entries = _entries(resources.pop(field), ("resources", field), ignored)
    varying = sorted({name for entry in entries for name, value in entry.items() if value != entries[0].get(name)})
    if any(entry.keys() != entries[0].keys() for entry in entries) or len(varying) > 1:
        raise ValueError(
            "alternatives may differ in one field only (accelerators, infra, region or use_spot): "
            "submit a job for each, or leave the others out"
        )
    for name, value in entries[0].items():
        if name in resources and resources[name] != value:
            raise ValueError(f"gives {name} twice: for all alternatives, and in one")
        resources[name] = _joined(name, [entry[name] for entry in entries], ordered) if name in varying else value
    if ordered and varying and varying != ["accelerators"]:
        ignored.append((("resources", field), "the order is ignored: the broker takes the cheapest that will do"))


def _entries(written: Any, keys: Keys, ignored: list[tuple[Keys, str]]) -> list[dict[str, Any]]:
    if not isinstance(written, list | tuple) or not written or not all(isinstance(e, Mapping) for e in written):
        raise ValueError("any_of and ordered must be lists of maps")
    for index, entry in enumerate(written):
        without_effect = sorted(_WITHOUT_EFFECT & entry.keys())
        ignored += [((*keys, index, name), "is ignored: any pool that will do is used") for name in without_effect]
    return [
        {_NAMES.get(str(name), str(name)): value for name, value in entry.items() if name not in _WITHOUT_EFFECT}
        for entry in written
    ]


def _joined(name: str, values: list[Any], ordered: bool) -> Any:
    """All the values as one field says them."""
    if name == "accelerators":
        return values if ordered else _any_of(values)
    if name in ("infra", "region", "regions"):
        return values
    if name == "use_spot" and {use_spot(value) for value in values} == {"spot", "on-demand"}:
        return None
    raise ValueError(f"alternatives can't differ in {name}: submit a job for each")


def _any_of(values: list[Any]) -> Any:
    merged: dict[str, Any] = {}
    for value in values:
        if isinstance(value, Mapping):
            merged |= value
        else:
            model, _, count = str(value).rpartition(":") if ":" in str(value) else (str(value), "", "1")
            merged[model] = count
    return merged
