"""Numbers → one line of blocks, as tall as the numbers are."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], most: float) -> str:
    """One character a value, from empty (0) to full (`most`); anything above 0 can be seen."""
    top = len(BLOCKS) - 1
    heights = (min(max(value / most, 0.0), 1.0) * top if most > 0 else 0.0 for value in values)
    return "".join(BLOCKS[max(round(height), 1 if height > 1e-6 else 0)] for height in heights)
