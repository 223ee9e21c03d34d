"""A broker for GPU work: decides where each job runs, runs it there, and records what it cost.

Importing it loads nothing else: the command line has to answer at once.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """The version, read from the installed distribution only when somebody asks for it."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gpu-broker")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
