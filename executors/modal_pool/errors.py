"""What Modal's client raises → the four kinds of errors that the broker acts on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity, Rejected, Unreachable
from executors.modal_pool.options import Options


class GaveUp(NoCapacity):
    """Modal had nothing in time; what was asked for runs nowhere, and never will."""


@contextmanager
def translated(pool: str, doing: str) -> Iterator[None]:
    """Turns what the client raises within into an ExecutorError that says what was done."""
    import grpclib.exceptions
    import modal.exception

    foreign = (modal.exception.Error, grpclib.exceptions.GRPCError, grpclib.exceptions.ProtocolError, OSError)
    try:
        yield
    except ExecutorError:
        raise
    except (*foreign, grpclib.exceptions.StreamTerminatedError, TimeoutError) as error:
        raise translation(pool, doing, error) from error


def translation(pool: str, doing: str, error: BaseException) -> ExecutorError:
    """The error of ours that a caller can act on."""
    from modal import exception

    said = f"pool {pool}: {doing}: {str(error).rstrip('.') or type(error).__name__}"
    if isinstance(error, exception.AuthError):
        return Misconfigured(f"{said}; {_unknown(said.lower())}")
    if isinstance(error, exception.PermissionDeniedError):
        return Misconfigured(f"{said}; the token has no permission for that")
    if isinstance(error, exception.ResourceExhaustedError):
        return Unreachable(said) if _throttled(said) else NoCapacity(said)
    if isinstance(error, exception.NotFoundError):
        return Misconfigured(f"{said}; make it, or correct the pool's options")
    if isinstance(error, exception.InvalidError | exception.UnimplementedError):
        return Rejected(said)
    return Unreachable(said)


def _unknown(said: str) -> str:
    """What is wrong with credentials, and what to do."""
    if "token missing" in said:
        return (
            f"its credentials are missing: set {Options().token_id_env} and {Options().token_secret_env} where the "
            "broker starts, or have `modal token new` write them to ~/.modal.toml"
        )
    what = "its token has expired" if "expired" in said else "Modal does not take its token"
    return f"{what}: set a new one (`modal token new` makes one) and start the broker again"


def _throttled(said: str) -> bool:
    """Whether too many calls were made, not too many containers: it is asked again, more slowly."""
    return any(words in said.lower() for words in ("rate limit", "rate-limit", "too many requests", "throttl"))
