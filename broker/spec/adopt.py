"""A tree with the names and habits of any tool → the same job in our own names, and what was ignored on the way.

What comes out may still be wrong: `broker.spec.document` says so. Adopting what was adopted changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from broker.spec import conversions
from broker.spec.alternatives import flatten
from broker.spec.foreign import ALIASES, IGNORED, REFUSED
from broker.spec.quantities import shown
from broker.spec.source import Keys, dotted

Found = tuple[Keys, str]  # where, and what to say about it
Convert = Callable[[Any], Any]

CONTAINERS: Final = frozenset({"resources", "retry", "placement", "runtime_env"})  # maps of fields
_MAPS: Final = ("envs", "tags", "file_mounts", "secret_files")  # maps of what people name themselves
_LISTS: Final = ("secrets", "placement.pools", "placement.not_pools", "placement.regions", "retry.on_events")
_SHAPES: Final[Mapping[str, Convert]] = {
    "volumes": conversions.mounted,
    "run": conversions.script,
    "setup": conversions.script,
    "image": conversions.image,
    "retry": conversions.retry,
    "placement.infra": conversions.listed,
    **{name: conversions.pairs for name in _MAPS},
    **{name: conversions.listed for name in _LISTS},
}


def _keys(name: str) -> Keys:
    return tuple(name.split("."))


# Every submission goes through all of them: their names are taken apart once.
_RENAMED: Final = [(_keys(of.name), _keys(of.field), conversions.CONVERSIONS.get(of.convert)) for of in ALIASES]
_LEFT_OUT: Final = [(_keys(of.name), f"is ignored: {of.why}") for of in IGNORED]
_TURNED_DOWN: Final = [(_keys(of.name), of.why) for of in REFUSED]
_RESHAPED: Final = [(_keys(name), shape) for name, shape in _SHAPES.items()]
_FOREIGN: Final = frozenset(
    keys[:2]
    for keys in (
        *(old for old, _, _ in _RENAMED),
        *(keys for keys, _ in _LEFT_OUT),
        *(keys for keys, _ in _TURNED_DOWN),
    )
)


@dataclass(slots=True, kw_only=True)
class Adopted:
    """A job in our own names, with what was found while translating it."""

    data: dict[str, Any]
    origins: dict[Keys, Keys] = field(default_factory=dict)  # our keys -> the keys that were written
    ignored: list[Found] = field(default_factory=list)
    problems: list[Found] = field(default_factory=list)

    def origin(self, keys: Keys) -> Keys:
        """What was written for these keys of ours, or for the nearest thing that contains them."""
        for end in range(len(keys), 0, -1):
            if written := self.origins.get(keys[:end]):
                return (*written, *keys[end:])
        return keys


def adopt(data: Mapping[str, Any]) -> Adopted:
    """Our own names for what is in `data`, which is left as it is."""
    adopted = Adopted(data={key: dict(value) if _is_container(key, value) else value for key, value in data.items()})
    _drop_nothing(adopted.data)
    _attempt(adopted, ("resources",), lambda: flatten(adopted.data, adopted.ignored))
    if not _FOREIGN.isdisjoint(_written(adopted.data)):
        for old, new, convert in _RENAMED:
            if _may_have(adopted.data, old):
                _rename(adopted, old, new, convert)
        _sort_out(adopted, _LEFT_OUT, adopted.ignored)
        _sort_out(adopted, _TURNED_DOWN, adopted.problems)
    for keys, shape in _RESHAPED:
        if _may_have(adopted.data, keys):
            _reshape(adopted, keys, shape)
    _place(adopted)
    _take_secrets(adopted)
    _tidy(adopted)
    return adopted


def _is_container(key: str, value: Any) -> bool:
    return key in CONTAINERS and isinstance(value, Mapping)


def _drop_nothing(data: dict[str, Any]) -> None:
    """A field without a value is as if it were not there."""
    for key in [key for key, value in data.items() if value is None]:
        del data[key]
    for key, value in data.items():
        if _is_container(key, value):
            data[key] = {name: inner for name, inner in value.items() if inner is not None}


def _sort_out(adopted: Adopted, foreign: Iterable[Found], found: list[Found]) -> None:
    """Takes out what has no counterpart here, and says of each what there is to say."""
    for keys, why in foreign:
        if _may_have(adopted.data, keys):
            written = adopted.origin(keys)
            value = _take(adopted.data, keys)
            if value is not None and conversions.boolean(value) is not False:
                found.append((written, why))


def _rename(adopted: Adopted, old: Keys, new: Keys, convert: Convert | None) -> None:
    value = _take(adopted.data, old)
    if value is None:
        return
    if _get(adopted.data, new) is not None:
        other = adopted.origins.get(new, new)
        adopted.problems.append((old, f"is the same field as {dotted(other)}, which is given too: keep one"))
        return
    adopted.origins[new] = adopted.origin(old)
    value = dict(value) if isinstance(value, Mapping) else value
    _attempt(adopted, old, lambda: _set(adopted.data, new, convert(value) if convert else value))


def _reshape(adopted: Adopted, keys: Keys, shape: Convert) -> None:
    value = _get(adopted.data, keys)
    if value is not None:
        _attempt(adopted, adopted.origin(keys), lambda: _set(adopted.data, keys, shape(value)))


def _attempt(adopted: Adopted, keys: Keys, action: Callable[[], object]) -> None:
    """Does it, or notes what is wrong with what stands there."""
    try:
        action()
    except ValueError as error:
        adopted.problems.append((keys, str(error)))


def _place(adopted: Adopted) -> None:
    """`infra: modal/eu` is a pool that is allowed, `infra: "*/eu"` a region."""
    infra = _take(adopted.data, ("placement", "infra"))
    if infra is None:
        return
    written = adopted.origin(("placement", "infra"))
    if not isinstance(infra, list | tuple) or not all(isinstance(entry, str) for entry in infra):
        adopted.problems.append((written, f"must be a pool, or pool/region, not {shown(infra)}"))
        return
    anywhere = [entry.removeprefix("*").removeprefix("/") for entry in infra if entry.startswith("*")]
    named = [entry for entry in infra if not entry.startswith("*")]
    for name, values in (("pools", named), ("regions", [region for region in anywhere if region])):
        keys = ("placement", name)
        if values and _get(adopted.data, keys) is not None:
            other = dotted(adopted.origin(keys))
            adopted.problems.append((written, f"says the same as {other}, which is given too: keep one"))
        elif values:
            adopted.origins[keys] = written
            _set(adopted.data, keys, values)


def _take_secrets(adopted: Adopted) -> None:
    """Environment variables without a value are secrets by that name; a secret never has its value here."""
    secrets = adopted.data.get("secrets")
    if isinstance(secrets, Mapping):
        written = adopted.origin(("secrets",))
        for name in (name for name, value in secrets.items() if value is not None):
            message = "must have no value here: only its name; the value comes from the broker's source of secrets"
            adopted.problems.append(((*written, name), message))
        adopted.data["secrets"] = list(secrets)
    envs = adopted.data.get("envs")
    if not isinstance(envs, Mapping):
        return
    named = [name for name, value in envs.items() if value is None or _is_reference(name, value)]
    if named:
        written = adopted.origin(("envs",))
        adopted.ignored += [((*written, name), "has no value: taken as the name of a secret") for name in named]
        adopted.data["envs"] = {name: value for name, value in envs.items() if name not in named}
        adopted.data["secrets"] = [*adopted.data.get("secrets", []), *named]


def _is_reference(name: str, value: Any) -> bool:
    """Whether it is written as dstack does: `${{ secrets.NAME }}`."""
    return isinstance(value, str) and "".join(value.split()) == f"${{{{secrets.{name}}}}}"


def _tidy(adopted: Adopted) -> None:
    """`max_duration: off` is no limit, and so is -1; of `runtime_env` nothing may be left."""
    if str(adopted.data.get("max_duration")).lower() in ("off", "-1", "false"):
        del adopted.data["max_duration"]
    if isinstance(left := adopted.data.get("runtime_env"), Mapping):
        del adopted.data["runtime_env"]
        adopted.problems += [(("runtime_env", name), "unknown field") for name in left]


def _written(data: Mapping[str, Any]) -> Iterator[Keys]:
    """The keys of fields, and of fields in them."""
    for key, value in data.items():
        yield (key,)
        if isinstance(value, Mapping):
            yield from ((key, name) for name in value)


def _may_have(data: Mapping[str, Any], keys: Keys) -> bool:
    """False where there is nothing at these keys: nearly always, and a document is asked for a hundred of them."""
    if len(keys) == 1 or keys[0] not in data:
        return keys[0] in data
    inner = data[str(keys[0])]
    return not isinstance(inner, dict) or keys[1] in inner


def _get(data: Mapping[str, Any], keys: Iterable[str | int]) -> Any:
    value: Any = data
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _take(data: dict[str, Any], keys: Keys) -> Any:
    *outer, last = keys
    container = _get(data, outer)
    return container.pop(last, None) if isinstance(container, dict) else None


def _set(data: dict[str, Any], keys: Keys, value: Any) -> None:
    *outer, last = keys
    for key in outer:
        inner = data.setdefault(str(key), {})
        if not isinstance(inner, dict):
            raise ValueError("must be a map of fields")
        data = inner
    data[str(last)] = value
