"""Compiles functions of numbers and of borrowed arrays to machine code, with Numba.

Nothing in it may allocate: references to arrays are not counted, which for short functions takes longer than they do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")
_PARTS = ("containers", "events", "heap", "kernel", "native", "nodes", "random_draws", "shapes", "state", "waiting")
_FILES = [Path(__file__).with_name(f"{part}.py") for part in _PARTS]
_STAMP = tuple((file.name, file.stat().st_mtime, file.stat().st_size) for file in _FILES)


def native(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function at its first call and caches the result on disk for later processes."""
    fast = numba.njit(cache=True, error_model="numpy", _nrt=False)(function)
    # Numba keeps a result until the function's own file changes; what it calls lies in other files of this folder.
    fast._cache._cache_file._source_stamp = _STAMP
    typed: Callable[P, R] = fast
    return typed


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Inlines a function into each compiled function that calls it."""
    fast: Callable[P, R] = numba.njit(error_model="numpy", forceinline=True, _nrt=False)(function)
    return fast


@inlined
def place(index: int) -> int:
    """An unsigned index: compiled code needs no check whether it counts from the end."""
    without: Any = np.uint32(index)
    found: int = without
    return found
