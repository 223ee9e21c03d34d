"""The autopilot as the API shows it: its mode, what it decided last, and what it proposes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from broker.api.amounts import money, time
from broker.api.schemas import Money
from broker.model.foresight import NodesDecision, Proposal, WarmDecision
from broker.model.pools import KeepWarm
from broker.run.capacity.autopilot import Autopilot


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


class KeepWarmView(BaseModel):
    """How long and how many containers stay without work."""

    scaledown_window_s: float = Field(description="Idle seconds before a container ends.")
    min_containers: int = Field(description="Up at least, busy or idle.")
    buffer_containers: int = Field(description="Idle beyond those that are busy, while any is.")


class WarmDecisionView(BaseModel):
    """How the containers of a serverless pool should be kept warm."""

    at: datetime
    pool: str
    before: KeepWarmView = Field(description="How they were kept.")
    after: KeepWarmView = Field(description="How they should be.")
    applied: bool = Field(description="Whether it was set; false in a dry run and where nothing had to change.")
    reason: str


class ProposalView(BaseModel):
    """A commitment that would pay. The broker never buys one."""

    at: datetime
    pool: str
    offer_id: str = Field(description="Of the price book.")
    nodes: int = Field(description="Nodes to commit to.")
    usd_per_hour: str = Field(description="Of one node, committed.")
    saved: Money = Field(description="Expected over `days`, against going on as now.")
    days: int
    reason: str


class AutopilotView(BaseModel):
    """The autopilot and what it decided last; all that it ever decided is in the store."""

    mode: Literal["off", "dry-run", "on"]
    every_s: float = Field(description="Seconds between decisions.")
    decisions: list[AutopilotDecision] = Field(description="About nodes, newest first.")
    warm: list[WarmDecisionView] = Field(description="About warm containers, newest first.")
    proposals: list[ProposalView] = Field(description="Commitments that would pay, one for each pool.")


def view(autopilot: Autopilot) -> AutopilotView:
    """The autopilot and what it decided last."""
    decided = autopilot.decided
    return AutopilotView(
        mode=autopilot.settings.mode.value,
        every_s=autopilot.settings.every_s,
        decisions=[_nodes(each) for each in decided.of_nodes()],
        warm=[_warm(each) for each in decided.of_warmth()],
        proposals=[_proposal(each) for each in decided.proposals()],
    )


def _nodes(decision: NodesDecision) -> AutopilotDecision:
    return AutopilotDecision(
        at=time(decision.at_ns),
        pool=decision.pool,
        up=decision.up,
        nodes=decision.nodes,
        applied=decision.applied,
        reason=decision.reason,
    )


def _warm(decision: WarmDecision) -> WarmDecisionView:
    return WarmDecisionView(
        at=time(decision.at_ns),
        pool=decision.pool,
        before=keep_warm(decision.before),
        after=keep_warm(decision.after),
        applied=decision.applied,
        reason=decision.reason,
    )


def keep_warm(setting: KeepWarm) -> KeepWarmView:
    """How containers are kept warm."""
    return KeepWarmView(
        scaledown_window_s=setting.scaledown_window_s,
        min_containers=setting.min_containers,
        buffer_containers=setting.buffer_containers,
    )


def _proposal(proposal: Proposal) -> ProposalView:
    return ProposalView(
        at=time(proposal.at_ns),
        pool=proposal.pool,
        offer_id=proposal.offer_id,
        nodes=proposal.nodes,
        usd_per_hour=proposal.usd_per_hour,
        saved=money(proposal.saved),
        days=proposal.days,
        reason=proposal.reason,
    )
