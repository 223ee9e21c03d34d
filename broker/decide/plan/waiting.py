"""Work that may wait: it comes, is put off like energy in a store, and is done before its deadline.

    waiting_t = waiting_(t-1) + demand_t - done_t          (in the row of `serving.add_demand`)
    0 <= waiting_t <= what came in the last `wait_hours`,   0 at the end of the horizon

What waits is at most what came lately exactly when all older work is done, first come first served.
"""

from __future__ import annotations

import numpy as np

from broker.decide.plan.classes import Class
from broker.decide.plan.model import Model
from broker.decide.plan.problem import Problem
from broker.decide.workload import Floats


def add_waiting(model: Model) -> None:
    """Columns for the work of each class that waits at the end of each step."""
    steps = model.problem.steps
    for number, work in enumerate(model.problem.classes):
        if upto := window(work, model.problem):
            came = model.slices.demand[number].reshape(-1, steps)
            columns = model.add_local(f"wait_{work.name}", upper=_lately(came, upto).ravel())
            model.waiting[work.name] = columns
            model.coupled = True


def window(work: Class, problem: Problem) -> int:
    """How many whole steps work of a class may wait."""
    return int(work.wait_hours / problem.step_hours + 1e-9)


def _lately(came: Floats, window: int) -> Floats:
    """(scenarios, steps) what came in the last `window` steps, this one with them; nothing may wait at the end."""
    steps = came.shape[1]
    total = np.concatenate([np.zeros((len(came), 1)), np.cumsum(came, axis=1)], axis=1)
    upto = np.arange(1, steps + 1)
    lately: Floats = total[:, upto] - total[:, np.maximum(upto - window, 0)]
    lately[:, -1] = 0.0
    return np.maximum(lately, 0.0)
