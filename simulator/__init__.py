"""The same decisions in virtual time: recorded workloads turned into costs, policy by policy.

The functions named here are for notebooks and programs: tables of jobs in, pandas frames and Plotly figures out. The
command line answers by the same code. Importing this loads nothing else.
"""

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from simulator.study.compare_plans import Compared, compare_plans
    from simulator.study.figures import stacked
    from simulator.study.forecast import Foreseen, forecast
    from simulator.study.past import Past, past
    from simulator.study.plan import Planned, market, plan
    from simulator.study.simulate import Simulated, simulate
    from simulator.study.sizes import Sizes, sizes
    from simulator.study.workloads import Description, describe, grown, read_trace, synth

__all__ = [
    "Compared",
    "Description",
    "Foreseen",
    "Past",
    "Planned",
    "Simulated",
    "Sizes",
    "compare_plans",
    "describe",
    "forecast",
    "grown",
    "market",
    "past",
    "plan",
    "read_trace",
    "simulate",
    "sizes",
    "stacked",
    "synth",
]

_WHERE = {
    **dict.fromkeys(("Description", "describe", "grown", "read_trace", "synth"), "simulator.study.workloads"),
    **dict.fromkeys(("Sizes", "sizes"), "simulator.study.sizes"),
    **dict.fromkeys(("Foreseen", "forecast"), "simulator.study.forecast"),
    **dict.fromkeys(("Planned", "market", "plan"), "simulator.study.plan"),
    **dict.fromkeys(("Compared", "compare_plans"), "simulator.study.compare_plans"),
    **dict.fromkeys(("Past", "past"), "simulator.study.past"),
    "stacked": "simulator.study.figures",
    **dict.fromkeys(("Simulated", "simulate"), "simulator.study.simulate"),
}


def __getattr__(name: str) -> object:
    """The public names, imported when somebody asks for them."""
    if name in _WHERE:
        from importlib import import_module

        found: object = getattr(import_module(_WHERE[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
