"""The autopilot as the API shows it: its mode and what it decided last."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from broker.api.amounts import time
from broker.run.autopilot import Autopilot


class AutopilotDecision(BaseModel):
    """How many nodes a pool was found to need."""

    at: datetime
    pool: str
    up: int = Field(description="Nodes that were there.")
    nodes: int = Field(description="Nodes that there should be.")
    applied: bool = Field(
        description="Whether the pool was scaled; false in a dry run and where nothing had to change."
    )
    reason: str


class AutopilotView(BaseModel):
    """The autopilot and what it decided last."""

    mode: Literal["off", "dry-run", "on"]
    every_s: float = Field(description="Seconds between decisions.")
    decisions: list[AutopilotDecision] = Field(description="Newest first; all of them are in autopilot.jsonl.")


def view(autopilot: Autopilot) -> AutopilotView:
    """The autopilot and what it decided last."""
    return AutopilotView(
        mode=autopilot.settings.mode.value,
        every_s=autopilot.settings.every_s,
        decisions=[
            AutopilotDecision(
                at=time(decision.at_ns),
                pool=decision.pool,
                up=decision.up,
                nodes=decision.nodes,
                applied=decision.applied,
                reason=decision.reason,
            )
            for decision in reversed(autopilot.decisions)
        ],
    )
