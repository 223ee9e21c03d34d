"""Files of recorded workloads → workloads: who ran what, when, on how many GPUs."""

from simulator.traces.ours import load

__all__ = ["load"]
