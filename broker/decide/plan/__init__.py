"""How much to commit to, to hold and to leave to serverless: offers, classes, scenarios of demand → the cheapest plan.

`solve(problem)` is the plan. Each feature of the programme has a file: `nodes` (commitments, what is held), `ramps`
(starts, boots, minimum billing), `cold_starts`, `serving` (classes and speeds), `waiting`, `limits`.
"""

from broker.decide.plan.classes import Class
from broker.decide.plan.no_plan import NoPlan
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.plan import Holding, LoadDuration, Plan
from broker.decide.plan.problem import Limit, Problem, Scenario
from broker.decide.plan.solve import solve

__all__ = [
    "Class",
    "Holding",
    "Kind",
    "Limit",
    "LoadDuration",
    "NoPlan",
    "Offer",
    "Plan",
    "Problem",
    "Scenario",
    "solve",
]
