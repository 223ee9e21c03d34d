"""What is followed is told once and whole, however often the connection is lost, with `for` and with `async for`."""

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import pytest

from broker.model.errors import DaemonError, UnknownName
from broker.model.jobs import AttemptState
from broker.sdk import client as clients
from broker.sdk import event_stream
from broker.sdk.client import Client
from broker.sdk.event_stream import EventStream, ServerEvent
from broker.sdk.events import Event, Happened, Seen, Wrote
from broker.sdk.follow import Followed
from tests.sdk.conftest import Served

LONGEST_S = 10
Take = Callable[..., list[Event]]


def nothing() -> None: ...


def waiting(followed: Followed[Event], at_each: Callable[[], object] = nothing) -> list[Event]:
    found = []
    for event in followed:
        found.append(event)
        at_each()
    return found


def in_a_loop(followed: Followed[Event], at_each: Callable[[], object] = nothing) -> list[Event]:
    async def all_of_it() -> list[Event]:
        found = []
        async with asyncio.timeout(LONGEST_S):
            async for event in followed:
                found.append(event)
                at_each()
        return found

    return asyncio.run(all_of_it())


@contextlib.contextmanager
def cutting(to: Path, at: Path, cuts: Iterator[int]) -> Iterator[None]:
    """A socket that goes to another, and ends each connection after so many bytes of the answer."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(at))
        door.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    came, _ = door.accept()
                    with came, socket.socket(socket.AF_UNIX) as there, contextlib.suppress(OSError):
                        there.connect(str(to))
                        there.sendall(came.recv(1 << 16))
                        left = next(cuts)
                        while left > 0 and (data := there.recv(min(left, 1 << 16))):
                            came.sendall(data)
                            left -= len(data)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            door.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("take", [waiting, in_a_loop])
def test_however_often_the_connection_is_lost_all_of_it_is_told_once(
    served: Served, client: Client, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_LONGEST_REST_S", 0.01)
    job = client.submit({"run": "true"})["id"]
    executor, attempt = served.do(served.house.start(job))
    written = bytes(random.Random(1).randbytes(300_000))
    executor.runs[attempt].stdout, executor.runs[attempt].stderr = written, b"oh"
    served.do(served.house.end(job, AttemptState.FAILED, 3))
    draw = random.Random(2)
    lost: list[str] = []
    cuts = chain([5_000], iter(lambda: draw.choice((0, 90, 700, 5_000, 100_000, 250_000)), None))
    with cutting(served.state_dir / "broker.sock", served.state_dir / "cut.sock", cuts):
        found = take(Client(f"unix:{served.state_dir / 'cut.sock'}").follow(job, lambda: lost.append(job)))
    out = b"".join(event.data for event in found if isinstance(event, Wrote) and event.stream == "stdout")
    assert out == written, "something was left out, or told twice"
    assert [event.data for event in found if isinstance(event, Wrote) and event.stream == "stderr"] == [b"oh"]
    assert [event.job["state"] for event in found if isinstance(event, Seen)] == ["failed"]
    assert lost


@pytest.mark.parametrize("take", [waiting, in_a_loop])
def test_what_never_began_is_not_tried_again(served: Served, client: Client, tmp_path: Path, take: Take) -> None:
    with pytest.raises(UnknownName, match="nosuch"):
        take(client.follow("nosuch"))
    with pytest.raises(DaemonError, match="broker up"):
        take(Client(f"unix:{tmp_path / 'nobody.sock'}").follow("any"))


@pytest.mark.parametrize("take", [waiting, in_a_loop])
def test_a_broker_that_stays_away_is_said(
    served: Served, client: Client, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "EventStream", partial(EventStream, patience_s=0.3))
    with pytest.raises(DaemonError, match="has not answered"):
        take(
            client.follow(client.submit({"run": "true"})["id"]),
            lambda: served.loop.call_soon_threadsafe(served.stop.set),
        )


def test_following_tells_what_happens_as_it_happens(served: Served, client: Client) -> None:
    job = client.submit({"run": "true"})["id"]
    events = iter(client.follow(job))
    assert isinstance(next(events), Seen)
    executor, attempt = served.do(served.house.start(job))
    executor.runs[attempt].stdout = b"\xffone\n"
    wrote = next(event for event in events if isinstance(event, Wrote))
    assert (wrote.stream, wrote.attempt, wrote.data) == ("stdout", 1, b"\xffone\n")
    served.do(served.house.end(job, AttemptState.FAILED, 3))
    last = list(events)[-1]
    assert isinstance(last, Seen)
    assert (last.job["state"], last.job["exit_code"]) == ("failed", 3)


def test_all_that_happens_is_told_after_a_loss_as_well(served: Served, client: Client) -> None:
    """Of three connections the first ends within the first event, and the second within the second."""
    listening, jobs = threading.Event(), []

    def cuts() -> Iterator[int]:
        for cut in (400, 1_000, 1 << 20):
            listening.set()
            yield cut

    async def two_events() -> list[Happened]:
        events = aiter(Client(f"unix:{served.state_dir / 'cut.sock'}").events(["job"]))
        found = []
        async with asyncio.timeout(LONGEST_S):
            for _ in range(2):
                coming = asyncio.ensure_future(anext(events))
                await asyncio.to_thread(listening.wait, LONGEST_S)
                jobs.append((await asyncio.to_thread(client.submit, {"run": "true"}))["id"])
                found.append(await coming)
        await events.aclose()
        return found

    with cutting(served.state_dir / "broker.sock", served.state_dir / "cut.sock", cuts()):
        found = asyncio.run(two_events())
    assert [(each.kind, each.event["job"]["id"]) for each in found] == [("job.starting", job) for job in jobs]


def test_a_stream_reads_events_to_their_end_and_counts_none_that_broke_off() -> None:
    stream = EventStream("/path", {}, ends=True)
    stream.begin()
    assert [stream.read(line) for line in (": quiet", "", "event: log", "data: 1", "id: 7")] == [None] * 5
    assert stream.headers == {}, "the event has not ended"
    assert stream.read("") == ServerEvent(kind="log", data="1")
    assert stream.headers == {"Last-Event-ID": "7"}
    stream.read("event: log")
    stream.begin()
    stream.read("data: 2")
    assert stream.read("") is None
    assert not stream.ended
    for line in ("event: end", "data: {}", ""):
        stream.read(line)
    assert stream.ended and stream.headers == {"Last-Event-ID": "7"}
    for line in (": listening", "id: 9", ""):
        stream.read(line)
    assert stream.headers == {"Last-Event-ID": "9"}, "a stream on which nothing has happened yet"


def test_rests_grow_until_patience_ends() -> None:
    stream = EventStream("/path", {}, ends=False, patience_s=1e9)
    stream.begin()
    rests = [stream.lost(None) for _ in range(10)]
    assert rests[:3] == [0.1, 0.2, 0.4] and rests[-1] == 5.0 and stream.away
    for line in ("event: job.queued", "data: {}", ""):
        stream.read(line)
    assert not stream.away and stream.lost(None) == 0.1
    with pytest.raises(DaemonError, match="broker up"):
        EventStream("/path", {}, ends=False, patience_s=0).lost(None)
