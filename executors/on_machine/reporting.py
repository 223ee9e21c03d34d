"""Reporting: a report as it is kept and journalled → what the broker's port asks for."""

from __future__ import annotations

from typing import Any

from broker.model.jobs import AttemptReport, AttemptState
from broker.model.resources import Resources
from broker.model.usage import AttemptUsage, UnitUsage, UsageReport


def attempt_report(report: dict[str, Any]) -> AttemptReport:
    """What an attempt is doing, or how it ended."""
    return AttemptReport(
        attempt_id=report["attempt_id"],
        state=AttemptState(report["state"]),
        at_ns=report["at_ns"],
        started_ns=report["started_ns"],
        ended_ns=report["ended_ns"],
        exit_code=report["exit_code"],
        signal=report["signal"],
        reason=report["reason"],
        unit_ids=tuple(report["nodes"]),
    )


def attempt_usage(report: dict[str, Any], unit: str, unit_ended_ns: int | None) -> AttemptUsage:
    """What an attempt held of a unit, and since when; not beyond the unit's own end."""
    ends = [at for at in (report["released_ns"], unit_ended_ns) if at is not None]
    return AttemptUsage(
        attempt_id=report["attempt_id"],
        unit_id=unit,
        resources=Resources(**report["held"]),
        started_ns=report["launched_ns"],
        ended_ns=max(min(ends), report["launched_ns"]) if ends else None,
    )


def reported(as_of_ns: int, units: tuple[UnitUsage, ...], attempts: tuple[AttemptUsage, ...]) -> UsageReport:
    """Units with who held them; an attempt whose unit had ended before, and is paid for, is left out with it."""
    names = {unit.unit_id for unit in units}
    return UsageReport(
        as_of_ns=as_of_ns, units=units, attempts=tuple(usage for usage in attempts if usage.unit_id in names)
    )
