import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from broker.api.routes.events import _stream
from broker.model.jobs import AttemptState
from broker.run.telling.events import Event
from tests.api.conftest import House

ROOT = Path(__file__).parents[2]


async def scraped(http) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = await http.get("/metrics")
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


async def test_what_happens_is_counted(house: House, http, submitted: str) -> None:
    before = await scraped(http)
    assert before["broker_jobs", (("state", "starting"),)] + before["broker_jobs", (("state", "queued"),)] == 1
    executor, _ = await house.start(submitted)
    pool = executor.context.pool.name
    running = await scraped(http)
    assert running["broker_jobs", (("state", "running"),)] == 1
    assert running["broker_pool_attempts", (("pool", pool), ("state", "running"))] == 1
    assert running["broker_job_wait_seconds_count", (("pool", pool),)] == 1
    assert running["broker_pool_usable", (("kind", executor.context.pool.kind.value), ("pool", pool))] == 1
    await house.end(submitted, AttemptState.SUCCEEDED)
    after = await scraped(http)
    assert after["broker_jobs_ended_total", (("pool", pool), ("state", "succeeded"))] == 1
    assert after["broker_attempt_run_seconds_count", (("pool", pool),)] == 1
    await house.broker.settle_now()
    budget = {"limit": "100", "period": "day", "action": "warn"}
    assert (await http.put("/v1/budgets/all", json=budget)).status_code == 200
    spent = await scraped(http)
    assert 0 < spent["broker_budget_used_ratio", (("budget", "all"),)] < 1
    assert sum(value for (name, _), value in spent.items() if name == "broker_spend_usd_per_hour") > 0
    assert sum(value for (name, _), value in spent.items() if name == "broker_spent_today_usd") > 0


async def test_a_retried_job_has_waited_once(house: House, http) -> None:
    job = (await http.post("/v1/jobs", json={"run": "true", "retry": {"max_attempts": 2, "backoff": "0s"}})).json()[
        "id"
    ]
    await house.start(job)
    await house.end(job, AttemptState.INTERRUPTED, None)
    await house.start(job)
    found = await scraped(http)
    assert sum(value for (name, _), value in found.items() if name == "broker_job_wait_seconds_count") == 1
    assert sum(value for (name, labels), value in found.items() if name == "broker_attempts_ended_total") == 1


async def test_the_dashboard_and_the_page_name_metrics_that_there_are(http) -> None:
    text = (await http.get("/metrics")).text
    there = set(re.findall(r"# TYPE (\w+)", text))
    board = json.loads((ROOT / "examples" / "grafana-dashboard.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in names(target["expr"])}
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert {base(name) for name in asked} <= {base(name) for name in there}
    assert {base(name) for name in names(page)} == {base(name) for name in there if not name.endswith("_created")}


def names(text: str) -> set[str]:
    return set(re.findall(r"\bbroker_[a-z_]+", text))


def base(name: str) -> str:
    return re.sub("_(total|bucket|count|sum)$", "", name)


async def everything(_: Event) -> bool:
    return True


async def test_events_come_as_they_happen_and_only_those_asked_for(house: House, http, submitted: str) -> None:
    stream = _stream(house.service, ("job.running", "attempt"), everything, None)
    assert (await anext(stream)).startswith(b": listening\nid: ")
    await house.start(submitted)
    seen = []
    while "job.running" not in seen:
        lines = (await anext(stream)).decode().splitlines()
        seen.append(lines[0].removeprefix("event: "))
    assert json.loads(lines[1].removeprefix("data: "))["job"]["id"] == submitted
    assert set(seen) <= {"attempt.starting", "attempt.running", "job.running"}
    await stream.aclose()


async def test_a_kind_that_there_can_not_be_is_refused(http) -> None:
    assert (await http.get("/v1/events", params={"kind": "<b>"})).status_code == 422
