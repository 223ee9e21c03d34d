"""Who asks → how often they may, and how many answers of theirs may go on at once.

The headers are those of the IETF's draft "RateLimit header fields for HTTP". Each process counts for itself.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from math import ceil
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.errors import problem_response
from broker.api.guard import IDENTITY, TRUSTED
from broker.decide.throttle import Bucket, Rate, Taken, take
from broker.model.tokens import Identity
from broker.run.settings import UserLimits

STREAMS: Final = ("/follow", "/events", "/wait", "/logs")  # answers that may last
_MOST_USERS: Final = 10_000  # that are remembered; who was not heard of for longest has a full bucket anyway


DEFAULT: Final = UserLimits(rate=Rate(per_s=200.0, burst=1_000), streams=1_000)  # as the configuration has it


class Throttle:
    """ASGI middleware behind the guard. Who comes by the owner's socket is not limited."""

    def __init__(self, app: ASGIApp, limits: UserLimits) -> None:
        self._app = app
        self._limits = limits
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or says when it may come again."""
        who: Identity | None = scope.get(IDENTITY)
        if who is None or scope.get(TRUSTED):
            await self._app(scope, receive, send)
            return
        user = who.user or ""
        taken = self._take(user)
        if not taken.passes:
            await too_many(self._limits.rate, taken)(scope, receive, send)
            return
        telling = _Telling(send, self._limits.rate, taken)
        if not scope["path"].endswith(STREAMS):
            await self._app(scope, receive, telling)
        elif self._open[user] >= self._limits.streams:
            await _too_many_streams(self._limits.streams)(scope, receive, telling)
        else:
            await self._stream(user, scope, receive, telling)

    async def _stream(self, user: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._open[user] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]

    def _take(self, user: str) -> Taken:
        taken = take(self._buckets.get(user), self._limits.rate, time.monotonic())
        self._buckets[user] = taken.bucket
        self._buckets.move_to_end(user)
        if len(self._buckets) > _MOST_USERS:
            self._buckets.popitem(last=False)
        return taken


class _Telling:
    """Sends an answer with what is left for who asked."""

    def __init__(self, send: Send, rate: Rate, taken: Taken) -> None:
        self._send = send
        self._headers = _headers(rate, taken)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)


def _headers(rate: Rate, taken: Taken) -> dict[str, str]:
    refilled_s = ceil((rate.burst - taken.bucket.level) / rate.per_s)
    return {
        "RateLimit-Policy": f'"user";q={rate.burst};w={rate.window_s}',
        "RateLimit": f'"user";r={taken.left};t={refilled_s}',
    }


def too_many(rate: Rate, taken: Taken) -> Response:
    """The answer to a user who asks too often."""
    wait_s = ceil(taken.wait_s)
    detail = (
        f"more than {rate.burst} requests at once or {rate.per_s:g} a second by one user: ask again in {wait_s} s; "
        "many jobs go in one request, to POST /v1/jobs:batch"
    )
    return problem_response(
        "too-many-requests", 429, detail, headers={"Retry-After": str(wait_s), **_headers(rate, taken)}
    )


def _too_many_streams(most: int) -> Response:
    detail = f"{most} answers that follow something are open for this user, the most there may be: end one first"
    return problem_response("too-many-streams", 429, detail, headers={"Retry-After": "5"})
