"""What stands before every route: the token, and how much a request may bring."""

from __future__ import annotations

import hmac
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.errors import problem_response

OPEN_PATHS: Final = frozenset({"/healthz"})  # answered without a token
MAX_BODY_BYTES: Final = 1 << 20
MAX_BLOB_BYTES: Final = 64 << 20
BLOBS: Final = "/v1/blobs/"


class TooLarge(Exception):
    """A body grew past its limit while it was read."""


class Guard:
    """ASGI middleware. `token` None: the socket's mode is the protection."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for the routes what none of them should see."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        limit = MAX_BLOB_BYTES if scope["path"].startswith(BLOBS) else MAX_BODY_BYTES
        if not self._allowed(scope["path"], headers.get(b"authorization", b"")):
            response = _no_token()
        elif _announced(headers) > limit:
            response = _too_large(limit)
        else:
            try:
                await self._app(scope, _limited(receive, limit), send)
            except TooLarge:
                response = _too_large(limit)
            else:
                return
        await response(scope, receive, send)

    def _allowed(self, path: str, authorization: bytes) -> bool:
        if self._token is None or path in OPEN_PATHS:
            return True
        scheme, _, given = authorization.partition(b" ")
        return hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"


def _announced(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


def _limited(receive: Receive, limit: int) -> Receive:
    """Counts what comes, for bodies that don't say how long they are."""
    taken = 0

    async def counting() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLarge
        return message

    return counting


def _no_token() -> ASGIApp:
    detail = "send the token of this broker as `Authorization: Bearer TOKEN`; daemon.json names the file that has it"
    return problem_response("no-token", 401, detail, headers={"WWW-Authenticate": "Bearer"})


def _too_large(limit: int) -> ASGIApp:
    detail = (
        f"the body is over {limit >> 20} MiB, the most that this route takes: "
        "give a job its data in files (file_mounts, workdir), not in its description"
    )
    return problem_response("too-large", 413, detail, headers={"Connection": "close"})
