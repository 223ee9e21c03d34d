"""Jobs one by one: a workload, terms and a rule → what it costs and how long jobs wait. See docs/simulate.md."""

from simulator.jobs.run import Result, Rule, Terms, run

__all__ = ["Result", "Rule", "Terms", "run"]
