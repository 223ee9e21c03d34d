"""Files of recorded workloads → workloads: who ran what, when, on how many GPUs."""

from simulator.traces.own_csv import load
from simulator.traces.own_csv_chunks import parts

__all__ = ["load", "parts"]
