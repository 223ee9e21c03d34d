"""`broker import`: jobs of other tools → job files, with a report of what is lost and what could not be translated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from broker.model.errors import Problem
    from broker.spec.document import JobDocument

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Turn jobs of other tools into job files.")

Into = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write files here; else to standard output.")
]


@app.command("modal")
def from_modal(
    program: Annotated[str, typer.Argument(metavar="FILE.py[::FUNCTION]", help="A Modal program, or one function.")],
    arg: Annotated[list[str] | None, typer.Option("--arg", metavar="NAME=VALUE", help="An argument.")] = None,
    output: Into = None,
) -> None:
    """Make jobs of a Modal program's functions.

    The program is read, not run. A job calls its function in the program's folder, by .local().
    Web endpoints and buckets are not translated.
    Example: broker import modal train.py::train --arg lr=0.1 | broker submit -
    """
    from broker.model.errors import InvalidInput
    from broker.spec.modal_app.functions import translate

    path, _, only = program.partition("::")
    found = translate(Path(path), only or None, dict(map(_argument, arg or [])))
    for each in found:
        _report(each.notes, each.problems, each.name)
    written = [(each.name, each.document) for each in found if each.document is not None]
    if not written:
        raise InvalidInput("nothing could be translated")
    _write(written, output)


@app.command("skypilot")
@app.command("dstack")
def from_task(
    file: Annotated[Path, typer.Argument(metavar="TASK.yaml", help="A task of SkyPilot or dstack.")],
    output: Into = None,
) -> None:
    """Make a job file of a SkyPilot or dstack task.

    `broker submit` takes such a task as it is; this shows what it becomes, and what is lost.
    Example: broker import skypilot task.yaml
    """
    from broker.spec.read import read_yaml

    parsed = read_yaml(file)
    _report(parsed.ignored)
    _write([(parsed.document.name or file.stem, parsed.document)], output)


@app.command("ray", context_settings={"allow_extra_args": True, "allow_interspersed_args": False})
def from_ray(
    context: typer.Context,
    working_dir: Annotated[str | None, typer.Option(help="Folder whose copy it runs in.")] = None,
    runtime_env: Annotated[Path | None, typer.Option(metavar="FILE", help="Runtime environment, YAML.")] = None,
    runtime_env_json: Annotated[str | None, typer.Option(metavar="JSON", help="Runtime environment.")] = None,
    submission_id: Annotated[str | None, typer.Option(help="The id of the job.")] = None,
    metadata_json: Annotated[str | None, typer.Option(metavar="JSON", help="Becomes tags.")] = None,
    entrypoint_num_cpus: Annotated[float | None, typer.Option(help="Processors of the entrypoint.")] = None,
    entrypoint_num_gpus: Annotated[float | None, typer.Option(help="GPUs of the entrypoint.")] = None,
    entrypoint_memory: Annotated[int | None, typer.Option(help="Bytes of the entrypoint.")] = None,
    entrypoint_resources: Annotated[str | None, typer.Option(metavar="JSON", help="Custom resources.")] = None,
    output: Into = None,
) -> None:
    """Make a job file of what `ray job submit` is given.

    The job runs on a Ray cluster, as a Ray program.

    Example: broker import ray --working-dir . --runtime-env-json '{"pip": ["torch"]}' -- python train.py
    """
    from broker.spec.read import from_python

    environment = {**_yaml(runtime_env), **_json("--runtime-env-json", runtime_env_json)}
    if working_dir is not None:
        environment["working_dir"] = working_dir
    given: dict[str, Any] = {
        "argv": context.args,
        "runtime_env": environment,
        "submission_id": submission_id,
        "metadata": _json("--metadata-json", metadata_json) or None,
        "entrypoint_num_cpus": entrypoint_num_cpus,
        "entrypoint_num_gpus": entrypoint_num_gpus,
        "entrypoint_memory": entrypoint_memory,
        "entrypoint_resources": _json("--entrypoint-resources", entrypoint_resources) or None,
        "runtime": "ray",
    }
    parsed = from_python(**given)
    _report(parsed.ignored)
    _write([(parsed.document.id or "job", parsed.document)], output)


def _argument(text: str) -> tuple[str, Any]:
    """NAME=VALUE; a value that is a Python literal is one, anything else is text."""
    from ast import literal_eval

    from broker.model.errors import InvalidInput

    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"--arg {text}: write NAME=VALUE")
    try:
        return name, literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


def _yaml(file: Path | None) -> dict[str, Any]:
    from broker.spec.source import read_text
    from broker.spec.yaml_source import yaml_tree

    return yaml_tree(read_text(file), str(file)).data if file else {}


def _json(flag: str, text: str | None) -> dict[str, Any]:
    from json import loads

    from broker.model.errors import InvalidInput

    try:
        found = loads(text or "{}")
    except ValueError as error:
        raise InvalidInput(f"{flag}: is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{flag}: must be a JSON object")
    return found


def _report(notes: Iterable[Problem], problems: Iterable[Problem] = (), name: str = "") -> None:
    from broker.cli.render import say

    of = f"{name}: " if name else ""
    for note in notes:
        say(f"note: {of}{note}", style="dim")
    for problem in problems:
        say(f"not translated: {of}{problem}", style="yellow")


def _write(documents: list[tuple[str, JobDocument]], output: Path | None) -> None:
    """Files in a folder, none of which may exist; or all of them on standard output."""
    from broker.cli.render import say
    from broker.model.errors import Conflict
    from broker.spec.yaml_output import yaml_text

    if output is None:
        print("---\n".join(yaml_text(document, Path.cwd()) for _, document in documents), end="")
        return
    files = [(output / f"{name}.yaml", document) for name, document in documents]
    if there := [str(file) for file, _ in files if file.exists()]:
        raise Conflict(f"{', '.join(there)}: exists, and is left as it is; name another folder")
    output.mkdir(parents=True, exist_ok=True)
    for file, document in files:
        file.write_text(yaml_text(document, output.absolute()), encoding="utf-8")
        say(f"{file} written")
