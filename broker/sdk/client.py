"""Calls of Python → requests to the broker's daemon, on its Unix socket or on loopback, and its answers, as JSON.

What goes wrong comes back as the very errors that the broker raised. Nothing heavier than httpx is imported.
"""

from __future__ import annotations

import getpass
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx

from broker.model.errors import DaemonError
from broker.sdk.events import Event, Json, StreamName, read_events
from broker.sdk.problems import raise_problem

TIMEOUT_S: Final = 30.0
FOLLOWING: Final = httpx.Timeout(TIMEOUT_S, read=None)  # a job may be silent for days
LONGEST_WAIT_S: Final = 60.0  # of one request; a longer wait is several


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPiece:
    """A piece of one stream of one attempt."""

    data: bytes
    next_offset: int  # where the next piece begins
    complete: bool  # it is the last piece
    attempt: int  # its number; 0: the job has none yet


class Client:
    """Speaks to one daemon. Safe for threads. Close it, or use it in a `with` statement.

    Every method raises `DaemonError` when the daemon does not answer, and what the broker refuses as `InvalidInput`,
    `UnknownName`, `Conflict` and the others of `broker.model.errors`.
    """

    def __init__(self, address: str, token: str | None = None, user: str | None = None) -> None:
        """`address` is `unix:/path` or `http://127.0.0.1:port`; `user` owns what is submitted."""
        uds = address.removeprefix("unix:") if address.startswith("unix:") else None
        headers = {"Broker-User": user or getpass.getuser()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.address = address
        self._http = httpx.Client(
            base_url="http://broker" if uds else address,
            transport=httpx.HTTPTransport(uds=uds, retries=1) if uds else None,
            headers=headers,
            timeout=TIMEOUT_S,
            trust_env=False,  # a proxy has no business between a machine and itself
        )

    def __enter__(self) -> Client:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives back connections."""
        self._http.close()

    def submit(self, document: Mapping[str, Any]) -> Json:
        """Submits a job, as the job specification has it: `Submitted`."""
        return self._json("POST", "/v1/jobs", json=dict(document))

    def put_blob(self, data: bytes) -> str:
        """Stores the payload of a function; its SHA-256, by which a job names it."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._send("PUT", f"/v1/blobs/{sha256}", content=data)
        return sha256

    def retry(self, job_id: str) -> Json:
        """Submits a failed or cancelled job, or an array's such tasks, again: `Submitted`."""
        return self._json("POST", f"{_path(job_id)}/retry")

    def cancel(self, job_id: str) -> Json:
        """Asks for the end of a job or an array: `Cancelled`."""
        return self._json("POST", f"{_path(job_id)}/cancel")

    def job(self, job_id: str) -> Json:
        """A job with its whole history, or an array: `JobDetail` or `ArrayView` (see `kind`)."""
        return self._json("GET", _path(job_id))

    def jobs(self, **filters: Any) -> Json:
        """One page of jobs, newest first: `JobList`.

        Filters: state, user, name, pool, array, tag (KEY=VALUE), since, until, limit, cursor, collapse; lists where
        several are meant.
        """
        return self._json("GET", "/v1/jobs", params=_given(filters))

    def each_job(self, **filters: Any) -> Iterator[Json]:
        """All jobs, newest first, read page by page: `JobView` or `ArrayView`."""
        cursor: str | None = None
        while True:
            page = self.jobs(**{"limit": 200, **filters, "cursor": cursor})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def wait(self, job_id: str, timeout_s: float | None = None, since: str | None = None) -> Json:
        """A job or array once it has ended, or is of another revision than `since`: `JobView` or `ArrayView`.

        After `timeout_s` seconds it is returned as it is then; None waits for ever.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = LONGEST_WAIT_S if until is None else max(min(until - time.monotonic(), LONGEST_WAIT_S), 0.0)
            params = _given({"timeout_s": left_s, "since": since})
            found = self._json("GET", f"{_path(job_id)}/wait", params=params, timeout=left_s + TIMEOUT_S)
            over = until is not None and time.monotonic() >= until
            if found["ended"] or over or (since is not None and found["revision"] != since):
                return found

    def logs(
        self,
        job_id: str,
        stream: StreamName = "stdout",
        *,
        attempt: int | None = None,
        offset: int = 0,
        limit: int = 1 << 20,
    ) -> LogPiece:
        """A piece of what a job wrote, of its last attempt where none is named."""
        params = _given({"stream": stream, "attempt": attempt, "offset": offset, "limit": limit})
        response = self._send("GET", f"{_path(job_id)}/logs", params=params)
        return LogPiece(
            data=response.content,
            next_offset=int(response.headers["Broker-Next-Offset"]),
            complete=response.headers["Broker-Complete"] == "true",
            attempt=int(response.headers["Broker-Attempt"]),
        )

    def output(self, job_id: str, stream: StreamName = "stdout", *, attempt: int | None = None) -> Iterator[bytes]:
        """All that a job has written so far to a stream, piece by piece."""
        offset = 0
        while True:
            piece = self.logs(job_id, stream, attempt=attempt, offset=offset)
            yield piece.data
            if piece.complete or not piece.data:
                return
            attempt, offset = piece.attempt, piece.next_offset

    def follow(self, job_id: str) -> Iterator[Event]:
        """All that a job writes, both streams, and each state that it is seen in, as it happens, until its end."""
        try:
            with self._http.stream("GET", f"{_path(job_id)}/follow", timeout=FOLLOWING) as response:
                if response.is_error:
                    response.read()
                    raise_problem(response)
                yield from read_events(response.iter_lines())
        except httpx.HTTPError as error:
            raise unanswered(self.address, error) from error

    def explain(self, job_id: str) -> Json:
        """Why a job runs where it does: `ExplanationView`."""
        return self._json("GET", f"{_path(job_id)}/explain")

    def result(self, job_id: str) -> bytes:
        """What a function returned or raised, pickled. Raises `Conflict` while it has not ended."""
        return self._send("GET", f"{_path(job_id)}/result").content

    def offers(self, document: Mapping[str, Any]) -> Json:
        """What would be decided for such a job now, starting nothing: `PlacementView`."""
        return self._json("POST", "/v1/offers", json=dict(document))

    def spend(self, **wanted: Any) -> Json:
        """What was spent: `SpendView`. Takes period, since, until, by (a list), job, user, pool, tag (KEY=VALUE)."""
        return self._json("GET", "/v1/spend", params=_given(wanted))

    def spend_csv(self, **wanted: Any) -> str:
        """The same as CSV."""
        return self._send("GET", "/v1/spend", params=_given({**wanted, "format": "csv"})).text

    def pools(self) -> list[Json]:
        """All pools by name: `PoolView`s."""
        return list(self._json("GET", "/v1/pools")["pools"])

    def status(self) -> Json:
        """The daemon and what it has to do: `StatusView`."""
        return self._json("GET", "/v1/status")

    def shutdown(self, *, drain: bool = True) -> None:
        """Asks the daemon to end: after what runs has ended, or now."""
        self._send("POST", "/v1/shutdown", json={"mode": "drain" if drain else "now"})

    def healthy(self, timeout_s: float = TIMEOUT_S) -> bool:
        """Whether the daemon answers."""
        try:
            return self._http.get("/healthz", timeout=timeout_s).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _json(self, method: str, path: str, **options: Any) -> Json:
        found: Json = self._send(method, path, **options).json()
        return found

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise unanswered(self.address, error) from error
        if response.is_error:
            raise_problem(response)
        return response


def unanswered(address: str, error: httpx.HTTPError) -> DaemonError:
    """The error for a daemon that is gone, or does not answer in time."""
    if isinstance(error, httpx.TimeoutException):
        return DaemonError(f"the broker at {address} did not answer in time: see `broker status`, or try again")
    return DaemonError(f"the broker at {address} does not answer ({error}): start it with `broker up`")


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _given(params: Mapping[str, Any]) -> Json:
    """Without what was not given, and times as text."""
    return {name: _text(value) for name, value in params.items() if value is not None}


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
