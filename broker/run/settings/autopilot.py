"""How the autopilot works, as the configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """What the autopilot may do."""

    OFF = "off"
    DRY_RUN = "dry-run"  # decides and says so, changes nothing
    ON = "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class AutopilotSettings:
    """Whether the autopilot acts, and how often it decides."""

    mode: Mode = Mode.OFF
    every_s: float = 60.0
