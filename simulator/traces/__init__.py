"""Files of recorded workloads → workloads: who ran what, when, on how many GPUs."""

from simulator.traces.ours import load
from simulator.traces.parts import parts

__all__ = ["load", "parts"]
