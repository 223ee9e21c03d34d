import csv
import io
from decimal import Decimal

import pytest

from broker.model.jobs import AttemptState
from broker.model.pools import PoolKind
from tests.api.conftest import House, pool


async def test_offers_quote_every_pool_and_start_nothing(house: House, http) -> None:
    answer = await http.post("/v1/offers", json={"run": "true", "gpus": "H100:1", "est_runtime": "10m"})
    assert answer.status_code == 200, answer.text
    offers = answer.json()
    assert (offers["verdict"], offers["chosen"]["pool"]) == ("run", "steady")
    assert [other["pool"] for other in offers["others"]] == ["burst"]
    assert offers["others"][0]["marginal"]["nanodollars"] > 0
    assert offers["others"][0]["emulated"]
    assert (await http.get("/v1/jobs")).json()["items"] == []
    assert not any(executor.runs for executor in house.executors.values())


async def test_offers_say_why_a_pool_is_refused(http) -> None:
    offers = (await http.post("/v1/offers", json={"run": "true", "isolation": "dedicated"})).json()
    assert [(refusal["pool"], refusal["constraint"]) for refusal in offers["refusals"]] == [("burst", "isolation")]


async def test_offers_of_what_is_no_job_are_refused(http) -> None:
    response = await http.post("/v1/offers", json={"run": "true", "cpus": "many"})
    assert (response.status_code, response.json()["problems"][0]["field"]) == (422, "cpus")


async def finished(house: House, http, **job: object) -> str:
    id = (await http.post("/v1/jobs", json={"run": "true"} | job)).json()["id"]
    await house.end(id)
    return str(id)


async def test_spend_adds_up_by_any_column(house: House, http) -> None:
    await finished(house, http, name="a", tags={"team": "red"})
    await finished(house, http, name="b", tags={"team": "blue"}, pools=["burst"])
    everything = (await http.get("/v1/spend", params={"by": "pool"})).json()
    assert {row["group"]["pool"] for row in everything["rows"]} == {"steady", "burst"}
    for by in (["pool"], ["day"], ["tag:team"], ["user", "name"], ["kind"]):
        report = (await http.get("/v1/spend", params={"by": by})).json()
        assert sum(row["total"]["nanodollars"] for row in report["rows"]) == report["total"]["total"]["nanodollars"]
        assert all(list(row["group"]) == by for row in report["rows"])
    total = everything["total"]
    assert total["job"]["nanodollars"] + total["overhead"]["nanodollars"] == total["total"]["nanodollars"] > 0


async def test_spend_is_up_to_date(house: House, http, submitted) -> None:
    await house.start(submitted)
    report = (await http.get("/v1/spend", params={"job": submitted, "by": "job"})).json()
    assert report["rows"][0]["job"]["nanodollars"] > 0


async def test_spend_takes_periods_in_words_and_times(house: House, http) -> None:
    await finished(house, http)
    today = (await http.get("/v1/spend", params={"period": "today"})).json()
    assert today["total"]["total"]["nanodollars"] > 0
    assert today["since"] < today["until"]
    assert (await http.get("/v1/spend", params={"period": "last month"})).json()["rows"] == []
    assert (await http.get("/v1/spend", params={"until": "2020-01-01T00:00:00Z"})).json()["rows"] == []


@pytest.mark.parametrize("pools", [(pool("steady", PoolKind.CLUSTER, offers=()),)])
async def test_an_unknown_price_is_null_and_counted_never_zero(house: House, http, submitted) -> None:
    await house.end(submitted)
    report = (await http.get("/v1/spend", params={"job": submitted, "by": "job"})).json()
    assert (report["rows"][0]["total"], report["rows"][0]["unknown"]) == (None, 1)
    cost = (await http.get(f"/v1/jobs/{submitted}")).json()["cost"]
    assert (cost["usd"], cost["nanodollars"], cost["unknown"]) == (None, None, 1)


async def test_spend_is_written_as_csv(house: House, http) -> None:
    await finished(house, http)
    answer = await http.get("/v1/spend", params={"by": ["pool", "user"], "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header[:2] == ["pool", "user"]
    assert {row[0] for row in rows} == {"steady", "burst"}


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"by": "colour"}, "colour"),
        ({"period": "someday"}, "last week"),
        ({"since": "noon"}, "since"),
        ({"tag": "team"}, "tag"),
        ({"format": "xml"}, "format"),
    ],
)
async def test_wrong_questions_are_refused_by_name(http, params, word: str) -> None:
    response = await http.get("/v1/spend", params=params)
    assert (response.status_code, word in response.json()["detail"]) == (422, True), response.text


async def test_a_failed_job_costs_what_it_used(house: House, http, submitted) -> None:
    await house.end(submitted, AttemptState.FAILED, 1)
    shown = (await http.get(f"/v1/jobs/{submitted}")).json()
    assert shown["cost"]["nanodollars"] > 0


async def test_the_charges_are_exported_for_cost_tools_and_add_up(house: House, http) -> None:
    id = await finished(house, http, name="a", tags={"team": "red"})
    report = (await http.get("/v1/spend", params={"by": "pool"})).json()
    answer = await http.get("/v1/spend", params={"format": "focus"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    total = sum(Decimal(row["BilledCost"]) for row in rows)
    assert total >= Decimal(report["total"]["total"]["usd"]) > 0
    assert {row["x_Job"] for row in rows} == {"", id}
    assert answer.headers["x-unknown-charges"] == "0"


@pytest.mark.parametrize(
    "query",
    [
        "since=9999-12-31T23:59:59-23:00&by=day",
        "until=0001-01-01T00:00:00%2B23:00&by=user",
        "period=99999w&format=focus",
        "period=0001&by=tag:team",
        "period=9000-01",
        "period=0001..9000&by=day",
    ],
)
async def test_times_that_no_store_can_hold_are_answered_for(http, query: str) -> None:
    answer = await http.get(f"/v1/spend?{query}")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["jobs?tag=a=1", "spend?tag=a=1", "spend?by=user", "events?kind=job"])
async def test_more_terms_than_a_database_takes_are_refused(http, path: str) -> None:
    route, _, term = path.partition("?")
    answer = await http.get(f"/v1/{route}?{'&'.join([term] * 1_500)}")
    assert answer.status_code == 422, answer.text
    most = await http.get(f"/v1/spend?{'&'.join(f'by=tag:k{n}&tag=k{n}=v' for n in range(16))}")
    assert most.status_code == 200, most.text
