"""Admission hooks: they change, refuse, crash and hang; what they change is seen, what they refuse is not stored."""

import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.admission import AdmissionHook, AdmissionRefused, Admitting
from broker.model.errors import Misconfigured
from broker.model.pools import Pool, PoolKind
from broker.ports import Executor
from broker.run.plugins import admission_hooks
from broker.run.rights.admitting import Admission
from executors.kuberay import KubeRay
from executors.modal_pool import ModalPool
from tests.api.conftest import House, pool

EXAMPLE = Path(__file__).parents[2] / "examples" / "admission" / "team_rules.py"
Admit = Callable[..., None]


@pytest.fixture
def admit(house: House) -> Admit:
    def use(*hooks: AdmissionHook, timeout_s: float = 20.0) -> None:
        house.broker.admission = Admission([(hook.__name__, hook) for hook in hooks], timeout_s)

    return use


def tagged(key: str, value: str) -> AdmissionHook:
    def tag(job: Admitting) -> dict[str, Any]:
        return {**job.document, "tags": {**job.document.get("tags", {}), key: value}}

    return tag


def example() -> AdmissionHook:
    spec = importlib.util.spec_from_file_location("team_rules", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.team_rules


async def test_what_hooks_change_is_stored_said_and_shown_in_their_order(http, admit: Admit) -> None:
    admit(tagged("a", "1"), tagged("a", "2"))
    for path, body, name in (
        ("/v1/jobs", {"run": "true"}, lambda found: found["id"]),
        ("/v1/jobs:batch", {"jobs": [{"run": "true"}]}, lambda found: found["jobs"][0]["id"]),
    ):
        answer = await http.post(path, json=body)
        shown = (await http.get(f"/v1/jobs/{name(answer.json())}")).json()
        assert (shown["tags"], shown["document"]["tags"]) == ({"a": "2"}, {"a": "2"})
        said = 'admission hook tag: tags {"a": "1"}; admission hook tag: tags.a 1 → 2'
        first = shown["changes"][0]
        assert (first["old"], first["new"]) == ("sent", "queued")
        assert first["reason"].count("admission hook tag") == 2 and first["reason"].endswith(said[-10:])
        assert "admission hook tag" in answer.text


async def test_the_same_job_again_is_found_and_a_retry_passes_too(house: House, http, admit: Admit) -> None:
    admit(tagged("team", "x"))
    assert (await http.post("/v1/jobs", json={"run": "true", "id": "mine"})).status_code == 201
    assert (await http.post("/v1/jobs", json={"run": "true", "id": "mine"})).status_code == 200
    await http.post("/v1/jobs/mine/cancel")
    await house.reaches("mine", "cancelled")
    admit(tagged("team", "y"))
    again = (await http.post("/v1/jobs/mine/retry")).json()["id"]
    assert (await http.get(f"/v1/jobs/{again}")).json()["tags"] == {"team": "y", "retry_of": "mine"}


async def test_the_example_refuses_with_the_field_and_stores_nothing(house: House, http, admit: Admit) -> None:
    admit(example())
    wish = {"run": "true", "gpus": "H100", "tags": {"kind": "notebook"}}
    for path in ("/v1/jobs", "/v1/offers"):
        refused = await http.post(path, json=wish)
        (problem,) = refused.json()["problems"]
        assert (refused.status_code, problem["field"]) == (422, "resources.accelerators")
        assert "notebooks run on L4" in problem["message"] and "team_rules" in problem["message"]
    batch = await http.post("/v1/jobs:batch", json={"jobs": [{"run": "true"}, wish]})
    assert batch.json()["problems"][0]["field"] == "jobs[1].resources.accelerators"
    assert sum(house.store.counts().values()) == 0
    taken = (await http.post("/v1/jobs", json={"run": "true"})).json()["id"]
    assert (await http.get(f"/v1/jobs/{taken}")).json()["tags"] == {"team": "default"}


def crashes(job: Admitting) -> None:
    raise KeyError("hunter2")


def changes_what_it_got(job: Admitting) -> None:
    job.document["tags"] = {}  # type: ignore[index]


def answers_nonsense(job: Admitting) -> Any:
    return ["no", "job"]


def changes_the_id(job: Admitting) -> dict[str, Any]:
    return {**job.document, "id": "another"}


@pytest.mark.parametrize("hook", [crashes, changes_what_it_got, answers_nonsense, changes_the_id])
async def test_a_hook_that_fails_refuses_and_says_no_more_than_its_name(house: House, http, admit, hook) -> None:
    admit(hook)
    answer = await http.post("/v1/jobs", json={"run": "true"})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "misconfigured")
    assert hook.__name__ in answer.json()["detail"] and "hunter2" not in answer.text
    assert sum(house.store.counts().values()) == 0


async def test_a_document_that_can_t_be_is_refused_with_the_field(http, admit: Admit) -> None:
    def nonsense(job: Admitting) -> dict[str, Any]:
        return {**job.document, "priority": 1_000}

    admit(nonsense)
    answer = await http.post("/v1/jobs", json={"run": "true"})
    assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "priority")
    assert "admission hook nonsense" in answer.json()["detail"]


async def test_a_hook_that_hangs_refuses_and_others_are_answered_meanwhile(http, admit: Admit) -> None:
    go_on = threading.Event()

    def hangs(job: Admitting) -> None:
        go_on.wait(60)

    admit(hangs, timeout_s=0.05)
    try:
        answer = await http.post("/v1/jobs", json={"run": "true"})
        assert answer.status_code == 503 and "did not answer within 0.05 s" in answer.json()["detail"]
        assert (await http.get("/v1/jobs")).status_code == 200
    finally:
        go_on.set()


async def test_it_is_told_who_submits_to_what(http, admit: Admit) -> None:
    seen: list[tuple[str, str]] = []

    def looks(job: Admitting) -> None:
        seen.append((job.user, job.project))

    admit(looks)
    await http.post("/v1/projects", json={"name": "vision"})
    await http.post("/v1/jobs", json={"run": "true", "project": "vision"}, headers={"Broker-User": "zoe"})
    assert seen == [("zoe", "vision")]


def test_a_hook_that_is_not_installed_is_named() -> None:
    with pytest.raises(Misconfigured, match="no hook 'team-rules' is installed"):
        admission_hooks(["team-rules"])


def test_a_refusal_is_what_plugin_authors_raise() -> None:
    refused = AdmissionRefused("why", field="run")
    assert (str(refused), refused.field) == ("why", "run")


def of_kind(name: str, executor: type[Executor], kind: PoolKind, **changes: Any) -> Pool:
    """A pool as this executor runs it."""
    return pool(name, kind, capabilities=executor.capabilities, max_units=2, **changes)


MODAL_AND_VPC = (
    of_kind("modal", ModalPool, PoolKind.SERVERLESS, emulated=False),
    of_kind("vpc", KubeRay, PoolKind.CLUSTER, region="eu-west-1"),
)


def changing(**fields: Any) -> AdmissionHook:
    def rewrite(job: Admitting) -> dict[str, Any]:
        return {**job.document, **fields}

    return rewrite


@pytest.mark.parametrize("pools", [MODAL_AND_VPC])
@pytest.mark.parametrize(
    ("where", "changed", "field", "word"),
    [
        ("vpc", {"image": "python:3.12"}, "image", "takes no images"),
        ("vpc", {"system_packages": ["ffmpeg"]}, "system_packages", "ffmpeg"),
        ("modal", {"resources": {"accelerators": "H100:16"}}, "resources.accelerators", "16"),
        ("modal", {"resources": {"num_nodes": 2}}, "resources.num_nodes", "2"),
        ("modal", {"placement": {"runtime": "ray", "pools": ["modal"]}}, "placement.runtime", "no Ray"),
        ("vpc", {"placement": {"pools": ["vpc"], "regions": ["us"]}}, "placement.regions", "us"),
        ("vpc", {"resources": {"cpus": 4_000}}, "resources.cpus", "4,000"),
    ],
)
async def test_what_a_hook_made_of_a_job_is_judged_and_its_part_in_a_refusal_said(
    house: House, http, admit: Admit, where: str, changed: dict[str, Any], field: str, word: str
) -> None:
    body = {"run": "true", "pools": [where]}
    assert (await http.post("/v1/offers", json=body)).is_success
    admit(changing(**changed))
    batch = await http.post("/v1/jobs:batch", json={"jobs": [body]})
    schedule = await http.post("/v1/schedules", json={"name": "nightly", "cron": "0 3 * * *", "job": body})
    for answer, place in ((await http.post("/v1/jobs", json=body), ""), (batch, "jobs[0]."), (schedule, "job.")):
        problems = {each["field"].removeprefix(place): each["message"] for each in answer.json()["problems"]}
        assert answer.status_code == 422, answer.text
        assert word in problems[field], problems
        assert "admission hook rewrite: " in problems["admission"], "who wrote none of this is told who did"
    assert sum(house.store.counts().values()) == 0


@pytest.mark.parametrize("pools", [MODAL_AND_VPC])
async def test_what_a_hook_changes_is_what_runs(house: House, http, admit: Admit) -> None:
    for where, changed in (
        ("modal", {"image": "python:3.12", "envs": {"TEAM": "vision"}, "resources": {"cpus": 2.0}}),
        ("vpc", {"envs": {"TEAM": "vision"}, "resources": {"cpus": 2.0}}),
    ):
        admit(changing(**changed))
        job = (await http.post("/v1/jobs", json={"run": "true", "pools": [where], "envs": {"A": "1"}})).json()["id"]
        executor, attempt_id = await house.attempt_of(job)
        asked = executor.runs[attempt_id].request
        assert executor.context.pool.name == where
        assert (asked.envs["TEAM"], asked.envs.get("A"), asked.resources.cpus) == ("vision", None, 2.0)
        assert asked.spec.image == changed.get("image")
