"""What an admission hook is: a function that may change or refuse a job before anything of it is stored.

A package registers one as an entry point of the group `broker.admission`; the configuration names those that run, in
their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitting:
    """A job that somebody submits. Nothing in it can be changed: a hook returns another document."""

    document: Mapping[str, Any]  # as the job specification has it, without what is not given; its lists are tuples
    user: str
    project: str


class AdmissionRefused(Exception):
    """Raised by a hook: the job is not taken."""

    def __init__(self, message: str, field: str = "") -> None:
        """`message` says why and what to do, `field` what it is about: resources.accelerators."""
        super().__init__(message)
        self.message, self.field = message, field


# Returns the document that is taken instead, whole; None: as it is. The same job must always be given the same answer:
# who submits it again under the same id finds the first only then.
AdmissionHook: TypeAlias = Callable[[Admitting], Mapping[str, Any] | None]
