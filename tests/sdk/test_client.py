import threading
from pathlib import Path

import pytest

from broker.model.errors import Conflict, DaemonError, InvalidInput, UnknownName
from broker.sdk.client import Client
from broker.sdk.connect import connect
from tests.api.conftest import WAIT_S
from tests.sdk.conftest import Served, serve


def test_every_call_goes_there_and_back(served: Served, client: Client) -> None:
    submitted = client.submit({"run": "echo hi", "name": "greet", "tags": {"team": "red"}})
    job = submitted["id"]
    assert client.job(job)["user"] == "ann"
    assert client.jobs(tag=["team=red"], limit=1)["items"][0]["id"] == job
    assert client.explain(job)["reason"]
    executor, attempt = served.do(served.house.start(job))
    executor.runs[attempt].stdout = b"x" * 3_000_000
    served.do(served.house.end(job))
    assert client.wait(job)["state"] == "succeeded"
    assert b"".join(client.output(job)) == b"x" * 3_000_000
    assert client.logs(job, offset=2_999_999).complete
    assert client.spend(by=["pool"])["rows"]
    assert client.spend_csv(by=["pool"], period="today").startswith("pool,")
    assert [pool["name"] for pool in client.pools()] == ["burst", "steady"]
    assert client.status()["counts"]["succeeded"] == 1
    assert client.offers({"run": "true"})["verdict"] == "run"
    assert client.cancel(job)["marked"] == 0
    assert client.healthy()


def test_pages_are_read_to_the_end(client: Client) -> None:
    ids = [client.submit({"run": "true"})["id"] for _ in range(5)]
    assert [job["id"] for job in client.each_job(limit=2)] == ids[::-1]


def test_errors_come_back_as_themselves(served: Served, client: Client) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.submit({"run": "true", "gpuz": 1, "cpus": -1})
    assert [problem.field for problem in refused.value.problems] == ["cpus", "gpuz"]
    with pytest.raises(UnknownName, match="nosuch"):
        client.job("nosuch")
    job = client.submit({"run": "true", "id": "mine"})["id"]
    with pytest.raises(Conflict, match="mine"):
        client.submit({"run": "false", "id": "mine"})
    with pytest.raises(Conflict, match="before it has ended"):
        client.result(job)
    with pytest.raises(UnknownName):
        list(client.follow("nosuch"))


def test_wait_ends_after_its_time(client: Client) -> None:
    job = client.submit({"run": "true"})["id"]
    assert not client.wait(job, timeout_s=0.1)["ended"]


def test_wait_hears_of_a_change(served: Served, client: Client) -> None:
    job = client.submit({"run": "true"})["id"]
    served.do(served.house.attempt_of(job))
    served.do(served.house.reaches(job, "starting"))
    seen = client.wait(job, 0)["revision"]
    heard: list[str] = []
    waiting = threading.Thread(target=lambda: heard.append(client.wait(job, WAIT_S, since=seen)["state"]))
    waiting.start()
    served.do(served.house.start(job))
    waiting.join(WAIT_S)
    assert heard == ["running"]


def test_payloads_are_stored_under_their_hash(client: Client) -> None:
    assert client.put_blob(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("address", ["unix:/nowhere/broker.sock", "http://127.0.0.1:1"])
def test_nobody_there_is_said_with_what_to_do(address: str) -> None:
    client = Client(address)
    assert not client.healthy()
    with pytest.raises(DaemonError, match="broker up"):
        client.status()


def test_strange_ids_stay_in_their_place(client: Client) -> None:
    for strange in ("../../status", "a/b", "?x=1", "é", ""):
        with pytest.raises(UnknownName):
            client.explain(strange)
        with pytest.raises(UnknownName):
            client.job(strange)


def test_shutdown_ends_the_broker(served: Served, client: Client) -> None:
    client.shutdown(drain=False)
    served.do(served.house.broker.changed(0, 1))
    assert served.house.broker._stop.is_set()


@pytest.mark.parametrize("token", [None, "s3cret"], ids=["unix", "loopback"])
def test_what_is_too_large_is_refused_with_the_limit(tmp_path: Path, token: str | None) -> None:
    for served in serve(tmp_path, token):
        client = connect(served.state_dir)
        with pytest.raises(InvalidInput, match="over 1 MiB"):
            client.submit({"run": "true", "envs": {"BIG": "x" * (1 << 21)}})
        with pytest.raises(InvalidInput, match="over 256 MiB"):
            client.put_blob(b"x" * ((256 << 20) + 1))
        assert client.put_blob(b"x" * (2 << 20))
