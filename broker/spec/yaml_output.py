"""A job document → the YAML file that a person would have written for it: only what was said, in our own names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import yaml

from broker.spec.document import JobDocument

_DURATIONS: Final = frozenset(
    {"max_duration", "checkpoint_every", "max_wait", "est_runtime", "backoff", "max_backoff", "duration"}
)
_BREAKS: Final = frozenset("\x85\u2028\u2029")  # which YAML takes for ends of lines, and is given back as spaces
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


class _Dumper(yaml.SafeDumper):
    """Scripts of several lines as blocks; lists stand out from what contains them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _BREAKS & set(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_text(document: JobDocument, base: Path) -> str:
    """The file, to be kept in the folder `base`: local paths inside it are relative, others whole."""
    body = document.model_dump(mode="json", exclude_defaults=True)
    for holder, keys in ((body, ["workdir"]), (body.get("file_mounts", {}), list(body.get("file_mounts", {})))):
        holder |= {key: _near(holder[key], base) for key in keys if key in holder}
    written: str = yaml.dump(_plain(body), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return written


def _near(path: str, base: Path) -> str:
    return os.path.relpath(path, base) if Path(path).is_relative_to(base) else path


def _plain(value: Any, key: str = "") -> Any:
    """Times with their unit, whole numbers without a point."""
    if isinstance(value, dict):
        return {name: _plain(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return _time(int(value)) if key in _DURATIONS else int(value)
    return value


def _time(seconds: int) -> str:
    for size, unit in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
