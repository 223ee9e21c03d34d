"""The functions of a Modal program → jobs that call them, each with what was lost or could not be translated.

The program is parsed, never run. A job calls its function by Modal's own `.local()`, in the program's folder.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.model.errors import InvalidInput, Problem
from broker.spec.check import World
from broker.spec.document import JobDocument
from broker.spec.modal_app.constants import Call, Imported, Names, NotConstant, constant
from broker.spec.modal_app.options import ENDED_AFTER_S, Job, take_options
from broker.spec.read import KNOWN_MODELS, parse
from broker.spec.source import Place, Tree, read_text

_WEB: Final = ("fastapi_endpoint", "web_endpoint", "asgi_app", "wsgi_app", "web_server")
_PER_CALL: Final = ("concurrent", "batched")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """What became of one function; `document` is None where `problems` say why."""

    name: str
    document: JobDocument | None
    notes: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A function with what its decorators say."""

    name: str  # `train`, or `Model.predict`
    node: _Function
    options: Mapping[str, Any]
    marks: tuple[Call, ...]  # decorators of Modal's beside `@app.function`
    needed: tuple[str, ...] = ()  # parameters of its class that have no default


def translate(
    path: Path, only: str | None = None, given: Mapping[str, Any] = {}, world: World = KNOWN_MODELS
) -> list[Translated]:
    """Every function of the program at `path`, or the one called `only`; `given` are arguments by name.

    Raises `InvalidInput` when it is no Python, has no such function, or an argument is no function's.
    """
    found = list(_functions(_parsed(path)))
    chosen = [each for each in found if only in (None, each.name)]
    names = ", ".join(each.name for each in found) or "none"
    if not chosen:
        wanted = f"function {only}" if only else "function of a Modal app"
        raise InvalidInput(Problem(message=f"has no {wanted}; it has: {names}", file=str(path)))
    for name in given:
        if not any(name in _parameters(each.node) for each in chosen):
            raise InvalidInput(Problem(message=f"is an argument of no function: {names}", field=name, file=str(path)))
    return [_translated(each, path, given, world) for each in chosen]


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(read_text(path), str(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise InvalidInput(Problem(message=f"is not Python: {error}", file=str(path), line=line)) from error


def _functions(module: ast.Module) -> Iterator[_Found]:
    names = Names()
    for statement in module.body:
        names.learn(statement)
        if isinstance(statement, _Function):
            marks = _decorators(statement, names)
            if (app := _of_app(marks, "function")) is not None:
                yield _Found(name=statement.name, node=statement, options=app, marks=marks)
        elif isinstance(statement, ast.ClassDef):
            app = _of_app(_decorators(statement, names), "cls")
            yield from _methods(statement, app, names) if app is not None else ()


def _methods(node: ast.ClassDef, options: Mapping[str, Any], names: Names) -> Iterator[_Found]:
    needed = tuple(_without_default(node, names))
    for each in node.body:
        if isinstance(each, _Function):
            marks = _decorators(each, names)
            if any(mark.name in ("modal.method", *(f"modal.{web}" for web in _WEB)) for mark in marks):
                name = f"{node.name}.{each.name}"
                yield _Found(name=name, node=each, options=options, marks=marks, needed=needed)


def _without_default(node: ast.ClassDef, names: Names) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.value is not None:
            try:
                value = constant(each.value, names)
            except NotConstant:
                continue
            if isinstance(value, Call) and value.name == "modal.parameter" and "default" not in value.named:
                yield each.target.id


def _decorators(node: _Function | ast.ClassDef, names: Names) -> tuple[Call, ...]:
    found = []
    for each in node.decorator_list:
        try:
            value = constant(each, names)
        except NotConstant:
            continue
        if isinstance(value, Imported):
            value = Call(name=value.path, args=(), named={}, line=each.lineno)
        if isinstance(value, Call):
            found.append(value)
    return tuple(found)


def _of_app(marks: tuple[Call, ...], kind: str) -> dict[str, Any] | None:
    """The options of `@app.function(…)`, over those that its app gives to all; None where there is no such mark."""
    for mark in marks:
        if mark.name.rpartition(".")[2] == kind and mark.name != f"modal.{kind}":
            shared = mark.of.named if mark.of else {}
            for_all = {name: shared[name] for name in ("image", "secrets", "volumes") if name in shared}
            return {**for_all, **mark.named}
    return None


def _translated(found: _Found, path: Path, given: Mapping[str, Any], world: World) -> Translated:
    line = found.node.lineno
    job = Job(fields={"name": found.name, "timeout": ENDED_AFTER_S, "workdir": ".", "requirements": ["modal"]})
    take_options(job, found.options, line, path.parent)
    _take_marks(job, found)
    job.fields["argv"] = ["python", "-c", _call(job, found, path, given)]
    notes, problems = (
        [Problem(message=why, field=what, file=str(path), line=at) for at, what, why in each]
        for each in (job.notes, job.problems)
    )
    if problems:
        return Translated(name=found.name, document=None, notes=tuple(notes), problems=tuple(problems))
    whole = Place(file=str(path), line=line)
    tree = Tree(data=job.fields, places={(name,): whole for name in job.fields}, base=path.absolute().parent)
    try:
        parsed = parse(tree, world=world)
    except InvalidInput as error:
        return Translated(name=found.name, document=None, notes=tuple(notes), problems=error.problems)
    return Translated(name=found.name, document=parsed.document, notes=(*notes, *parsed.ignored))


def _take_marks(job: Job, found: _Found) -> None:
    for mark in found.marks:
        kind = mark.name.rpartition(".")[2]
        if kind in _WEB:
            job.problems.append((mark.line, kind, "answers requests: services are not run here, only jobs that end"))
        elif kind in _PER_CALL:
            job.notes.append((mark.line, kind, "is ignored: a job makes one call"))


def _call(job: Job, found: _Found, path: Path, given: Mapping[str, Any]) -> str:
    """The program that calls the function with what was given."""
    parameters = _parameters(found.node)
    for name, has_default in parameters.items():
        if not has_default and name not in given:
            job.problems.append((found.node.lineno, name, f"has no default: give it with --arg {name}=VALUE"))
    for name in found.needed:
        job.problems.append((found.node.lineno, name, f"has no default in its class: {found.name} can't be called"))
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items() if name in parameters)
    top, _, method = found.name.partition(".")
    called = f"{top}().{method}.local({arguments})" if method else f"{top}.local({arguments})"
    if path.stem.isidentifier():
        return f"from {path.stem} import {top}; {called}"
    return f"import runpy; {top} = runpy.run_path({path.name!r})[{top!r}]; {called}"


def _parameters(node: _Function) -> dict[str, bool]:
    """The parameters that can be given by name, and whether each has a default."""
    plain = [each.arg for each in (*node.args.posonlyargs, *node.args.args) if each.arg != "self"]
    without = len(plain) - len(node.args.defaults)
    found = {name: index >= without for index, name in enumerate(plain)}
    keyword = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return found | {each.arg: default is not None for each, default in keyword}
