"""Plans and a simulation that were asked for over HTTP, with what came of them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from broker.api.examples.pools import BY_THE_SECOND
from broker.api.examples.times import NOW
from broker.api.studies import OwnPlanView, Study, own_plan
from broker.decide.buying import Way
from broker.model.money import NS_PER_S
from broker.run.service.planning import OwnPlan

PLAN_BODY: Final[dict[str, Any]] = {
    "demand": "step,gpus_busy\n0,2\n1,6\n2,7\n3,6\n4,8\n5,3\n",
    "step_s": 3600,
    "pools": {
        "pools": {
            "owned": {"kind": "cluster", "usd_per_hour": 24, "accelerators": "H100:8", "max_nodes": 2},
            "modal": {"kind": "serverless", "usd_per_hour": 4.66, "gpu": "H100"},
        }
    },
}
SIMULATION_BODY: Final[dict[str, Any]] = {
    "trace": "submit_s,duration_s,gpus\n" + "".join(f"{day * 86_400},14400,8\n" for day in range(17)),
    "scenarios": ["elastic"],
    "policies": ["broker"],
}


def planned() -> Study:
    """The plan."""
    return Study(source="demand", result=_recorded("plan"))


def own_planned() -> OwnPlanView:
    """The same as the broker's own."""
    owned = Way(name="owned", kind="cluster", usd_per_hour=24.0, node=8, max_gpus=16.0)
    modal = Way(name="modal", kind="serverless", usd_per_hour=4.66, node=1, offers=(BY_THE_SECOND,))
    found = OwnPlan(
        as_of_ns=NOW,
        gpu="H100",
        gpu_hours={"H100": 32.0},
        since_ns=NOW - 6 * 3_600 * NS_PER_S,
        ways=(owned, modal),
        result=_recorded("plan"),
    )
    return own_plan(found, stale_days=60)


def simulated() -> Study:
    """The simulation."""
    return Study(source="trace", result=_recorded("simulation"))


@cache
def _recorded(name: str) -> dict[str, Any]:
    """What the command printed: the broker knows of commands of plugins only what they say."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return found
