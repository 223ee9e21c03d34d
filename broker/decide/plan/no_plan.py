"""The error of a problem that no plan solves."""

from __future__ import annotations

from broker.model.errors import BrokerError


class NoPlan(BrokerError):
    """The problem has no solution, or none was found; the message says what binds and what to change."""
