"""Streams over HTTP: nobody hears of what is not theirs, nor of anything once they may not any more."""

from collections.abc import AsyncIterator

import httpx
import pytest

from broker.api import streaming
from broker.model.tokens import Scope
from broker.run.telling.events import Event
from tests.api.conftest import House
from tests.api.test_following import Follower, served
from tests.api.test_projects import project, submit
from tests.api.test_tokens import OWNERS, client, made


@pytest.fixture
async def owner(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with client(house) as found:
        await project(found, "vision", mia="submitter")
        await project(found, "secret")
        yield found


def happened(kind: str, reason: str, **of: str) -> Event:
    return Event(kind=kind, at_ns=1, reason=reason, **of)


async def follow(port: int, path: str, token: str) -> Follower:
    return await Follower(port, path).open(Authorization=f"Bearer {token}")


async def rest_of(follower: Follower) -> str:
    """All that comes until the server ends it."""
    text = (await follower.until(b"0\r\n\r\n")).decode()
    follower.writer.close()
    return text


async def test_budgets_and_schedules_are_heard_of_by_those_who_may_see_them(house: House, owner) -> None:
    token = await made(house, Scope.READ)
    events = [
        happened("budget.spent", "theirs", project="secret"),
        happened("budget.spent", "of all"),
        happened("budget.spent", "of ben", user="ben"),
        happened("schedule.refused", "theirs, too", schedule="nightly", project="secret"),
        happened("plan.nodes", "heard: a plan is everybody's"),
        happened("budget.spent", "heard: of mia", user="mia"),
        happened("budget.nearly_spent", "heard: of vision", project="vision"),
        happened("schedule.missed", "heard: the last", schedule="weekly", project="vision"),
    ]
    async with served(house, OWNERS) as port:
        mia, ada = [await follow(port, "/v1/events", each) for each in (token, OWNERS)]
        for each in (mia, ada):
            await each.until(b": listening")
        house.service.events.tell(events)
        heard = (await mia.until(b"the last")).decode()
        assert heard.count('"reason":') == heard.count('"reason":"heard') == 4
        assert (await ada.until(b"the last")).count(b'"reason":') == len(events)
        for each in (mia, ada):
            each.writer.close()


async def test_a_stream_ends_with_the_token(house: House, owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LOOK_AGAIN_S", 0.0)
    token, text = await house.service.tokens.create("mia", Scope.READ, None)
    async with served(house, OWNERS) as port:
        mia = await follow(port, "/v1/events", text)
        await mia.until(b": listening")
        await house.service.tokens.revoke(token.id)
        house.service.events.tell([happened("plan.nodes", "too late")])
        assert "too late" not in await rest_of(mia)


async def test_a_stream_of_a_job_ends_with_the_membership(house: House, owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LOOK_AGAIN_S", 0.0)
    job = (await submit(owner, "vision")).json()["id"]
    executor, attempt = await house.start(job)
    token = await made(house, Scope.READ)
    async with served(house, OWNERS) as port:
        followers = [await follow(port, f"/v1/jobs/{job}/{how}", token) for how in ("follow", "logs?follow=true")]
        followers.append(await follow(port, "/v1/events", token))
        await followers[0].until(b"event: state")
        await followers[1].until(b"\r\n\r\n")
        await followers[2].until(b": listening")
        assert (await owner.delete("/v1/projects/vision/members/mia")).status_code == 200
        executor.runs[attempt].stdout = b"too late"
        assert "event: log" not in await rest_of(followers[0])
        assert "too late" not in await rest_of(followers[1])
        await house.end(job)
        house.service.events.tell([happened("plan.nodes", "the last")])
        assert b"job.succeeded" not in await followers[2].until(b"the last")
        followers[2].writer.close()
