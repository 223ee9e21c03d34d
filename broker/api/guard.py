"""What stands before every route: who asks and whether that is enough, and how much a request may bring."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.errors import problem_response
from broker.api.failures import Failures
from broker.model.tokens import OWNER, Identity
from broker.model.tokens import Scope as TokenScope

PROBES: Final = frozenset({"/healthz", "/readyz"})
OPEN_PATHS: Final = PROBES | {"/", "/docs"}  # answered without a token, as is the code of the dashboard
DASHBOARD: Final = "/dashboard/"
ADMIN_PATHS: Final = frozenset({"/v1/audit", "/v1/shutdown", "/v1/tokens"})
OWNERS_PATHS: Final = ("/v1/budgets", "/v1/secrets")  # which others may look at
IDENTITY: Final = "broker.identity"  # where routes find who asks
Identify = Callable[[str], Awaitable[Identity | None]]
MAX_BODY_BYTES: Final = 1 << 20
MAX_BLOB_BYTES: Final = 256 << 20
BLOBS: Final = "/v1/blobs/"
MAX_LARGE_BYTES: Final = 16 << 20
LARGE: Final = frozenset({"/v1/jobs:batch", "/v1/plan", "/v1/simulate"})  # many jobs in one request
_DROPPED_BYTES: Final = 2 * MAX_BLOB_BYTES
TRUSTED: Final = "broker.trusted"  # set by the server itself: no header can


class TooLarge(Exception):
    """A body grew past its limit while it was read."""


def trusting(app: ASGIApp) -> ASGIApp:
    """The same application for a socket whose mode is the protection: it asks for no token."""

    async def trusted(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRUSTED] = True
        await app(scope, receive, send)

    return trusted


class Guard:
    """ASGI middleware. `token` None: whoever reaches the application is trusted; else it is the owner's."""

    def __init__(self, app: ASGIApp, token: str | None, identify: Identify, failures: Failures) -> None:
        self._app = app
        self._token = token.encode() if token is not None else None
        self._identify = identify
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for the routes what none of them should see."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"] not in OPEN_PATHS and not scope["path"].startswith(DASHBOARD):
            who = await self._who(scope, headers.get(b"authorization", b""))
            if who is None:
                await self._refuse(scope)(scope, receive, send)
                return
            scope[IDENTITY] = who
            if not who.scope.allows(needed := needed_for(scope["method"], scope["path"])):
                await not_enough(who.scope, needed)(scope, receive, send)
                return
        body = _Body(receive, limit_of(scope["path"]))
        try:
            body.announce(headers.get(b"content-length", b""))
            await self._app(scope, body.receive, send)
        except TooLarge:
            await body.drop()
            await too_large(body.limit)(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response:
        """What who has no good token is told: that, or to come again later. One that is good is never counted."""
        wait_s = self._failures.count(scope)
        return no_token() if wait_s is None else too_many_failures(wait_s)

    async def _who(self, scope: Scope, authorization: bytes) -> Identity | None:
        if self._token is None or scope.get(TRUSTED):
            return OWNER
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        if hmac.compare_digest(given.strip(), self._token):
            return OWNER
        return await self._identify(given.strip().decode("ascii", "replace"))


def needed_for(method: str, path: str) -> TokenScope:
    """What a request needs: what only looks is `read`; what is about others, money or the broker is its owner's."""
    looks = method in ("GET", "HEAD")
    if path in ADMIN_PATHS or path.startswith("/v1/tokens/") or (not looks and path.startswith(OWNERS_PATHS)):
        return TokenScope.ADMIN
    if not looks and path.startswith("/v1/projects") and "/members/" not in path:
        return TokenScope.ADMIN
    return TokenScope.READ if looks else TokenScope.SUBMIT


def limit_of(path: str) -> int:
    """How many bytes a request to a route may bring."""
    if path.startswith(BLOBS):
        return MAX_BLOB_BYTES
    return MAX_LARGE_BYTES if path in LARGE else MAX_BODY_BYTES


class _Body:
    """Counts what comes, for bodies that don't say how long they are, or lie."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.limit = limit
        self._receive = receive
        self._taken = 0
        self._more = True

    def announce(self, length: bytes) -> None:
        """Hears how long the body will be. Raises `TooLarge`."""
        if length.isdigit() and int(length) > self.limit:
            raise TooLarge

    async def receive(self) -> Message:
        """The next message. Raises `TooLarge`."""
        message = await self._receive()
        self._more = message.get("more_body", False)
        self._taken += len(message.get("body", b""))
        if self._taken > self.limit:
            raise TooLarge
        return message

    async def drop(self) -> None:
        """Takes the rest and drops it: a client that is still sending would not see why it is refused."""
        while self._more and self._taken < _DROPPED_BYTES:
            with suppress(TooLarge):
                await self.receive()


def no_token() -> Response:
    """The answer to a request without a token that is good."""
    detail = (
        "send a token as `Authorization: Bearer TOKEN`, one that has not expired and was not revoked; "
        "daemon.json names the file with the broker's own, `broker token create` makes others"
    )
    return problem_response("no-token", 401, detail, headers={"WWW-Authenticate": "Bearer"})


def too_many_failures(wait_s: int) -> Response:
    """The answer to an address that has sent too many of these."""
    detail = (
        f"too many requests without a token that is good came from this address: try again in {wait_s} s; "
        "a good token is let in meanwhile"
    )
    return problem_response("too-many-failures", 429, detail, headers={"Retry-After": str(wait_s)})


def not_enough(has: TokenScope, needed: TokenScope) -> Response:
    """The answer to a token that is not good for what is asked."""
    detail = f"this token is good for `{has}`; this needs `{needed}`: `broker token create` makes one"
    return problem_response("forbidden", 403, detail)


def too_large(limit: int) -> Response:
    """The answer to a body over its limit."""
    detail = (
        f"the body is over {limit >> 20} MiB, the most that this route takes: "
        "give a job its data in files (file_mounts, workdir), not in its description"
    )
    return problem_response("too-large", 413, detail, headers={"Connection": "close"})
