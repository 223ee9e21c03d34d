"""What a browser sends for a site that is not ours is refused, and no answer is ever run by one as something else.

A token is never sent by a browser by itself, so that other sites reach nothing that needs one. This holds for what asks
for none: the owner's socket, where somebody has made it reachable over TCP, and whatever may come to be.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.errors import problem_response
from broker.api.guard import TRUSTED

SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_SAFE: Final = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
_OURS: Final = ("same-origin", "none")  # none: typed by the user


class Browsers:
    """ASGI middleware, before all others. `trusting`: this application asks nobody for a token."""

    def __init__(self, app: ASGIApp, *, trusting: bool) -> None:
        self._app = app
        self._trusting = trusting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses what comes from elsewhere; to each answer adds the headers that it lacks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = list(message.get("headers", ()))
                there = {name.lower() for name, _ in told}
                message["headers"] = told + [each for each in _SAFE if each[0] not in there]
            await send(message)

        why = _elsewhere(headers, link=scope["method"] == "GET" and scope["path"] == "/")
        if why is None and (self._trusting or scope.get(TRUSTED)) and not _local(headers.get("host", "")):
            why = (
                f"the Host {headers['host'][:100]!r} is not this machine: without a token only local names are answered"
            )
        await (self._app if why is None else refused(why))(scope, receive, safe)


def _elsewhere(headers: dict[str, str], *, link: bool) -> str | None:
    """Why a request comes from another site; None where it doesn't. A link to the page itself may be followed."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        followed = link and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        ours, said = site in _OURS or followed, f"Sec-Fetch-Site: {site[:20]}"
    else:
        ours, said = origin is None or _of(origin) == headers.get("host", "").lower(), f"Origin: {(origin or '')[:100]}"
    return None if ours else f"a browser sent this for another site ({said})"


def _of(origin: str) -> str:
    """The host and port of an origin; empty for none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def _local(host: str) -> bool:
    """Whether nobody else can have a name point here: an address of this machine, or a name without a dot."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return "." not in name


def refused(why: str) -> Response:
    """The answer to what another site sent."""
    return problem_response("cross-site", 403, why)
