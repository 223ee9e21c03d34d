"""Jobs one by one: a workload, terms and a rule → what it costs and how long jobs wait. See docs/simulate.md."""

from simulator.jobs.result import Result, Waits, document
from simulator.jobs.run import run, run_parts
from simulator.jobs.terms import Rule, Spot, Terms

__all__ = ["Result", "Rule", "Spot", "Terms", "Waits", "document", "run", "run_parts"]
