"""The people who use the broker: they submit until they are answered, cancel, follow a while, and hang up."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from broker.model.errors import BrokerError, Conflict, DaemonError, StoreError
from broker.sdk.call_requests import submit_calls
from broker.sdk.client import Client
from broker.sdk.pickling import pickled_arguments, pickled_function
from tests.soak.account import called
from tests.soak.shapes import Wish
from tests.soak.world import World

PATIENCE_S = 300.0
AGAIN_S = 0.3


@dataclass
class Crowd:
    """What was accepted, and what went wrong for those who asked."""

    here: World
    accepted: dict[str, Wish] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)  # what had to be asked again, by what was said

    def insist(self, what: str, ask: Callable[[Client], Any]) -> Any:
        """Asks until it is answered; what a person can't do anything about but ask again is counted."""
        limit = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self.here.client() as client:
                    return ask(client)
            except (DaemonError, StoreError) as error:
                self.repeats[type(error).__name__] += 1
                if time.monotonic() > limit:
                    self.wrong.append(f"{what}: not answered for {PATIENCE_S:g} s: {error}")
                    return None
                time.sleep(AGAIN_S)
            except BrokerError as error:
                self.wrong.append(f"{what}: {type(error).__name__}: {error}")
                return None

    def submit(self, wish: Wish) -> None:
        """Submits it, perhaps twice, and cancels it later where that is planned."""
        said = self.insist(f"submitting {wish.id}", lambda client: _sent(client, wish))
        if said is None:
            return
        self.accepted[wish.id] = wish
        if wish.again:
            second = self.insist(f"submitting {wish.id} again", lambda client: _sent(client, wish))
            if second is not None and (second["created"] or second["id"] != wish.id):
                self.wrong.append(f"{wish.id} was submitted again and taken for new: {second}")
            self._refused_as_another(wish)
        if wish.cancel_after_s is not None:
            time.sleep(wish.cancel_after_s)
            if self.insist(f"cancelling {wish.id}", lambda client: client.cancel(wish.id)) is not None:
                self.cancelled.add(wish.id)

    def _refused_as_another(self, wish: Wish) -> None:
        """Another job under the same id is no repetition."""

        def other(client: Client) -> bool:
            try:
                client.submit({"id": wish.id, "run": "echo another"})
            except Conflict:
                return True
            return False

        if self.insist(f"another job as {wish.id}", other) is False:
            self.wrong.append(f"another job was taken under the id {wish.id}")

    def hang_up(self, draw: random.Random, stop: threading.Event) -> None:
        """Follows jobs and leaves in the middle, and sends half of requests."""
        while not stop.wait(draw.uniform(0.5, 3.0)):
            ids = list(self.accepted)
            with suppress(BrokerError, OSError):
                if ids and draw.random() < 0.6:
                    self._follow_a_while(draw.choice(ids[-20:]), draw.randint(1, 4))
                else:
                    self._half_a_request()

    def _follow_a_while(self, job: str, events: int) -> None:
        with self.here.client() as client:
            for number, _ in enumerate(client.follow(job)):
                if number >= events:
                    return

    def _half_a_request(self) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(2.0)
            line.connect(str(self.here.state / "broker.sock"))
            line.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
            )


def _sent(client: Client, wish: Wish) -> dict[str, Any]:
    if wish.argument is None:
        return client.submit(wish.document)
    function = pickled_function(called)
    arguments = [pickled_arguments(called, (wish.argument,), {})]
    said: dict[str, Any] = client.run(submit_calls(wish.document, "called", function, arguments, set()))
    return said
