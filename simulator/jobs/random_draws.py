"""Counter-based random numbers: a draw depends only on (seed, question, number), not on the order of draws.

SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014) of the three. So what
comes later in a workload changes nothing that was drawn before.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from broker.decide.workload import Floats
from simulator.jobs.native import native

LIFE: Final = 1  # how long a node lives
ESTIMATE: Final = 2  # how wrong an estimate is
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_UNIT: Final = 2.0**-53


@native
def uniform(seed: int, question: int, number: int) -> float:
    """Uniform on (0, 1]."""
    mixed = np.uint64(seed)
    for part in (question, number):
        mixed = (mixed ^ np.uint64(part)) * _GOLDEN + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (float(mixed >> np.uint64(11)) + 1.0) * _UNIT


@native
def exponential(seed: int, question: int, number: int) -> float:
    """Exponential with mean 1."""
    return -math.log(uniform(seed, question, number))


@native
def normal(seed: int, question: int, number: int) -> float:
    """Standard normal (Box and Muller, 1958)."""
    radius = math.sqrt(-2.0 * math.log(uniform(seed, question, 2 * number)))
    return radius * math.cos(2.0 * math.pi * uniform(seed, question, 2 * number + 1))


@native
def _normals(seed: int, question: int, found: Floats) -> None:
    for number in range(len(found)):
        found[number] = normal(seed, question, number)


def errors(seed: int, error: float, count: int) -> Floats:
    """For each of `count` jobs, estimated over true run time: lognormal, `error` is the deviation of the logarithm."""
    found = np.zeros(count)
    if error:
        _normals(seed, ESTIMATE, found)
    factors: Floats = np.exp(error * found)
    return factors
