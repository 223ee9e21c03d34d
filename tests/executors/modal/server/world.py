"""What the server knows, whom it lets in, and what it was told to do wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import string
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpclib import GRPCError, Status

TOKEN = ("ak-broker-tests", "as-known-to-nobody-else")
ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 22) -> str:
    return f"{prefix}-{''.join(secrets.choice(ALPHABET) for _ in range(length))}"


def refuse(status: Status, message: str) -> GRPCError:
    return GRPCError(status, message)


def missing(what: str, name: str) -> GRPCError:
    return GRPCError(Status.NOT_FOUND, f"{what} {name!r} not found")


def invalid(message: str) -> GRPCError:
    return GRPCError(Status.INVALID_ARGUMENT, message)


def jwt(clock_s: float = 0.0) -> str:
    parts = ({"alg": "none"}, {"exp": int(time.time() + clock_s) + 3600, "sub": secrets.token_hex(4)})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*coded, "signature"])


@dataclass
class Faults:
    """What goes wrong, until it is set back."""

    failing: dict[str, tuple[Status, str, int]] = field(default_factory=dict)  # call -> status, text, times
    after: dict[str, tuple[Status, str, int]] = field(default_factory=dict)  # the same, once it was carried out
    dropped: Counter[str] = field(default_factory=Counter)  # streams that break after their next message
    no_capacity: set[str] = field(default_factory=set)  # GPU models of which there is none; "" is all
    slow_import_s: float = 0.0  # from when a function's container begins to be paid until it takes an input
    boot_s: float = 0.0  # from when a container is scheduled until it runs
    bad_token: str = ""  # what is said of the token, which is refused
    logs_from_now: bool = False  # what follows a log gets nothing of what was in it already
    clock_s: float = 0.0  # how far the clock is ahead of the client's
    reading: asyncio.Event | None = None  # output is held back until it is set

    def fail(self, call: str, status: Status, message: str = "told to fail", times: int = 1_000_000) -> None:
        self.failing[call] = (status, message, times)

    def fail_after(self, call: str, status: Status, message: str = "told to fail", times: int = 1_000_000) -> None:
        self.after[call] = (status, message, times)

    async def released(self) -> None:
        """Waits while output is held back."""
        if self.reading is not None:
            await self.reading.wait()

    def drop(self, call: str, times: int = 1) -> None:
        self.dropped[call] += times

    @staticmethod
    def due(plans: dict[str, tuple[Status, str, int]], call: str) -> GRPCError | None:
        if call not in plans:
            return None
        status, message, times = plans.pop(call)
        if times > 1:
            plans[call] = (status, message, times - 1)
        return GRPCError(status, message)


@dataclass
class World:
    """State of one server."""

    folder: Path
    url: str = ""
    faults: Faults = field(default_factory=Faults)
    calls: list[tuple[str, Any]] = field(default_factory=list)  # in order, with their requests
    auth_tokens: set[str] = field(default_factory=set)
    answers: dict[tuple[str, Any], Any] = field(default_factory=dict)  # by call and idempotency key

    def seen(self, call: str) -> list[Any]:
        return [request for name, request in self.calls if name == call]

    def admit(self, call: str, metadata: Mapping[str, Any]) -> None:
        """Raises UNAUTHENTICATED for calls without what the service asks for."""
        given = (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret"))
        if given != TOKEN or self.faults.bad_token:
            said = self.faults.bad_token or "Token ID is malformed or unknown"
            raise GRPCError(Status.UNAUTHENTICATED, said)
        if "x-modal-client-version" not in metadata:
            raise invalid("no client version")
        if call.endswith("V2") and metadata.get("x-modal-auth-token") not in self.auth_tokens:
            raise GRPCError(Status.UNAUTHENTICATED, f"{call} needs an auth token")

    def new_auth_token(self) -> str:
        token = jwt(self.faults.clock_s)
        self.auth_tokens.add(token)
        return token
