"""`JobDocument` and the table of other tools' names → the JSON Schema of everything that may be written about a job.

`python -m broker.spec.schema > docs/job-schema.json` writes the published one.
"""

from __future__ import annotations

import json
from typing import Any, Final

from broker.spec.document import JobDocument
from broker.spec.foreign import ALIASES, IGNORED

_TEXT: Final = {"type": "string"}
_MAP: Final = {"type": "object"}
_LIST: Final = {"type": "array"}
_SHORTHANDS: Final[dict[str, list[dict[str, Any]]]] = {  # what is accepted besides what the field is
    "retry": [{"type": "integer", "minimum": 0}, {"type": "boolean"}],
    "resources": [{"type": "array", "items": _MAP}],
    "secrets": [_TEXT, _MAP],
    "requirements": [_TEXT],
    "retry.on_events": [_TEXT],
    "placement.pools": [_TEXT],
    "placement.not_pools": [_TEXT],
    "placement.regions": [_TEXT],
    "max_duration": [{"const": False}],
}


def job_schema() -> dict[str, Any]:
    """The schema, as JSON has it."""
    schema = JobDocument.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Job"
    for name, kinds in _SHORTHANDS.items():
        _also(schema, name, kinds)
    for alias in ALIASES:
        tools = f" ({alias.tools})" if alias.tools else ""
        _property(schema, alias.name, f"Another name of {alias.field}{tools}.")
    for foreign in IGNORED:
        _property(schema, foreign.name, f"Ignored ({foreign.tools}): {foreign.why}.")
    for name, kind in (("any_of", _LIST), ("ordered", _LIST)):
        _property(schema, f"resources.{name}", "Alternatives (SkyPilot), which differ in one field.", kind)
    _property(schema, "placement.infra", "A pool, pool/region, or */region.", {"anyOf": [_TEXT, _LIST]})
    return schema


def _properties(schema: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """The properties that hold a dotted name, and its last part."""
    container, _, last = name.rpartition(".")
    if not container:
        return schema["properties"], last
    found = schema["properties"].setdefault(
        container, {"type": "object", "properties": {}, "additionalProperties": False}
    )
    for kind in (found, *found.get("anyOf", ())):
        if "$ref" in kind:
            return schema["$defs"][kind["$ref"].rsplit("/", 1)[1]]["properties"], last
    return found["properties"], last


def _also(schema: dict[str, Any], name: str, kinds: list[dict[str, Any]]) -> None:
    properties, last = _properties(schema, name)
    found = properties[last]
    about = {key: found.pop(key) for key in ("description", "default", "title") if key in found}
    properties[last] = {**about, "anyOf": [*found.pop("anyOf", [found] if found else []), *kinds]}


def _property(schema: dict[str, Any], name: str, description: str, kind: dict[str, Any] | None = None) -> None:
    properties, last = _properties(schema, name)
    properties[last] = {"description": description, **(kind or {})}


if __name__ == "__main__":
    print(json.dumps(job_schema(), indent=2, ensure_ascii=False))
