"""A provider's bill held against the ledger: what agrees, what is missing on either side, and why amounts differ."""

from broker.decide.reconcile.agreeing import Agreeing, Rest
from broker.decide.reconcile.gather import DAY_NS, EVERY, Bill, Taken, gather
from broker.decide.reconcile.reconcile import covered, reconcile

__all__ = ["DAY_NS", "EVERY", "Agreeing", "Bill", "Rest", "Taken", "covered", "gather", "reconcile"]
