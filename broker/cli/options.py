"""The flags that describe a job, for `submit` and `offers`, and the document they make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from broker.cli.common_mistakes import JOB_FILES, left_behind, refuse_what_is_no_command

# Command line parameter -> field of the job document, type, help.
_FLAGS: dict[str, tuple[str, str, Any, str]] = {
    "name": ("name", "--name,-n", str, "Name; by default made of the command."),
    "gpus": ("resources.accelerators", "--gpus,--gpu", str, "GPUs of each node: H100, H100:8, A100-80GB:0.5."),
    "cpus": ("resources.cpus", "--cpus,--cpu", str, "Virtual CPUs of each node."),
    "memory": ("resources.memory", "--memory", str, "Memory of each node: 32 (GB), 16GiB."),
    "num_nodes": ("resources.num_nodes", "--num-nodes", str, "Nodes; all start or none."),
    "spot_policy": ("resources.spot_policy", "--spot-policy", str, "auto, spot or on-demand."),
    "max_hourly_cost": ("resources.max_hourly_cost", "--max-hourly-cost", str, "Dollars per hour at most."),
    "env": ("envs", "--env", list[str], "KEY=VALUE; may be repeated."),
    "secret": ("secrets", "--secret", list[str], "Name of a secret; may be repeated."),
    "secret_file": (
        "secret_files",
        "--secret-file",
        list[str],
        "VARIABLE=NAME of a secret in a file; may be repeated.",
    ),
    "setup": ("setup", "--setup", str, "Script that builds the environment, once."),
    "pip": ("requirements", "--pip", list[str], "Python package of its environment; may be repeated."),
    "workdir": ("workdir", "--workdir", str, "Folder whose copy it runs in."),
    "volume": ("volumes", "--volume", list[str], "PATH=NAME of a volume; may be repeated."),
    "image": ("image", "--image", str, "Container image, or path of a Dockerfile."),
    "max_duration": ("max_duration", "--max-duration", str, "Ends it after this long: 30s, 10m, 6h, 2d."),
    "checkpoint_every": ("checkpoint_every", "--checkpoint-every", str, "How often it keeps a checkpoint."),
    "est_runtime": ("est_runtime", "--est-runtime", str, "How long you think it runs."),
    "max_wait": ("max_wait", "--max-wait", str, "May wait this long for cheaper capacity."),
    "deadline": ("deadline", "--deadline", str, "Must have ended by: +6h, or ISO time with zone."),
    "max_cost": ("max_cost", "--max-cost", str, "Dollars for the whole job at most."),
    "attempts": ("retry.max_attempts", "--attempts", str, "Attempts in all."),
    "retry_on": ("retry.on_events", "--retry-on", list[str], "no-capacity, interruption, error; may be repeated."),
    "array": ("array", "--array", str, "Number of tasks."),
    "tag": ("tags", "--tag", list[str], "KEY=VALUE; may be repeated."),
    "project": ("project", "--project", str, "Whose job it is: a project that you are a member of."),
    "priority": ("priority", "--priority", str, "0 to 100; larger goes first."),
    "id": ("id", "--id", str, "Your own id: submitting it again finds the first."),
    "pool": ("placement.pools", "--pool", list[str], "Only in this pool; may be repeated."),
    "not_pool": ("placement.not_pools", "--not-pool", list[str], "Never in this pool; may be repeated."),
    "region": ("placement.regions", "--region", list[str], "Only in this region; may be repeated."),
    "isolation": ("placement.isolation", "--isolation", str, "shared or dedicated."),
    "runtime": ("placement.runtime", "--runtime", str, "any or ray."),
}

Command = TypeVar("Command", bound=Callable[..., Any])


def describes_a_job(command: Command) -> Command:
    """Gives a command the flags of a job; it receives what was given as `flags`, by field."""

    def wrapped(**given: Any) -> Any:
        flags = {_FLAGS[name][0]: given.pop(name) for name in _FLAGS}
        return command(**given, flags=flags)

    whole = signature(command, eval_str=True)
    own = [parameter for name, parameter in whole.parameters.items() if name != "flags"]
    options = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, typer.Option(*flag.split(","), help=help_text, show_default=False)],
        )
        for name, (_, flag, kind, help_text) in _FLAGS.items()
    ]
    keyword_only = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own]
    wrapped.__signature__ = whole.replace(parameters=[*keyword_only, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword_only, *options]}
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped  # type: ignore[return-value]


def document_of(words: list[str], flags: dict[str, Any]) -> dict[str, Any]:
    """The document that a file, a command and flags describe, as the API takes it; notes go to stderr.

    `words` is a file (`-` is standard input), or a command, or a file and a command. Raises `InvalidInput`.
    """
    import json

    from broker.cli.render import say
    from broker.spec.build import dump
    from broker.spec.read import from_flags

    file, argv = _file_and_command(words)
    if file is None:
        refuse_what_is_no_command(argv, flags)
    parsed = from_flags(flags, argv, file=file)
    notes = [*parsed.ignored, *(left_behind(argv, flags) if file is None else ())]
    for note in notes:
        say(f"note: {note}", style="dim")
    fields: dict[str, Any] = json.loads(dump(parsed.document))
    fields.pop("format", None)
    return fields


def _file_and_command(words: list[str]) -> tuple[Path | str | None, list[str]]:
    if words and words[0] == "-":
        from broker.spec.source import MAX_BYTES, decode

        return decode(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin"), words[1:]
    if words and words[0].endswith(JOB_FILES):
        return Path(words[0]), words[1:]
    return None, words
