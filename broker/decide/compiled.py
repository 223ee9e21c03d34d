"""A function of numbers and arrays → the same one, compiled; with its types kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles it with Numba at its first call and keeps the result beside it for later processes."""
    fast: Callable[P, R] = numba.njit(cache=True)(function)
    return fast
