"""How much to commit to, to hold and to leave to serverless: offers and scenarios of demand → the cheapest plan."""

from broker.decide.plan.problem import Kind, Offer, Plan, Problem, Scenario
from broker.decide.plan.solve import NoPlan, solve

__all__ = ["Kind", "NoPlan", "Offer", "Plan", "Problem", "Scenario", "solve"]
