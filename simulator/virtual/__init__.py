"""The live broker's decisions in virtual time: jobs and pools → placements, usage and charges. See docs/simulate.md."""

from simulator.virtual.broker import play
from simulator.virtual.pool import Timing
from simulator.virtual.values import Lived, Manner, Outcome, Site, Work

__all__ = ["Lived", "Manner", "Outcome", "Site", "Timing", "Work", "play"]
