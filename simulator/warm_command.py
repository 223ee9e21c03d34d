"""`broker warm`: a workload → what serverless containers cost as they are kept warm, and how to keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from broker.decide.warm import Choice, Played, Wanted
    from broker.decide.workload import Workload

USUAL_S = (2.0, 10.0, 60.0, 300.0)
TOGETHER = (2, 4, 8)


def warm(
    trace: Annotated[
        str, typer.Argument(help="A trace of jobs: our CSV, also compressed; - reads standard input.")
    ] = "-",
    cold_start: Annotated[float, typer.Option(min=0, help="Seconds that a container starts, and is paid for.")] = 10.0,
    worth: Annotated[float, typer.Option(min=0, help="What not waiting so long is worth, in such seconds.")] = 0.0,
    start_within: Annotated[float | None, typer.Option(min=0, help="Promise: jobs start within these seconds.")] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="The share of jobs that the promise is for.")] = 0.95,
    most: Annotated[int, typer.Option(min=0, help="The most containers to keep without work.")] = 16,
    together: Annotated[int, typer.Option(min=1, help="Jobs that share a container at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how serverless containers should be kept warm.

    By Modal's scaledown_window, min_containers and buffer_containers.

    Example: broker warm requests.csv --cold-start 20 --start-within 5
    """
    from broker.decide.warm import Bounds, Promise, Wanted, choose

    jobs = _jobs(trace)
    wanted = Wanted(
        cold_start_s=cold_start,
        worth_s=worth,
        promise=None if start_within is None else Promise(within_s=start_within, share=share),
        bounds=Bounds(most_containers=most),
        jobs_per_container=together,
    )
    choice = choose(jobs, wanted)
    found = rows(jobs, wanted, choice)
    packed = {number: _played(jobs, choice, wanted, number).paid_gpu_s / 3_600 for number in (1, *TOGETHER)}
    if as_json:
        _print_json(trace, jobs, found, choice, packed)
    else:
        _print(found, choice, packed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to keep containers warm, and what it comes to."""

    window_s: float | None  # None: another one for each container
    min_containers: int
    buffer_containers: int
    played: Played
    work_gpu_s: float

    @property
    def added(self) -> float:
        """What is paid beside the work, over the work."""
        return self.played.paid_gpu_s / self.work_gpu_s - 1 if self.work_gpu_s else 0.0


def rows(jobs: Workload, wanted: Wanted, choice: Choice) -> dict[str, Row]:
    """The usual windows, the hybrid histogram, the best window for these jobs, and the setting chosen, all played."""
    from broker.decide.warm import best_window_s, idle_times, play, play_histogram
    from broker.model.pools import KeepWarm

    work = float((jobs.duration_s * jobs.gpus).sum())
    best_s = best_window_s(idle_times(jobs), wanted.cold_start_s + wanted.worth_s)
    settings = {f"{window_s:g} s": KeepWarm(scaledown_window_s=window_s) for window_s in USUAL_S}
    settings |= {"best window": KeepWarm(scaledown_window_s=best_s), "chosen": choice.setting}
    found = {
        name: Row(
            window_s=each.scaledown_window_s,
            min_containers=each.min_containers,
            buffer_containers=each.buffer_containers,
            played=play(jobs, each, wanted.cold_start_s, jobs_per_container=wanted.jobs_per_container),
            work_gpu_s=work,
        )
        for name, each in settings.items()
    }
    histogram = play_histogram(jobs, wanted.cold_start_s)
    hybrid = Row(window_s=None, min_containers=0, buffer_containers=0, played=histogram, work_gpu_s=work)
    return {**dict(list(found.items())[:-2]), "hybrid histogram": hybrid, **dict(list(found.items())[-2:])}


def _jobs(trace: str) -> Workload:
    from broker.decide.demand import Demand
    from broker.model.errors import InvalidInput
    from simulator.traces import load

    workload = load(trace)
    if isinstance(workload, Demand):
        raise InvalidInput(f"{trace} is a series of busy GPUs: this needs jobs, with submit_s, duration_s and gpus")
    return workload


def _played(jobs: Workload, choice: Choice, wanted: Wanted, together: int) -> Played:
    from broker.decide.warm import play

    return play(jobs, choice.setting, wanted.cold_start_s, jobs_per_container=together)


def _print_json(trace: str, jobs: Workload, found: dict[str, Row], choice: Choice, packed: dict[int, float]) -> None:
    import json
    from dataclasses import asdict

    windows = {
        name: {
            "window_s": row.window_s,
            "min_containers": row.min_containers,
            "buffer_containers": row.buffer_containers,
            "cold_starts": row.played.cold_starts,
            "warm_share": row.played.warm_share,
            "tail_gpu_hours": row.played.idle_gpu_s / 3_600,
            "cold_gpu_hours": row.played.cold_gpu_s / 3_600,
            "over_the_work": row.added,
        }
        for name, row in found.items()
    }
    chosen = {**asdict(choice.setting), "keeps_promise": choice.keeps, "reason": choice.reason}
    together = {str(number): hours for number, hours in packed.items()}
    print(
        json.dumps(
            {"trace": trace, "jobs": len(jobs), "windows": windows, "chosen": chosen, "gpu_hours_together": together}
        )
    )


COLUMNS = ("kept warm", "window", "min", "buffer", "cold starts", "warm", "idle h", "starting h", "added")


def _print(found: dict[str, Row], choice: Choice, packed: dict[int, float]) -> None:
    from simulator.tables import print_table

    styles = ["bold green" if name == "chosen" else "" for name in found]
    print_table(COLUMNS, [_cells(name, row) for name, row in found.items()], styles=styles)
    setting = choice.setting
    print(
        f"Set scaledown_window to {setting.scaledown_window_s:.0f} s, min_containers to {setting.min_containers} and "
        f"buffer_containers to {setting.buffer_containers}: {choice.reason}."
    )
    print(_packing(packed))


def _cells(name: str, row: Row) -> tuple[str, ...]:
    played = row.played
    return (
        name,
        "" if row.window_s is None else f"{row.window_s:.0f} s",
        str(row.min_containers),
        str(row.buffer_containers),
        f"{played.cold_starts:,}",
        f"{played.warm_share:.1%}",
        f"{played.idle_gpu_s / 3_600:,.1f}",
        f"{played.cold_gpu_s / 3_600:,.1f}",
        f"{row.added:.1%}",
    )


def _packing(packed: dict[int, float]) -> str:
    """What it would save to let jobs share containers."""
    if not packed[1]:
        return "Nothing is paid: there is nothing to save by letting jobs share containers."
    saved = ", ".join(f"{number} at a time {1 - packed[number] / packed[1]:.0%}" for number in TOGETHER)
    return (
        f"Of {packed[1]:,.1f} GPU-hours that are paid with one job at a time in a container, sharing one saves: "
        f"{saved}; as far as jobs do not slow each other down."
    )
