"""One question to Modal about a workspace, by Modal's own client, bounded in time; and its errors → ours."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from broker.model.errors import BrokerError, Misconfigured, Unreachable

WITHIN_S: Final = 60.0
Found = TypeVar("Found")


def of_workspace(what: str, question: Callable[[Any], Awaitable[Found]], hint: str = "") -> Found:
    """What a workspace answers; `what` is asked for, and `hint` is said where that is refused.

    Raises `Misconfigured` (no client, a token that is missing, unknown, expired or without the permission) and
    `Unreachable`.
    """
    return asyncio.run(_asked(what, question, hint))


async def _asked(what: str, question: Callable[[Any], Awaitable[Found]], hint: str) -> Found:
    try:
        import grpclib.exceptions as grpc
        import modal
        from modal import exception
    except ImportError as error:
        raise Misconfigured(f"Modal can't be asked: {error}; pip install 'gpu-broker[modal]'") from error
    foreign = (exception.Error, grpc.GRPCError, grpc.ProtocolError, grpc.StreamTerminatedError, OSError, TimeoutError)
    try:
        async with asyncio.timeout(WITHIN_S):
            client = await asyncio.to_thread(_client, modal)
            try:
                return await question(modal.Workspace.from_context(client=client))
            finally:
                await client.close.aio()
    except foreign as error:
        raise _translated(error, what, hint) from error


def _client(modal: Any) -> Any:
    """A client of its own with the token of the environment, else with the one that `modal token new` has written."""
    token = os.environ.get("MODAL_TOKEN_ID"), os.environ.get("MODAL_TOKEN_SECRET")
    return modal.Client.from_credentials(*token) if all(token) else modal.Client.from_env()


def _translated(error: BaseException, what: str, hint: str) -> BrokerError:
    from modal import exception

    said = str(error) or type(error).__name__
    if isinstance(error, exception.AuthError):
        why = "its token has expired" if "expired" in said.lower() else "set its token"
        return Misconfigured(f"Modal: {said}; {why}: `modal token new`, or MODAL_TOKEN_ID and MODAL_TOKEN_SECRET")
    if isinstance(error, exception.PermissionDeniedError):
        more = f"; {hint}" if hint else ""
        return Misconfigured(f"Modal: {said}; the token lacks the permission to read the workspace's billing{more}")
    return Unreachable(f"Modal gave no {what}: {said}; ask again later")
