"""Schedules as they are stored → what a forecast needs to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from broker.model.errors import BrokerError
from broker.model.schedules import Schedule
from broker.run.zones import zone_of
from broker.spec.build import load, to_spec

if TYPE_CHECKING:  # what it needs weighs more than a daemon without a schedule
    from broker.decide.scheduled import Planned

log = structlog.get_logger()


def planned_ahead(schedules: Sequence[Schedule], now_ns: int) -> tuple[Planned, ...]:
    """What each submits in the time that a forecast is for; one that can't be read is said in the log and left out."""
    if not schedules:
        return ()
    from broker.decide.outlook import STEP_S, STEPS
    from broker.decide.scheduled import planned

    found = []
    for each in schedules:
        try:
            spec = to_spec(load(each.document), now_ns)
            wanted = planned(each, spec, zone_of(each.timezone), now_ns, STEPS * STEP_S, STEPS)
        except (BrokerError, ValueError) as error:
            log.warning("a schedule can't be forecast", schedule=each.name, error=str(error))
            continue
        found += [wanted] if wanted else []
    return tuple(found)
