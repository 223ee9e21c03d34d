"""A broker for GPU work: decides where each job runs, runs it there, and records what it cost.

`broker.submit("python train.py", gpu="H100")` is all that a program needs. Importing this loads nothing else: the
command line has to answer at once.
"""

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from broker.model.errors import BrokerError, Conflict, DaemonError, InvalidInput, UnknownName
    from broker.sdk.breakeven import breakeven
    from broker.sdk.call import Call
    from broker.sdk.client import Client
    from broker.sdk.events import Seen, Wrote
    from broker.sdk.function import Function, function
    from broker.sdk.image import Image
    from broker.sdk.job import Job, JobFailed
    from broker.sdk.mapping import Mapped
    from broker.sdk.plan import plan
    from broker.sdk.spend import spend
    from broker.sdk.submit import client, job, jobs, submit

    __version__: str

__all__ = [
    "BrokerError",
    "Call",
    "Client",
    "Conflict",
    "DaemonError",
    "Function",
    "Image",
    "InvalidInput",
    "Job",
    "JobFailed",
    "Mapped",
    "Seen",
    "UnknownName",
    "Wrote",
    "__version__",
    "breakeven",
    "client",
    "function",
    "job",
    "jobs",
    "plan",
    "spend",
    "submit",
]

_WHERE = {
    **dict.fromkeys(("BrokerError", "Conflict", "DaemonError", "InvalidInput", "UnknownName"), "broker.model.errors"),
    **dict.fromkeys(("Job", "JobFailed"), "broker.sdk.job"),
    **dict.fromkeys(("client", "job", "jobs", "submit"), "broker.sdk.submit"),
    **dict.fromkeys(("Function", "function"), "broker.sdk.function"),
    **dict.fromkeys(("Seen", "Wrote"), "broker.sdk.events"),
    "Call": "broker.sdk.call",
    "Client": "broker.sdk.client",
    "Image": "broker.sdk.image",
    "Mapped": "broker.sdk.mapping",
    "breakeven": "broker.sdk.breakeven",
    "plan": "broker.sdk.plan",
    "spend": "broker.sdk.spend",
}


def __getattr__(name: str) -> object:
    """The public names, imported when somebody asks for them; the version, read from the installed distribution."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gpu-broker")
    if name in _WHERE:
        from importlib import import_module

        found: object = getattr(import_module(_WHERE[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
