"""Events → webhooks: told while they happen, tried again for a while, never in the way of what happens.

What waits is in memory: what a receiver had not taken when the broker ended, it is not told. The store has it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from broker.model.errors import BrokerError, Rejected, Unreachable
from broker.ports import SecretSource
from broker.run.settings.receiver import Receiver
from broker.run.telling.events import Event, Events, Listener

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger()

TIMEOUT_S: Final = 10.0
TRIED_FOR_S: Final = 900.0
SIGNATURE: Final = "Broker-Signature"
_BETWEEN: Final = "\u200b"  # of no width: it is not seen, and what it stands in is no markup
_SIGNS: Final = {
    "succeeded": "✅",
    "failed": "❌",
    "cancelled": "🚫",
    "interrupted": "⚠️",
    "nearly_spent": "⚠️",
    "spent": "🛑",
}


class Notifier:
    """Tells receivers."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        secrets: SecretSource,
        events: Events,
        as_json: Callable[[Event], str],
        tried_for_s: float = TRIED_FOR_S,
    ) -> None:
        self._receivers = receivers
        self._secrets = secrets
        self._events = events
        self._as_json = as_json
        self._tried_for_s = tried_for_s

    async def run(self) -> None:
        """Tells until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for receiver in self._receivers:
                tasks.create_task(self._serve(receiver))

    async def _serve(self, receiver: Receiver) -> None:
        import httpx

        with self._events.listen() as listener:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
                async for _, event in listener.all():
                    if receiver.wants(event.kind):
                        await self._tell(client, receiver, event)
                    _say_missed(receiver, listener)

    async def _tell(self, client: httpx.AsyncClient, receiver: Receiver, event: Event) -> None:
        again = AsyncRetrying(
            retry=retry_if_exception_type(Unreachable),
            wait=wait_random_exponential(multiplier=1, max=60),
            stop=stop_after_delay(self._tried_for_s),
            reraise=True,
        )
        try:
            await again(self._post, client, receiver, self._body(receiver, event))
        except BrokerError as error:
            log.error("a receiver was not told", receiver=receiver.name, event_kind=event.kind, error=str(error))
        except Exception as error:  # what comes later is told all the same; what it says may name the address
            kind = type(error).__name__
            log.error("telling a receiver failed", receiver=receiver.name, event_kind=event.kind, error=kind)

    def _body(self, receiver: Receiver, event: Event) -> bytes:
        text = self._as_json(event) if receiver.form == "json" else json.dumps({"text": in_words(event)})
        return text.encode()

    async def _post(self, client: httpx.AsyncClient, receiver: Receiver, body: bytes) -> None:
        """Raises `Unreachable` for what may work later, `Rejected` for what will not. Neither names the address."""
        import httpx

        headers = {"Content-Type": "application/json"}
        names = [receiver.url_secret, *([receiver.signing_secret] if receiver.signing_secret else [])]
        values = await asyncio.to_thread(self._secrets.values, names)
        if receiver.signing_secret:
            headers[SIGNATURE] = signature(values[receiver.signing_secret], body)
        try:
            answer = await client.post(values[receiver.url_secret], content=body, headers=headers)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Rejected(f"the secret {receiver.url_secret} holds no address of a web server") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"no answer ({type(error).__name__})") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unreachable(f"it answered {answer.status_code}")
        if answer.status_code >= 300:
            raise Rejected(f"it answered {answer.status_code}")


def signature(secret: str, body: bytes) -> str:
    """How a receiver knows that a body is from this broker: HMAC-SHA256 of the body, in hex, as GitHub writes it."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def in_words(event: Event) -> str:
    """An event as a line of a chat. Nothing in it is taken for markup or calls people."""
    what, _, state = event.kind.partition(".")
    job = event.job
    if what == "budget":
        return f"{_SIGNS[state]} " + _plain(event.reason)
    if job is None:
        return _plain(f"{event.pool or f'schedule {event.schedule} {state}'}: {event.reason}")
    of = f"{job.spec.name} ({job.id}) of {job.user}"
    where = f" in {event.pool}" if event.pool else ""
    exit_code = f", exit code {job.exit_code}" if job.exit_code else ""
    attempt = "an attempt of " if what == "attempt" else ""
    reason = f": {event.reason}" if event.reason else ""
    return f"{_SIGNS.get(state, '▫️')} " + _plain(f"{attempt}{of} {state}{where}{exit_code}{reason}")


def _plain(text: str) -> str:
    """Slack's markup begins with <; Mattermost calls all who read on "@all", and makes links of [words](address)."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("@", f"@{_BETWEEN}").replace("](", f"]{_BETWEEN}(")


def _say_missed(receiver: Receiver, listener: Listener) -> None:
    if listener.missed:
        log.error("a receiver is too slow: events were dropped", receiver=receiver.name, dropped=listener.missed)
        listener.missed = 0
