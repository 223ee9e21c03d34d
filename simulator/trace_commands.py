"""`broker trace`: recorded workloads of other systems → ours; what is in one; made-up ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(rich_markup_mode=None, help="Recorded workloads: import, describe, make up.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write here, not to standard output.")]


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="A file, also compressed; - reads standard input.")],
    form: Annotated[
        str | None, typer.Option("--format", help="jobs, slurm, swf, ray, kubernetes, modal, broker or requests.")
    ] = None,
    out: Out = None,
    prefill: Annotated[float, typer.Option(min=1, help="Requests: tokens read a second.")] = 8_000.0,
    decode: Annotated[float, typer.Option(min=0.1, help="Requests: tokens written a second.")] = 40.0,
    per_gpu: Annotated[float, typer.Option("--requests-per-gpu", min=0.01, help="Requests that share a GPU.")] = 16.0,
) -> None:
    """Turn another system's records into a trace.

    Example: sacct --parsable2 -a -o JobID,User,Submit,Start,End,State,AllocTRES | broker trace import - -o trace.csv
    """
    from simulator.traces.any_format import read
    from simulator.traces.formats.serving import Serving

    serving = Serving(prefill_tokens_per_s=prefill, decode_tokens_per_s=decode, requests_per_gpu=per_gpu)
    _write(read(source, form, serving), out)


@app.command()
def describe(
    trace: Annotated[str, typer.Argument(help="A trace: our CSV, also compressed; - reads standard input.")] = "-",
    breakeven: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Busy share above which a GPU is worth holding.")
    ] = 0.45,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report that opens in a browser.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say what is in a trace: what a planner looks at first.

    Busy GPUs, how busy each would be, how long jobs are, whether days are alike, and who it is.

    Example: broker trace describe trace.csv.gz
    """
    import json

    from simulator.traces import load
    from simulator.traces.describe import describe as described
    from simulator.traces.description import print_description

    history = load(trace)
    found = described(history, breakeven)
    if html is not None:
        from simulator.report.trace import page
        from simulator.traces.describe import busy_gpus
        from simulator.traces.own_csv import file_stem

        html.write_text(page(file_stem(trace), history, busy_gpus(history), found), encoding="utf-8")
    if as_json:
        print(json.dumps(found))
    else:
        print_description(history, found)


@app.command()
def synth(
    kind: Annotated[str, typer.Option(help="training, serving, sweeps, bursty or mixed.")] = "mixed",
    days: Annotated[float, typer.Option(min=0.1, max=3_660, help="How long it is.")] = 60.0,
    gpus: Annotated[float, typer.Option(min=0.1, max=100_000, help="GPUs that are busy on average.")] = 16.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same trace.")] = 0,
    out: Out = None,
) -> None:
    """Make up a realistic trace.

    Example: broker trace synth --kind training --days 60 | broker simulate -
    """
    from broker.model.errors import InvalidInput
    from simulator.traces.synth import synth as made

    try:
        _write(made(kind, days, gpus, seed), out)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _write(table: Any, out: Path | None) -> None:
    table.to_csv(sys.stdout if out is None else out, index=False)
