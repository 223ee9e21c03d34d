"""The audit log: every route that changes something is in it, done or refused, and with the change or not at all."""

import json

import pytest

import broker.run.store.transactions as transactions
from broker.api.app import create_app
from broker.api.audit import CHANGE_NOTHING, READING, Audited, action_of
from broker.model.audit import AuditEntry, AuditFilter
from broker.model.tokens import Scope
from broker.run.rights.auditing import MOST_REFUSED
from tests.api.conftest import House
from tests.api.test_tokens import client, made


def changing(house: House) -> list[tuple[str, str, str]]:
    """Method, path and action of every route that may change something."""
    (audited,) = (each for each in create_app(house.service).user_middleware if each.cls is Audited)
    routes = audited.kwargs["routes"]
    return [(method, route.path, action_of(route)) for route in routes for method in route.methods]


def log(house: House, **wanted: object) -> list[AuditEntry]:
    return list(house.store.audit(AuditFilter(**wanted)))


def test_actions_are_told_apart(house: House) -> None:
    routes = changing(house)
    assert len({action for _, _, action in routes}) == len(routes) > 20


def test_no_route_that_the_api_has_is_left_out(house: House) -> None:
    paths = create_app(house.service).openapi()["paths"].items()
    there = {(method.upper(), path) for path, methods in paths for method in methods if method.upper() not in READING}
    assert {(method, path) for method, path, _ in changing(house)} == there - {
        ("POST", path) for path in CHANGE_NOTHING
    }


async def test_every_route_that_changes_something_is_in_the_log(house: House, http) -> None:
    answers = house.service.operations
    answers.shut_down = lambda *, drain: None  # the one that would end the test
    for method, path, action in changing(house):
        before = len(log(house))
        answer = await http.request(method, path.format_map(Anything()), json={"mode": "now"})
        (entry,) = log(house)[: len(log(house)) - before]
        assert (entry.action, entry.user, entry.origin) == (action, house.service.user, "127.0.0.1"), path
        assert entry.outcome == ("done" if answer.is_success else f"refused {answer.status_code}"), path


async def test_who_is_not_let_in_is_in_the_log_too(house: House) -> None:
    token, text = await house.service.tokens.create("mia", Scope.READ, None)
    async with client(house, text) as mia, client(house, "wrong") as nobody:
        for method, path, action in changing(house)[: MOST_REFUSED // 2]:
            for asked, user, status, token_id in ((mia, "mia", 403, token.id), (nobody, "", 401, "")):
                answer = await asked.request(method, path.format_map(Anything()))
                assert answer.status_code == status
                entry = log(house)[0]
                said = (entry.action, entry.user, entry.token_id, entry.outcome)
                assert said == (action, user, token_id, f"refused {status}"), path


class Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "default" if key == "name" else "a" * 64


async def test_what_is_done_says_who_did_it_and_on_what(house: House) -> None:
    token, text = await house.service.tokens.create("mia", Scope.ADMIN, None)
    async with client(house, text) as mia, client(house, **{"Broker-User": "zoe"}) as owner:
        job = (await mia.post("/v1/jobs", json={"run": "echo hush-hush", "envs": {"K": "hush-hush"}})).json()["id"]
        await owner.post(f"/v1/jobs/{job}/cancel")
        await owner.put("/v1/budgets/lab", json={"limit": "5"})
        await owner.post("/v1/projects", json={"name": "vision"})
        made_token = (await owner.post("/v1/tokens", json={"user": "ben", "scope": "read"})).json()
        batch = (await mia.post("/v1/jobs:batch", json={"jobs": [{"run": "true"}] * 2})).json()
        await owner.get("/v1/jobs")
        await owner.post("/v1/offers", json={"run": "true"})
        answer = await owner.get("/v1/audit")
    found = [(each["user"], each["token_id"], each["action"], each["target"]) for each in answer.json()["entries"]]
    assert found[::-1] == [
        ("mia", token.id, "jobs.submit", job),
        ("zoe", "", "jobs.cancel", job),
        ("zoe", "", "budgets.set", "lab"),
        ("zoe", "", "projects.create", "vision"),
        ("zoe", "", "tokens.create", f"{made_token['id']} for ben"),
        ("mia", token.id, "jobs.submit_batch", ", ".join(each["id"] for each in batch["jobs"])),
    ]
    assert {each["outcome"] for each in answer.json()["entries"]} == {"done"}
    whole = json.dumps([str(each) for each in log(house)])
    assert "hush-hush" not in whole and made_token["token"] not in whole and text not in whole


async def test_a_volume_that_is_refused_is_in_the_log_by_its_name(house: House, http) -> None:
    await http.post("/v1/volumes", json={"name": "No Name", "project": "default"})
    assert [(entry.action, entry.target, entry.outcome) for entry in log(house)] == [
        ("volumes.create", "No Name", "refused 422")
    ]


async def test_a_change_whose_entry_can_t_be_written_is_not_made(house: House, http, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no room for this line")

    monkeypatch.setattr(transactions, "append", broken)
    with pytest.raises(RuntimeError, match="no room"):
        await http.post("/v1/jobs", json={"run": "true", "id": "mine"})
    monkeypatch.undo()
    assert (await http.get("/v1/jobs/mine")).status_code == 404


async def test_the_entry_is_there_as_soon_as_the_change_is(house: House, http, monkeypatch) -> None:
    async def dies(*_: object) -> None:
        raise RuntimeError("the broker died before it answered")

    monkeypatch.setattr("broker.api.audit.Audited._after", dies)
    with pytest.raises(RuntimeError, match="died"):
        await http.post("/v1/jobs", json={"run": "true", "id": "mine"})
    assert [(entry.action, entry.target) for entry in log(house)] == [("jobs.submit", "mine")]


async def test_a_refused_change_leaves_one_line_and_no_trace_of_itself_as_done(house: House, http) -> None:
    await http.post("/v1/projects", json={"name": "vision"})
    assert (await http.post("/v1/projects", json={"name": "vision"})).status_code == 409
    assert [entry.outcome for entry in log(house)] == ["refused 409", "done"]


async def test_whoever_is_refused_all_the_time_does_not_fill_the_disk(house: House, http) -> None:
    for _ in range(MOST_REFUSED + 30):
        await http.post("/v1/jobs", json={})
    assert len(log(house, limit=1_000)) == MOST_REFUSED
    house.service.audit._refused.clear()  # as if a minute had passed
    await http.post("/v1/jobs", json={})
    assert log(house)[0].outcome == "refused 422 (30 refused before it are left out)"


async def test_the_log_is_filtered_paged_and_exported(house: House, http) -> None:
    for user in ("ann", "ben", "ann"):
        await http.post("/v1/jobs", json={"run": "true"}, headers={"Broker-User": user})
    await http.put("/v1/budgets/lab", json={"limit": "5"}, headers={"Broker-User": "ann"})
    page = (await http.get("/v1/audit", params={"user": "ann", "limit": 2})).json()
    rest = (await http.get("/v1/audit", params={"user": "ann", "limit": 2, "cursor": page["next_cursor"]})).json()
    assert [each["action"] for each in page["entries"] + rest["entries"]] == [
        "budgets.set",
        "jobs.submit",
        "jobs.submit",
    ]
    assert rest["next_cursor"] is None
    assert len((await http.get("/v1/audit", params={"action": "jobs"})).json()["entries"]) == 3
    assert (await http.get("/v1/audit", params={"action": "job"})).json()["entries"] == []
    assert (await http.get("/v1/audit", params={"until": "2020-01-01T00:00:00Z"})).json()["entries"] == []
    lines = (await http.get("/v1/audit", params={"format": "jsonl"})).text.splitlines()
    assert [json.loads(line)["user"] for line in lines] == ["ann", "ann", "ben", "ann"]


async def test_it_is_for_admins_and_forgets_what_is_old(house: House, http) -> None:
    await http.post("/v1/jobs", json={"run": "true"})
    async with client(house, await made(house, Scope.SUBMIT)) as mia:
        assert (await mia.get("/v1/audit")).status_code == 403
    (entry,) = log(house)
    assert house.store.expire_audit(entry.at_ns) == 0
    assert (house.store.expire_audit(entry.at_ns + 1), log(house)) == (1, [])
