"""How many GPUs to hold: a history and the terms of a market → targets for each step, from what was known before it.

The live broker calls the same function with the history up to now and applies the last element.
"""

from broker.decide.capacity.observe import History, Seen, see
from broker.decide.capacity.targets import targets

__all__ = ["History", "Seen", "see", "targets"]
