"""`broker warm`: a workload → what serverless containers cost under several idle windows, and the best of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from broker.decide.warm import Idle

USUAL_S = (2.0, 10.0, 60.0, 300.0)


def warm(
    trace: Annotated[str, typer.Argument(help="A trace of jobs: our CSV, also compressed; - reads standard input.")],
    cold_start: Annotated[float, typer.Option(min=0, help="Seconds that a container starts, and is paid for.")] = 10.0,
    worth: Annotated[float, typer.Option(min=0, help="What not waiting so long is worth, in such seconds.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How long serverless containers should stay warm (Modal's scaledown_window), and what that saves.

    Example: broker warm requests.csv --cold-start 20
    """
    import json

    from broker.decide.demand import Demand
    from broker.decide.warm import best_window_s, histogram_window_s, idle_times
    from broker.model.errors import InvalidInput
    from simulator.traces import load

    workload = load(trace)
    if isinstance(workload, Demand):
        raise InvalidInput(f"{trace} is a series of busy GPUs: this needs jobs, with submit_s, duration_s and gpus")
    idle = idle_times(workload)
    best = best_window_s(idle, cold_start + worth)
    windows = {f"{window_s:g} s": window_s for window_s in USUAL_S}
    windows |= {"histogram, 99 %": histogram_window_s(idle), "best": best}
    work_s = float((workload.duration_s * workload.gpus).sum())
    if as_json:
        rows = {name: _numbers(idle, window_s, cold_start, work_s) for name, window_s in windows.items()}
        print(json.dumps({"trace": trace, "jobs": len(workload), "windows": rows}))
    else:
        _print(idle, windows, cold_start, work_s)


def _numbers(idle: Idle, window_s: float, cold_start: float, work_s: float) -> dict[str, float]:
    tail_s, whole_s = idle.tail_gpu_s(window_s), idle.cost_gpu_s(window_s, cold_start)
    return {
        "window_s": window_s,
        "cold_starts": idle.cold_starts(window_s),
        "tail_gpu_hours": tail_s / 3_600,
        "cold_gpu_hours": (whole_s - tail_s) / 3_600,
        "over_the_work": whole_s / work_s,
    }


def _print(idle: Idle, windows: dict[str, float], cold_start: float, work_s: float) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    columns = ("window", "seconds", "cold starts", "idle GPU-hours", "starting GPU-hours", "added to the price")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for name, window_s in windows.items():
        found = _numbers(idle, window_s, cold_start, work_s)
        amounts = f"{found['tail_gpu_hours']:,.1f}", f"{found['cold_gpu_hours']:,.1f}", f"{found['over_the_work']:.1%}"
        table.add_row(name, f"{window_s:.0f}", f"{found['cold_starts']:,.0f}", *amounts)
    if sys.stdout.isatty():
        Console().print(table)
        return
    print("\t".join(columns))
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        print("\t".join(map(str, cells)))
