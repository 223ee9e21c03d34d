"""Those who follow: hundreds at once, one that reads nothing, one that comes back, one that stays overnight."""

import asyncio
import base64
import gc
import json
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from broker.api import streaming
from broker.api.app import create_app
from broker.api.server import COLLECT, MOST_FILES, SWITCH_S, Server, expect_many
from broker.run.service.crowd import Crowd
from broker.run.service.turns import Turns
from tests.api.conftest import WAIT_S, House

FOLLOWERS = 300


@asynccontextmanager
async def served(house: House, token: str | None = None) -> AsyncIterator[int]:
    """The port of the real server."""
    server = Server(create_app(house.service, token))
    sock = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


class Follower:
    """Reads a stream of events over a connection of its own."""

    def __init__(self, port: int, path: str, limit: int = 1 << 16) -> None:
        self.port, self.path, self.limit = port, path, limit

    async def open(self, **headers: str) -> "Follower":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=self.limit)
        lines = [f"GET {self.path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {text}" for name, text in headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        return self

    async def until(self, sign: bytes) -> bytes:
        """All that comes until this has come."""
        async with asyncio.timeout(WAIT_S * 3):
            return await self.reader.readuntil(sign)


def events_of(text: str) -> list[dict[str, str]]:
    parts = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    return [dict(line.split(": ", 1) for line in part.split("\n")) for part in parts]


def output_of(found: list[dict[str, str]]) -> bytes:
    return b"".join(base64.b64decode(json.loads(each["data"])["data"]) for each in found if each["event"] == "log")


async def test_hundreds_follow_one_job_and_everybody_else_is_answered(house: House, submitted: str) -> None:
    executor, attempt = await house.start(submitted)
    async with served(house) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as asked:
        path = f"/v1/jobs/{submitted}/follow"
        followers = [await Follower(port, path, 1 << 18).open() for _ in range(FOLLOWERS)]
        await asyncio.gather(*(each.until(b"event: state") for each in followers))
        before = len([1 for method, _ in executor.calls if method == "logs"])
        executor.runs[attempt].stdout = b"hello\n"
        await asyncio.gather(*(each.until(b"event: log") for each in followers))
        assert (await asked.get("/v1/pools", timeout=WAIT_S)).status_code == 200
        await house.end(submitted)
        assert all(
            b"succeeded" in each for each in await asyncio.gather(*(each.until(b"event: end") for each in followers))
        )
        looked = len([1 for method, _ in executor.calls if method == "logs"]) - before
        assert looked < FOLLOWERS, "each follower asked the executor for itself"
        for each in followers:
            each.writer.close()


async def test_a_client_that_reads_nothing_is_cut_off_and_nobody_else_waits(
    house: House, submitted: str, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    executor, attempt = await house.start(submitted)
    executor.runs[attempt].stdout = b"x" * (32 << 20)
    async with served(house) as port:
        path = f"/v1/jobs/{submitted}/follow"
        quick = await Follower(port, path, 1 << 20).open()
        await quick.until(b"event: state")  # a busy machine may stand still for longer than the slow one is borne
        monkeypatch.setattr(streaming.Lasting.__init__, "__defaults__", (0.5,))
        monkeypatch.setattr(streaming.events, "__defaults__", (0.5,))
        slow = await Follower(port, path, 1 << 10).open()
        await slow.until(b"200 OK")
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        read = 0
        async with asyncio.timeout(WAIT_S * 3):
            while read < 40 << 20:  # in base64
                read += len(await quick.reader.read(1 << 20))
            while house.service._crowd.size > 1:
                await asyncio.sleep(0.05)
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            while True:
                await slow.reader.readexactly(1 << 16)
        for each in (slow, quick):
            each.writer.close()
            with suppress(ConnectionError):
                await each.writer.wait_closed()


async def test_a_job_is_followed_on_from_where_it_was_left(
    house: House, http: httpx.AsyncClient, submitted: str
) -> None:
    executor, attempt = await house.start(submitted)
    executor.runs[attempt].stdout, executor.runs[attempt].stderr = b"one two", b"oh"
    await house.end(submitted)
    path = f"/v1/jobs/{submitted}/follow"
    whole = events_of((await http.get(path)).text)
    assert output_of(whole) == b"one twooh"
    for left in (each for each in whole if "id" in each):
        seen = whole[: whole.index(left) + 1]
        rest = events_of((await http.get(path, headers={"Last-Event-ID": left["id"]})).text)
        assert output_of(seen) + output_of(rest) == b"one twooh"
    assert (await http.get(path, headers={"Last-Event-ID": "nonsense"})).status_code == 422


async def test_who_comes_back_hears_what_happened_meanwhile(house: House, http: httpx.AsyncClient) -> None:
    async with served(house) as port:
        first = await Follower(port, "/v1/events?kind=job").open()
        await first.until(b": listening\n")
        job = (await http.post("/v1/jobs", json={"run": "true"})).json()["id"]
        text = (await first.until(b"event: job.starting") + await first.until(b"\n\n")).decode()
        first.writer.close()
        last = [line for line in text.splitlines() if line.startswith("id: ")][-1].removeprefix("id: ")
        await house.end(job)
        again = await Follower(port, "/v1/events?kind=job").open(**{"Last-Event-ID": last})
        assert b"missed" not in await again.until(b"event: job.succeeded")
        again.writer.close()
        other = await Follower(port, "/v1/events").open(**{"Last-Event-ID": "00000000-5"})
        await other.until(b"event: missed")
        other.writer.close()


async def test_a_quiet_stream_gives_signs_of_life_and_keeps_nothing(
    house: House, submitted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "QUIET_S", 0.01)
    await house.start(submitted)
    async with served(house) as port:
        open_ones = [await Follower(port, path).open() for path in (f"/v1/jobs/{submitted}/follow", "/v1/events")]
        for each in open_ones:
            for _ in range(100):
                await each.until(b": quiet\n\n")
        for each in open_ones:
            each.writer.close()
        async with asyncio.timeout(WAIT_S):
            while house.service._crowd.size or house.service.events._everywhere:
                await asyncio.sleep(0.01)


async def test_many_that_ask_the_same_at_once_are_told_one_answer() -> None:
    crowd, asked = Crowd(), 0

    async def find() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return asked

    assert set(await asyncio.gather(*(crowd.ask("key", find) for _ in range(50)))) == {1}
    for other in range(200):
        await crowd.ask(other, find)
    assert len(crowd._answers) <= 64


async def test_one_that_leaves_takes_nothing_from_the_others() -> None:
    crowd, go = Crowd(), asyncio.Event()

    async def find() -> str:
        await go.wait()
        return "found"

    first, second = (asyncio.create_task(crowd.ask("key", find)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == "found"


async def test_one_looks_for_all_that_wait_for_the_same_and_ends_with_the_last_of_them() -> None:
    crowd, looking, go, ends = Crowd(), 0, asyncio.Event(), []

    async def watch() -> str:
        nonlocal looking
        looking += 1
        try:
            await go.wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return "seen"

    waiting = [asyncio.create_task(crowd.news("place", watch)) for _ in range(100)]
    gone = asyncio.create_task(crowd.news("other place", watch))
    await asyncio.sleep(0)
    gone.cancel()
    waiting[0].cancel()
    await asyncio.wait([gone])
    again = asyncio.create_task(crowd.news("other place", watch))  # while the one before is ending
    await asyncio.sleep(0)
    go.set()
    assert set(await asyncio.gather(*waiting[1:], again)) == {"seen"}
    assert (looking, ends, crowd._watches) == (3, ["cancelled"], {})


async def test_an_error_of_the_one_that_looks_is_everybodys() -> None:
    async def watch() -> str:
        raise ValueError("the database is away")

    crowd = Crowd()
    found = await asyncio.gather(*(crowd.news("place", watch) for _ in range(20)), return_exceptions=True)
    assert {str(each) for each in found} == {"the database is away"}


async def test_the_more_watch_the_slower_each_looks() -> None:
    crowd, never = Crowd(), asyncio.Event()
    paces = []
    for size in (1, 100, 1_000):
        waiting = [asyncio.create_task(crowd.news(place, never.wait)) for place in range(size)]
        await asyncio.sleep(0)
        paces.append((crowd.pace_s, crowd.dense))
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
    assert paces == [(0.1, False), (0.1, False), (1.0, True)]


async def test_who_waits_goes_on_in_order_and_others_have_half_of_the_time() -> None:
    turns, went, work_s = Turns(), [], 0.001

    async def follower(number: int) -> None:
        await turns.turn()
        begun_s = time.thread_time()
        while time.thread_time() - begun_s < work_s:  # work that holds up the loop
            pass
        went.append(number)

    followers = [asyncio.create_task(follower(number)) for number in range(200)]
    begun = time.perf_counter()
    while not all(each.done() for each in followers):
        await asyncio.sleep(0)
    assert went == sorted(went) and len(went) == 200
    assert time.perf_counter() - begun > 1.5 * 200 * work_s, "nobody else had any time"
    async with asyncio.timeout(WAIT_S):
        await turns.turn()  # and after them all


def test_a_server_may_have_many_connections() -> None:
    before, collect = resource.getrlimit(resource.RLIMIT_NOFILE), gc.get_threshold()
    switching_s = sys.getswitchinterval()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        expect_many()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(before[1], MOST_FILES), before[1])
        assert gc.get_threshold() == COLLECT and sys.getswitchinterval() == pytest.approx(SWITCH_S)
    finally:
        sys.setswitchinterval(switching_s)
        gc.set_threshold(*collect)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
