"""The kinds of fields of a job or a pool: how each is read, written back, and described in the JSON Schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import normpath
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from broker.model.environment import is_dockerfile
from broker.model.secrets import VARIABLE
from broker.spec import accelerators as gpus
from broker.spec import conversions, dockerfile, quantities
from broker.spec.quantities import shown

LONGEST_TEXT: Final = 131_071  # bytes; Linux passes no longer argument to a process
_ENV_NAME: Final = re.compile(VARIABLE)
_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DEBIAN: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[\w.+:~-]+)?")
_VOLUME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_RESERVED: Final = "BROKER_"
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}


def _or_text(kind: dict[str, Any], *examples: Any) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [kind, _TEXT], "examples": list(examples)})


def _map_of(values: dict[str, Any]) -> WithJsonSchema:
    names = {"type": "array", "items": _TEXT}
    return WithJsonSchema({"anyOf": [{"type": "object", "additionalProperties": values}, names]})


def text(value: Any) -> str:
    """One piece of text that a process can be given. Numbers are text as well."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) or value is None:
        value = "" if value is None else str(value)
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}")
    if len(value) > LONGEST_TEXT or len(value.encode("utf-8", "replace")) > LONGEST_TEXT:
        raise ValueError(f"is longer than {LONGEST_TEXT:,} bytes, the longest that a process can be given: use a file")
    return str(value)


def command(value: Any) -> str:
    """Text that says something."""
    if not (found := text(value)).strip():
        raise ValueError("must not be empty")
    return found


def env_name(value: Any) -> str:
    """The name of an environment variable that is the job's to set."""
    if isinstance(value, str) and "=" in value:
        raise ValueError(f"{value.split('=')[0]} must have no value here: only its name")
    if not isinstance(value, str) or not _ENV_NAME.fullmatch(value):
        raise ValueError(f"{shown(value)} is no name of an environment variable: use letters, digits and _")
    if value.startswith(_RESERVED):
        raise ValueError(f"{value} is set by the broker: names that begin with {_RESERVED} are its own")
    return str(value)


def one_line(value: Any) -> str:
    """Short text on one line."""
    found = text(value).strip()
    if not found or len(found) > 255 or not found.isprintable():
        raise ValueError("must be one line of 1 to 255 characters")
    return found


def secret_name(value: Any) -> str:
    """The name of a secret, where somebody could write its value by mistake: that is not repeated."""
    try:
        return env_name(value)
    except ValueError:
        raise ValueError("must be the name of a secret: letters, digits and _; `broker secret set` sets it") from None


def volume_name(value: Any) -> str:
    """The name of a volume."""
    if not isinstance(value, str) or not _VOLUME.fullmatch(value):
        raise ValueError(f"must be the name of a volume, 1 to 40 of a-z, 0-9, '-' and '_', not {shown(value)}")
    return str(value)


def path_in_job(value: Any) -> str:
    """Where something is in a job: below its working directory, also where it begins with a slash."""
    found = one_line(value)
    inside = normpath(found.removeprefix("~/").lstrip("/"))
    if inside == "." or inside.startswith(".."):
        raise ValueError(f"{found} must be a path below the job's working directory")
    return found


def requirement(value: Any) -> str:
    """One requirement of pip; options are not accepted."""
    found = one_line(value)
    if found.startswith("-"):
        raise ValueError(f"{found.split()[0]} is an option of pip: list requirements only")
    return found


def system_package(value: Any) -> str:
    """The name of one Debian package, perhaps with its version."""
    if not isinstance(value, str) or not _DEBIAN.fullmatch(value):
        raise ValueError(f"{shown(value)} is no Debian package: write ffmpeg, or ffmpeg=7:7.1-1")
    return value


@dataclass(frozen=True, slots=True)
class Whole:
    """Annotates a whole number between two limits, which its errors name."""

    low: int
    high: int
    what: str  # "a number of nodes"

    def read(self, value: Any) -> int:
        """The number. Raises ValueError."""
        count = quantities.number(value)
        if count != int(count):
            raise ValueError(f"must be a whole number, not {shown(value)}")
        if not self.low <= count <= self.high:
            raise ValueError(f"must be {self.what} between {self.low:,} and {self.high:,}, not {shown(value)}")
        return int(count)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return handler.generate_schema(Annotated[int, PlainValidator(self.read)])

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": self.low, "maximum": self.high}, _TEXT]}


def project_name(value: Any) -> str:
    """The name of a project, as it is written: nothing is taken for another's."""
    if not isinstance(value, str) or not _PROJECT.fullmatch(value):
        raise ValueError(f"{shown(value)} is no name of a project: use 1 to 40 of a-z, 0-9, '_' and '-'")
    return str(value)


def share(value: Any) -> float:
    """A number that is not negative."""
    if (found := quantities.number(value)) < 0:
        raise ValueError(f"must not be negative: {shown(value)}")
    return found


def boolean(value: Any) -> bool:
    """True or false."""
    found = conversions.boolean(value)
    if found is None:
        raise ValueError(f"must be true or false, not {shown(value)}")
    return found


def image(value: Any) -> str:
    """The name of a container image, on one line, or a Dockerfile."""
    return dockerfile.checked(text(value)) if isinstance(value, str) and is_dockerfile(value) else one_line(value)


def in_order(value: dict[str, Any]) -> dict[str, Any]:
    """The same map, by name: the order in which it was written means nothing."""
    return dict(sorted(value.items()))


_SIZE_TEXT: Final = PlainSerializer(quantities.size_text, return_type=str)

Text = Annotated[str, PlainValidator(text), WithJsonSchema(_TEXT)]
Script = Annotated[str, PlainValidator(command), WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]})]
Line = Annotated[str, PlainValidator(one_line), WithJsonSchema(_TEXT)]
Image = Annotated[str, PlainValidator(image), WithJsonSchema(_TEXT)]
EnvName = Annotated[str, PlainValidator(env_name), WithJsonSchema({**_TEXT, "pattern": f"^{_ENV_NAME.pattern}$"})]
SystemPackage = Annotated[str, PlainValidator(system_package), WithJsonSchema(_TEXT)]
Requirement = Annotated[str, PlainValidator(requirement), WithJsonSchema(_TEXT)]
ProjectName = Annotated[
    str, PlainValidator(project_name), WithJsonSchema({**_TEXT, "pattern": f"^{_PROJECT.pattern}$"})
]
Envs = Annotated[
    dict[EnvName, Text], AfterValidator(in_order), _map_of({"type": ["string", "number", "boolean", "null"]})
]
SecretName = Annotated[str, PlainValidator(secret_name), WithJsonSchema(_TEXT)]
SecretFiles = Annotated[dict[EnvName, SecretName], AfterValidator(in_order), _map_of(_TEXT)]
Tags = Annotated[dict[Line, Text], AfterValidator(in_order), _map_of({"type": ["string", "number", "boolean"]})]
Mounts = Annotated[dict[Line, Line], AfterValidator(in_order), _map_of(_TEXT)]
VolumeName = Annotated[str, PlainValidator(volume_name), WithJsonSchema({**_TEXT, "pattern": f"^{_VOLUME.pattern}$"})]
Place = Annotated[str, PlainValidator(path_in_job), WithJsonSchema(_TEXT)]
Volumes = Annotated[dict[Place, VolumeName], AfterValidator(in_order), _map_of(_TEXT)]
Duration = Annotated[float, PlainValidator(quantities.duration), _or_text(_NUMBER, "30s", "1h30m", 90)]
LongerThanZero = Annotated[float, PlainValidator(quantities.positive_duration), _or_text(_NUMBER, "6h", "2d", 90)]
Deadline = Annotated[str, PlainValidator(quantities.deadline), WithJsonSchema({**_TEXT, "examples": ["+6h"]})]
Size = Annotated[int, PlainValidator(quantities.size_bytes), _SIZE_TEXT, _or_text(_NUMBER, "32GB", "16GiB", "32+", 32)]
Cpus = Annotated[float, PlainValidator(quantities.cpus), _or_text(_NUMBER, 4, "8+", 0.5)]
Usd = Annotated[str, PlainValidator(quantities.usd), _or_text(_NUMBER, 5, "$2.50")]
Rate = Annotated[str, PlainValidator(quantities.rate), _or_text(_NUMBER, 0, "$2.50")]
Share = Annotated[float, PlainValidator(share), _or_text(_NUMBER, 0.5)]
Amounts = Annotated[dict[Line, Share], AfterValidator(in_order)]
Boolean = Annotated[bool, PlainValidator(boolean), WithJsonSchema({"type": "boolean"})]
Accelerators = Annotated[
    gpus.Accelerators,
    PlainValidator(gpus.accelerators),
    PlainSerializer(gpus.written),
    WithJsonSchema(
        {
            "anyOf": [
                _TEXT,
                _NUMBER,
                {"type": "object"},
                {"type": "array", "items": {"anyOf": [_TEXT, _NUMBER, {"type": "object"}]}},
            ],
            "examples": ["H100:8", {"H100": 8, "A100-80GB": 8}, ["H100:8", "A100-80GB:8"], "24GB..", 1],
        }
    ),
]


def lower(value: Any) -> Any:
    """Words in lower case with hyphens, as choices are listed."""
    return value.strip().lower().replace("_", "-") if isinstance(value, str) else value


Lower = BeforeValidator(lower)
