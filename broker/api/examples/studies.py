"""Plans and a simulation that were asked for over HTTP, with what came of them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np

from broker.api.examples.pools import BY_THE_SECOND, OF_L4
from broker.api.examples.times import NOW
from broker.api.studies import OwnPlanView, Study, own_plan
from broker.decide.buying import Way
from broker.decide.models_of_work import Work
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
OWN_WORK: Final[dict[str, tuple[float, ...]]] = {  # GPUs busy in each hour, by the models that would do
    "H100": (2, 6, 7, 6, 8, 3),
    "H100 or L4": (4, 2, 0, 1, 1, 6),
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
    """One of the broker's own, for two GPU models and jobs that may run on either."""
    ways = (
        Way(name="owned", gpu="H100", kind="cluster", usd_per_hour=24.0, node=8, max_gpus=16.0),
        Way(name="modal H100", gpu="H100", kind="serverless", usd_per_hour=4.66, node=1, offers=(BY_THE_SECOND,)),
        Way(name="modal L4", gpu="L4", kind="serverless", usd_per_hour=1.06, node=1, offers=(OF_L4,)),
    )
    found = OwnPlan(
        as_of_ns=NOW,
        gpu=None,
        gpu_hours={"H100": 32.0, "L4": 14.0},
        since_ns=NOW - 6 * 3_600 * NS_PER_S,
        works=tuple(
            Work(speeds=dict.fromkeys(models.split(" or "), 1.0), gpus=np.array(gpus))
            for models, gpus in OWN_WORK.items()
        ),
        ways=ways,
        left_out={},
        result=_recorded("own_plan"),
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
