"""Where the configuration is, and the environment over it → `Settings`."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import ValidationError

from broker.decide.throttle import Rate
from broker.model.errors import InvalidInput, Problem
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.settings.budgets import budget_of
from broker.run.settings.document import NotifyPart, PricesPart, SettingsDocument
from broker.run.settings.leases import LeaseTimes
from broker.run.settings.price_refresh import PriceRefreshSettings
from broker.run.settings.receiver import Receiver
from broker.run.settings.settings import LogLimits, Settings, UserLimits
from broker.run.settings.toml_source import toml_tree
from broker.spec.source import Keys, Place, Plain, Tree, dotted, read_text, unfit_text
from broker.spec.validation_errors import complaints
from broker.spec.yaml_source import yaml_tree

PREFIX: Final = "BROKER_"
_NOT_SETTINGS: Final = frozenset(  # where the configuration is, and what a job finds in its environment
    {"config", "job_id", "attempt", "attempt_id", "pool", "array_id", "array_index", "array_size", "emulated_gpus"}
)
_IN_FOLDER: Final = ("broker.toml", "broker.yaml", "broker.yml")


def load_settings(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings by `path`, else BROKER_CONFIG, else the configuration of the folder, else the user's, else none.

    Raises `InvalidInput` with everything that is wrong, each with file and line, or the environment variable.
    """
    file = path or find_config(environment)
    tree = _with_environment(_read(file) if file else Tree(data={}, base=Path.cwd()), environment)
    if found := [tree.problem(*each) for each in unfit_text(tree.data)]:
        raise InvalidInput(*found)
    try:
        document = SettingsDocument.model_validate(_typed_options(tree.data))
    except ValidationError as error:
        found = [tree.problem(*each) for each in complaints(error, names_at)]
        raise InvalidInput(*sorted(found, key=lambda problem: (problem.file, problem.line or 0))) from error
    return _settings(document, tree, file, environment)


def find_config(environment: Mapping[str, str]) -> Path | None:
    """The configuration file that is used when none is named. Raises `InvalidInput` when it can't be told."""
    if named := environment.get("BROKER_CONFIG"):
        return Path(named).expanduser()
    here = [Path(name) for name in _IN_FOLDER if Path(name).is_file()]
    if len(here) > 1:
        message = f"and {here[1]} are both in this folder: keep one, or name one with --config"
        raise InvalidInput(Problem(message=message, file=str(here[0])))
    home = Path(environment.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    there = [home / "broker" / name for name in ("config.toml", "config.yaml")]
    return next((path for path in (*here, *there) if path.is_file()), None)


def names_at(keys: Keys) -> list[str]:
    """The fields that exist in the map at these keys, which is that of a model."""
    kind: Any = SettingsDocument
    for key in keys:
        kind = get_args(kind)[1] if get_origin(kind) is dict else kind.model_fields[str(key)].annotation
        kind = _without_none(kind)
    return list(kind.model_fields)


def _without_none(annotation: Any) -> Any:
    """The type of a field that is set: without None, and without what reads it."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not NoneType)
    return annotation


def _read(file: Path) -> Tree:
    text, base = read_text(file), file.absolute().parent
    if file.suffix.lower() in (".yaml", ".yml"):
        return yaml_tree(text, str(file), base)
    return toml_tree(text, str(file), base)


def _with_environment(tree: Tree, environment: Mapping[str, str]) -> Tree:
    """The tree with `BROKER_POOLS__RAY__MAX_NODES=4` and the like laid over it."""
    data, places = _copied(tree.data), dict(tree.places)
    for variable, value in sorted(environment.items()):
        if not value or not (path := _path(variable)):
            continue
        inner = data
        keys: Keys = ()
        for part in path[:-1]:
            name = _same(part, inner)
            keys = (*keys, name)
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise InvalidInput(Problem(message=f"{dotted(keys)} is not a map", field=variable))
        name = _same(path[-1], inner)
        inner[name] = _value(value, variable)
        places[(*keys, name)] = Place(name=variable)
    return Tree(data=data, places=places, base=tree.base)


def _path(variable: str) -> list[str]:
    """The keys that a variable stands for; none when it is not a setting. Raises `InvalidInput` for a near miss."""
    if not variable.startswith(PREFIX):
        return []
    first, *rest = variable.removeprefix(PREFIX).lower().split("__")
    if first in SettingsDocument.model_fields:
        return [first, *rest]
    near = get_close_matches(first, SettingsDocument.model_fields, n=1, cutoff=0.85)
    if near and first not in _NOT_SETTINGS and not first.startswith("secret_"):
        meant = f"{PREFIX}{near[0].upper()}"
        raise InvalidInput(Problem(message=f"is no setting (did you mean {meant}?)", field=variable))
    return []


def _same(part: str, inner: Mapping[str, Any]) -> str:
    """The key that is there already, where only case or hyphens differ: a variable's name has neither."""
    return next((key for key in inner if key.lower().replace("-", "_") == part), part)


def _value(text: str, variable: str) -> Any:
    if text[0] not in "[{":
        return Plain(text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(Problem(message=f"is not JSON: {error}", field=variable)) from error


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _typed_options(data: dict[str, Any]) -> dict[str, Any]:
    """Settings of plugins with numbers and truth values for what was written without quotes."""
    pools = data.get("pools")
    for pool in pools.values() if isinstance(pools, dict) else ():
        for name in ("options", "nodes") if isinstance(pool, dict) else ():
            if name in pool:
                pool[name] = _typed(pool[name])
    return data


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if not isinstance(value, Plain):
        return value
    if value in ("true", "false"):
        return value == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return str(value)


def _settings(document: SettingsDocument, tree: Tree, file: Path | None, environment: Mapping[str, str]) -> Settings:
    state_dir = _local(document.state_dir, tree, ("state_dir",)) or _default_state_dir(environment)
    return Settings(
        file=file,
        state_dir=state_dir,
        store_url=document.store_url or f"sqlite:///{state_dir / 'broker.db'}",
        shared_dir=_local(document.shared_dir, tree, ("shared_dir",)),
        lease_times=LeaseTimes(lease_s=document.brokers.lease, away_s=document.brokers.lost_after),
        listen=document.listen,
        dashboard=document.dashboard,
        user=document.user or getpass.getuser(),
        default_max_wait_s=document.default_max_wait,
        spot_rule=document.spot_rule,
        stale_price_days=document.stale_price_days,
        settle_every_s=document.settle_every,
        autopilot=AutopilotSettings(mode=Mode(document.autopilot.mode), every_s=document.autopilot.every),
        prices=_price_refresh(document.prices),
        budgets=tuple(budget_of(name, part, configured=True) for name, part in document.budgets.items()),
        audit_kept_s=document.audit.keep,
        admission_hooks=tuple(document.admission.hooks),
        admission_timeout_s=document.admission.timeout,
        limits=UserLimits(
            rate=Rate(per_s=document.limits.requests_per_second, burst=document.limits.burst),
            streams=document.limits.streams,
            failures=Rate(per_s=document.limits.failures_per_minute / 60, burst=document.limits.failures_per_minute),
            files=tuple(each for path in document.limits.files if (each := _local(path, tree, ("limits", "files")))),
        ),
        logs=LogLimits(
            max_stream_bytes=document.logs.max_stream, keep_s=document.logs.keep, max_blob_bytes=document.logs.max_blobs
        ),
        receivers=tuple(_receiver(name, part) for name, part in document.notify.items()),
        secret_prefix=document.secrets.env_prefix,
        secret_file=_local(document.secrets.file, tree, ("secrets", "file")),
        key_command=document.secrets.key_command,
        written_on=_written_on(file),
        pool_parts=document.pools,
        tree=tree,
    )


def _price_refresh(part: PricesPart) -> PriceRefreshSettings:
    return PriceRefreshSettings(
        providers=tuple(dict.fromkeys(part.refresh)),
        every_s=part.every,
        jitter=part.jitter,
        regions=part.regions,
        project=part.project or "",
    )


def _receiver(name: str, part: NotifyPart) -> Receiver:
    return Receiver(
        name=name,
        url_secret=part.url_secret,
        events=tuple(part.events),
        form=part.format,
        signing_secret=part.signing_secret,
    )


def _local(path: str | None, tree: Tree, keys: Keys) -> Path | None:
    """A path as it is meant where it was written: beside the file, or from here when the environment says it."""
    if path is None:
        return None
    base = tree.base if tree.place(keys).file else None
    return (base or Path.cwd()).joinpath(Path(path).expanduser()).absolute()


def _default_state_dir(environment: Mapping[str, str]) -> Path:
    home = environment.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home) / "broker"


def _written_on(file: Path | None) -> date | None:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).date() if file else None
