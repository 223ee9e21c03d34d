"""A Python function, called where it costs least: one call, many calls, and one that fails.

Needs nothing: without a configuration the broker starts pools of this machine.

    python examples/functions.py
"""

from __future__ import annotations

import random

import broker


@broker.function(cpu=1, timeout="5m", tags={"example": "functions"})
def inside(seed: int, points: int = 200_000) -> int:
    """How many of so many random points of a square are inside its circle."""
    drawn = random.Random(seed)
    return sum(drawn.random() ** 2 + drawn.random() ** 2 <= 1 for _ in range(points))


@broker.function(cpu=1)
def root(x: float) -> float:
    """A square root, or an error."""
    if x < 0:
        raise ValueError(f"{x} has no root")
    return float(x**0.5)


def main() -> None:
    """Calls them."""
    print("one call:", inside.remote(1))
    calls = 8
    print("pi is about", 4 * sum(inside.map(range(calls))) / (calls * 200_000))
    try:
        root.remote(-1.0)
    except ValueError as error:
        print("it raised:", error)
    call = root.spawn(2.0)
    print("in the background:", call.result(), "in pool", call.pool)


if __name__ == "__main__":
    main()
