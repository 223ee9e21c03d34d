"""KubeRay's custom resource definitions, where they lie beside the project → what the API server refuses."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CRDS = Path(__file__).parents[5] / "shared" / "kuberay-crds"
FILES = {"rayclusters": "ray.io_rayclusters.yaml", "rayjobs": "ray.io_rayjobs.yaml"}


def available() -> bool:
    return all((CRDS / file).exists() for file in FILES.values())


needed = pytest.mark.skipif(not available(), reason="KubeRay's definitions are not in ../shared/kuberay-crds")


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load((CRDS / FILES[kind]).read_text(encoding="utf-8"), Loader=loader)
    (version,) = [one for one in definition["spec"]["versions"] if one["name"] == "v1"]
    schema = converted(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


def converted(schema: Any) -> Any:
    """As JSON Schema: nothing that is not named, where something is; numbers or text where Kubernetes takes either."""
    if isinstance(schema, list):
        return [converted(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found = {
        name: {key: converted(value) for key, value in part.items()}
        if name == "properties"
        else part
        if name in ("enum", "default", "required")
        else converted(part)
        for name, part in schema.items()
        if name != "description"
    }
    if "properties" in found and "additionalProperties" not in found:
        found["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if found.pop("nullable", False):
        found["type"] = [found["type"], "null"]
    return found


def defaulted(schema: Any, value: Any) -> None:
    """Puts the schema's defaults into a value, as the API server does before it looks at it."""
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            if name not in value and "default" in part:
                value[name] = copy.deepcopy(part["default"])
            if name in value:
                defaulted(part, value[name])
    elif isinstance(value, list):
        for one in value:
            defaulted(schema.get("items", {}), one)


def check_schema(kind: str, resource: dict[str, Any], name: str) -> None:
    """Puts in defaults. Raises what the server answers for what does not fit the definition."""
    from tests.executors.kuberay.server.world import Refused

    if kind not in FILES or not available():
        return
    defaulted(validator(kind).schema, resource)
    for error in validator(kind).iter_errors(resource):
        place = ".".join(map(str, error.absolute_path))
        if error.validator == "additionalProperties":
            raise Refused(400, "BadRequest", f"strict decoding error: unknown field in {place}: {error.message[:300]}")
        raise Refused(422, "Invalid", f'{kind} "{name}" is invalid: {place}: {error.message[:300]}', name)
