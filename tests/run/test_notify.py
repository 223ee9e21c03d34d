"""Webhooks to a real HTTP server on this machine, which can be told to fail."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from structlog.testing import capture_logs

from broker.api.events import as_json
from broker.model.errors import UnknownName
from broker.model.jobs import Job, JobSpec, JobState
from broker.run.settings.receiver import Receiver
from broker.run.telling.events import Event, Events
from broker.run.telling.notify import SIGNATURE, Notifier, in_words, signature
from tests.serving import serving


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        if answer < 300:
            self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(answer)
        self.end_headers()
        self.server.came.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.answers, server.came = [], [], threading.Event()
    stop = serving(server)
    yield server
    stop()


class Secrets(dict):
    def values(self, names):
        if missing := [name for name in names if name not in self]:
            raise UnknownName(f"secret {missing[0]} has no value")
        return {name: self[name] for name in names}


RECEIVER = Receiver(name="ops", url_secret="URL", events=("job.failed", "plan"), form="json", signing_secret="KEY")
JOB = Job(id="j1", spec=JobSpec(name="train", run="true"), user="ann", state=JobState.FAILED, submitted_ns=1)


def event(kind: str, **more) -> Event:
    return Event(kind=kind, at_ns=10**18, reason="exit code 3", pool="ray", **more)


async def told(hook, receiver: Receiver, *sent: Event, until: int, tried_for_s: float = 10.0) -> None:
    events = Events()
    secrets = Secrets(URL=f"http://127.0.0.1:{hook.server_port}/hook/s3cret", KEY="key")
    notifier = Notifier([receiver], secrets, events, as_json, tried_for_s)
    task = asyncio.create_task(notifier.run())
    while not events._callbacks:
        await asyncio.sleep(0.005)
    events.tell(sent)
    async with asyncio.timeout(60.0):
        while len(hook.got) < until:
            await asyncio.sleep(0.01)
    task.cancel()


async def test_what_is_wanted_is_told_and_signed(hook) -> None:
    await told(
        hook, RECEIVER, event("job.running", job=JOB), event("job.failed", job=JOB), event("plan.nodes"), until=2
    )
    (path, headers, body), (_, _, second) = hook.got
    assert path == "/hook/s3cret" and headers[SIGNATURE] == signature("key", body)
    assert (json.loads(body)["kind"], json.loads(body)["job"]["id"]) == ("job.failed", "j1")
    assert json.loads(second)["kind"] == "plan.nodes"


async def test_it_is_told_again_until_it_is_taken_once(hook) -> None:
    hook.answers = [503, 429, 500]
    await told(hook, RECEIVER, event("job.failed", job=JOB), until=1)
    assert len(hook.got) == 1 and not hook.answers


@pytest.mark.parametrize(("answers", "tried_for_s"), [([404], 10.0), ([503] * 100, 0.0)])
async def test_what_is_refused_is_dropped_and_said_without_the_address(hook, answers, tried_for_s: float) -> None:
    hook.answers = answers[:1] if tried_for_s else [503]
    with capture_logs() as said:
        await told(hook, RECEIVER, event("job.failed", job=JOB), event("plan.nodes"), until=1, tried_for_s=tried_for_s)
    assert json.loads(hook.got[0][2])["kind"] == "plan.nodes"
    assert [line["log_level"] for line in said] == ["error"] and "s3cret" not in str(said)


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1/x", "http://127.0.0.1:1/s3cret", "http://h/\udcff"])
async def test_a_bad_address_is_said_and_stops_nothing(url: str) -> None:
    events = Events()
    notifier = Notifier([RECEIVER], Secrets(URL=url, KEY="k"), events, as_json, tried_for_s=0.0)
    with capture_logs() as said:
        task = asyncio.create_task(notifier.run())
        while not events._callbacks:
            await asyncio.sleep(0.005)
        events.tell([event("job.failed", job=JOB)])
        async with asyncio.timeout(60.0):
            while not said:
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
    assert url not in str(said)


async def test_slack_gets_words_that_call_nobody(hook) -> None:
    hostile = replace(event("job.failed", job=JOB), reason="<!channel> & <http://x|y> @all [x](http://y)")
    await told(hook, replace(RECEIVER, form="slack", signing_secret=None), hostile, until=1)
    (_, headers, body) = hook.got[0]
    text = json.loads(body)["text"]
    assert SIGNATURE not in headers and text.startswith("❌ train (j1) of ann failed in ray")
    assert "<" not in text and "&lt;!channel&gt; &amp;" in text
    assert "@all" not in text and "](" not in text and text.replace("\u200b", "").endswith("@all [x](http://y)")


def test_plans_are_told_in_words_too() -> None:
    assert in_words(event("plan.proposal")) == "ray: exit code 3"
