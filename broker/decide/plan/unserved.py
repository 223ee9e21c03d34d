"""Work left undone, at a price that no plan should pay: where it stays, there was no way to do it.

sum_o speed_oc * use_oc + unserved_c >= demand_c
"""

from __future__ import annotations

from broker.decide.plan.model import Model

PART = "unserved"


def add_unserved(model: Model, usd_per_gpu_hour: float) -> None:
    """Columns for the work of each class that is not done in a slice."""
    for work in model.problem.classes:
        columns = model.add_local(f"unserved_{work.name}")
        model.programme.charge(PART, work.name, columns, usd_per_gpu_hour * model.weight)
        model.unserved[work.name] = columns
