"""Files of other systems → our table of jobs: one file a system, each read as a stream."""

from simulator.traces.formats.formats import FORMATS, recognise

__all__ = ["FORMATS", "recognise"]
