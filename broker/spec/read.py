"""YAML files, flags and Python calls → a validated `JobDocument` and what was ignored, or every problem with its place.

All three ways make trees, which are put into our own names, laid over each other, and validated once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from broker.model.errors import InvalidInput, Problem
from broker.spec.adopt import CONTAINERS, adopt
from broker.spec.check import World, contradictions
from broker.spec.document import ADOPTED, JobDocument
from broker.spec.field_names import names_at
from broker.spec.local_paths import make_absolute
from broker.spec.source import Keys, Place, Tree, read_text, unfit_text
from broker.spec.validation_errors import complaints
from broker.spec.yaml_source import yaml_tree

FLAGS: Final[Mapping[str, str]] = {
    "resources.accelerators": "--gpus",
    "envs": "--env",
    "secrets": "--secret",
    "secret_files": "--secret-file",
    "tags": "--tag",
    "requirements": "--pip",
    "file_mounts": "--mount",
    "volumes": "--volume",
    "placement.pools": "--pool",
    "placement.not_pools": "--not-pool",
    "placement.regions": "--region",
    "retry.max_attempts": "--attempts",
    "retry.on_events": "--retry-on",
    "argv": "-- COMMAND",
}
KNOWN_MODELS: Final = World(gpu_models=())  # refuses GPUs that only a pool would know
_ADDED_TO: Final = CONTAINERS | {
    "envs",
    "tags",
    "file_mounts",
    "volumes",
    "secret_files",
}  # maps whose keys override one by one
_COMMANDS: Final = ("run", "argv", "function")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A job that is well-formed."""

    document: JobDocument
    ignored: tuple[Problem, ...] = ()  # what other tools know and the broker does not, with its place and why


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A tree in our own names."""

    tree: Tree
    data: dict[str, Any]
    origins: Mapping[Keys, Keys]
    ignored: tuple[Problem, ...]
    problems: tuple[Problem, ...]

    def problem(self, keys: Keys, message: str) -> Problem:
        for end in range(len(keys), 0, -1):
            if written := self.origins.get(keys[:end]):
                return self.tree.problem((*written, *keys[end:]), message)
        return self.tree.problem(keys, message)


def read_yaml(
    source: Path | str,
    *,
    file: str = "job.yaml",
    over: Tree | None = None,
    world: World = KNOWN_MODELS,
) -> Parsed:
    """The job in a YAML file (a Path), or in YAML text that is called `file`; fields of `over` override its own.

    Raises `InvalidInput` with all that is wrong.
    """
    if isinstance(source, Path):
        tree = yaml_tree(read_text(source), str(source), source.absolute().parent)
        name = re.sub(r"[^\w.-]", "-", source.name.split(".")[0] or source.parent.name).strip("-.")
        named = {"name": name, **tree.data} if name else tree.data
        tree = Tree(data=named, places=tree.places, base=tree.base)
    else:
        tree = yaml_tree(source, file, Path.cwd())
    return parse(*([tree, over] if over else [tree]), world=world)


def flag_tree(
    flags: Mapping[str, Any], argv: Sequence[str] = (), names: Mapping[str, str] = FLAGS, base: Path | None = None
) -> Tree:
    """Flags by dotted field; values that are None or empty lists were not given. `names` are the flags' own names.

    Raises `InvalidInput` when one flag gives a part of what another gives whole.
    """
    data: dict[str, Any] = {}
    places: dict[Keys, Place] = {}
    given = {**flags, "argv": list(argv)}
    for field, value in given.items():
        if value is None or value in ([], ()):
            continue
        keys = tuple(field.split("."))
        inner = data
        name = names.get(field, "--" + keys[-1].replace("_", "-"))
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise InvalidInput(Problem(message="is part of what another flag gives whole: keep one", field=name))
        inner[keys[-1]] = list(value) if isinstance(value, tuple) else value
        places[keys] = Place(name=name)
    return Tree(data=data, places=places, base=base or Path.cwd())


def from_flags(
    flags: Mapping[str, Any],
    argv: Sequence[str] = (),
    *,
    file: Path | str | None = None,
    names: Mapping[str, str] = FLAGS,
    world: World = KNOWN_MODELS,
) -> Parsed:
    """The job that flags describe, laid over the job in `file` (or in YAML text) if given. Raises `InvalidInput`."""
    tree = flag_tree(flags, argv, names)
    return parse(tree, world=world) if file is None else read_yaml(file, file="stdin", over=tree, world=world)


def from_python(*, world: World = KNOWN_MODELS, **fields: Any) -> Parsed:
    """The job with these fields; nested ones are maps. Raises `InvalidInput`."""
    return parse(Tree(data=fields, base=Path.cwd()), world=world)


def from_mapping(fields: Mapping[str, Any], *, world: World = KNOWN_MODELS) -> Parsed:
    """The job in the body of a request: as `from_python`, but local paths must be absolute. Raises `InvalidInput`."""
    return parse(Tree(data=dict(fields)), world=world)


def parse(*trees: Tree, world: World) -> Parsed:
    """The job that these trees describe; later ones override earlier ones. Raises `InvalidInput`."""
    layers = [_layer(tree) for tree in trees]
    wrong = [problem for layer in layers for problem in layer.problems]
    if any(layer.problems and not layer.data for layer in layers):
        raise InvalidInput(*_in_order(wrong))
    try:
        document = JobDocument.model_validate(_laid_over([layer.data for layer in layers]), context=ADOPTED)
    except ValidationError as error:
        found = [_problem(layers, *each) for each in complaints(error, names_at)]
        # What was refused already may be why the whole makes no sense: only what has a field is said besides.
        wrong += [each for each in found if each.field] if wrong else found
        raise InvalidInput(*_in_order(wrong)) from error
    wrong += [_problem(layers, *found) for found in contradictions(document, world)]
    if wrong:
        raise InvalidInput(*_in_order(wrong))
    return Parsed(document=document, ignored=tuple(problem for layer in layers for problem in layer.ignored))


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """As they stand in the file; of a field, what was found first."""
    first: dict[tuple[str, int | None, str], Problem] = {}
    for problem in problems:
        first.setdefault((problem.file, problem.line, problem.field), problem)
    return sorted(first.values(), key=lambda problem: (problem.file, problem.line or 0))


def _layer(tree: Tree) -> _Layer:
    unfit = tuple(tree.problem(*found) for found in unfit_text(tree.data))
    if unfit:
        return _Layer(tree=tree, data={}, origins={}, ignored=(), problems=unfit)
    adopted = adopt(tree.data)
    paths = [(adopted.origin(keys), message) for keys, message in make_absolute(adopted.data, tree.base)]
    return _Layer(
        tree=tree,
        data=adopted.data,
        origins=adopted.origins,
        ignored=tuple(tree.problem(*found) for found in adopted.ignored),
        problems=tuple(tree.problem(*found) for found in (*adopted.problems, *paths)),
    )


def _laid_over(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        if any(name in layer for name in _COMMANDS):
            merged = {name: value for name, value in merged.items() if name not in _COMMANDS}
        for name, value in layer.items():
            below = merged.get(name)
            if name in _ADDED_TO and isinstance(value, Mapping) and isinstance(below, Mapping):
                merged[name] = {**below, **value}
            elif name == "secrets" and isinstance(value, list) and isinstance(below, list):
                merged[name] = [*below, *value]
            else:
                merged[name] = value
    return merged


def _problem(layers: Sequence[_Layer], keys: Keys, message: str) -> Problem:
    """The problem with its place in the topmost tree that has it."""
    for layer in reversed(layers):
        if _has(layer.data, keys[:2]):
            return layer.problem(keys, message)
    for layer in reversed(layers):
        if keys and keys[0] in layer.data:
            return layer.problem(keys, message)
    return layers[0].problem(keys, message)


def _has(data: Any, keys: Keys) -> bool:
    for key in keys:
        if not isinstance(data, Mapping) or key not in data:
            return False
        data = data[key]
    return bool(keys)
