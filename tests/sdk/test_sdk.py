import pickle
import subprocess
import sys
import threading
from pathlib import Path

import cloudpickle
import pytest

import broker
from broker.model.errors import InvalidInput, UnknownName
from broker.model.jobs import AttemptState
from broker.model.money import Money
from broker.sdk.pickling import packed, unpacked
from tests.sdk.conftest import Served


@pytest.fixture(autouse=True)
def settings(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_STATE_DIR", str(served.state_dir))
    monkeypatch.setenv("BROKER_USER", "ann")
    monkeypatch.chdir(served.state_dir)


def test_a_command_in_three_lines(served: Served) -> None:
    job = broker.submit("echo hi", gpu="H100", max_cost="$500", name="greet", est_runtime="1m")
    executor, attempt = served.do(served.house.start(job.id))
    executor.runs[attempt].stdout = b"hi \xff\n"
    served.do(served.house.end(job.id))
    assert job.wait() is job
    assert (job.state, job.exit_code, job.pool, job.name, job.ended) == ("succeeded", 0, "steady", "greet", True)
    assert isinstance(job.cost, Money)
    assert job.cost > Money(0)
    assert job.logs() == "hi �\n"
    assert "steady" in job.explain()
    assert job.details()["user"] == "ann"
    assert job.details()["gpus"] == "H100:1"


def test_a_command_word_by_word(served: Served) -> None:
    job = broker.submit(["echo", "a b"])
    assert job.details()["document"]["argv"] == ["echo", "a b"]


def double(x: int, *, fail: bool = False) -> int:
    if fail:
        raise ValueError("no")
    return x * 2


def run_as_a_pool_would(served: Served, job: broker.Job, state: AttemptState) -> None:
    executor, attempt = served.do(served.house.start(job.id))
    payload = executor.runs[attempt].request.function_payload
    code = (
        "import sys, cloudpickle, traceback\n"
        "f, args, kwargs = cloudpickle.loads(sys.stdin.buffer.read())\n"
        "try: r = ('value', f(*args, **kwargs))\n"
        "except Exception as e: r = ('error', e, traceback.format_exc())\n"
        "sys.stdout.buffer.write(cloudpickle.dumps(r))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=payload, capture_output=True, check=True, cwd="/")
    executor.runs[attempt].result = done.stdout
    served.do(served.house.end(job.id, state, 0 if state is AttemptState.SUCCEEDED else 1))


def test_a_function_returns_its_value(served: Served) -> None:
    job = broker.submit(double, args=(21,))
    run_as_a_pool_would(served, job, AttemptState.SUCCEEDED)
    assert job.result() == 42
    assert job.name == "double"


def test_a_function_raises_what_it_raised(served: Served) -> None:
    job = broker.submit(double, args=(21,), kwargs={"fail": True})
    run_as_a_pool_would(served, job, AttemptState.FAILED)
    with pytest.raises(ValueError, match="no") as raised:
        job.result()
    assert "in double" in raised.value.__notes__[0]


def test_a_job_without_a_result_says_why(served: Served) -> None:
    job = broker.submit(double, args=(1,))
    served.do(served.house.start(job.id))
    job.cancel()
    with pytest.raises(broker.JobFailed, match="cancelled") as failed:
        job.result(timeout=60)
    assert failed.value.job is job


def test_waiting_too_long_is_a_timeout(served: Served) -> None:
    with pytest.raises(TimeoutError, match="has not ended"):
        broker.submit("sleep 100").wait(timeout=0.1)


def test_an_array_has_tasks(served: Served) -> None:
    array = broker.submit("true", array=3)
    for index in range(3):
        served.do(served.house.end(f"{array.id}.{index}", *((AttemptState.FAILED, 2) if index == 1 else ())))
    assert array.wait().state == "failed"
    assert [task.exit_code for task in array.tasks()] == [0, 2, 0]
    assert array.cost == Money.total(task.cost for task in array.tasks() if task.cost)
    assert [task.id for task in array.retry().tasks()] == [f"{next(iter(broker.jobs())).id.split('.')[0]}.1"]


def test_jobs_are_found_again(served: Served) -> None:
    first, second = broker.submit("true", name="a"), broker.submit("true", name="b")
    assert [job.id for job in broker.jobs()] == [second.id, first.id]
    assert [job.id for job in broker.jobs(name="a")] == [first.id]
    assert broker.job(first.id).name == "a"
    with pytest.raises(UnknownName):
        broker.job("nosuch")


def test_following_goes_on_until_the_end(served: Served) -> None:
    job = broker.submit("true")
    ending = threading.Thread(target=lambda: served.do(served.house.end(job.id)))
    ending.start()
    assert list(job.follow())[-1].job["state"] == "succeeded"
    ending.join()


def test_what_is_wrong_is_refused_before_anything_is_sent(served: Served) -> None:
    with pytest.raises(InvalidInput, match="did you mean"):
        broker.submit("true", gpuz="H100")
    with pytest.raises(InvalidInput, match="only a function"):
        broker.submit("true", args=(1,))
    with pytest.raises(InvalidInput, match="can't be pickled"):
        broker.submit(double, args=(threading.Lock(),))
    assert list(broker.jobs()) == []


def test_your_own_package_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "inner.py").write_text("def two():\n    return 2\n")
    (tmp_path / "mine" / "outer.py").write_text("from mine.inner import two\n\ndef four():\n    return two() * two()\n")
    monkeypatch.syspath_prepend(tmp_path)
    from mine.outer import four  # type: ignore[import-not-found]

    payload = packed(four, (), {})
    code = "import sys, cloudpickle; f, a, k = cloudpickle.loads(sys.stdin.buffer.read()); print(f(*a, **k))"
    done = subprocess.run([sys.executable, "-c", code], input=payload, capture_output=True, check=True, cwd="/")
    assert done.stdout == b"4\n"
    assert len(cloudpickle.dumps(four)) < 100, "by value for this call only"


def test_what_is_installed_is_imported_there() -> None:
    import json

    assert len(packed(json.dumps, (1,), {})) < 200


def test_an_unpicklable_exception_is_no_surprise() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        unpacked(pickle.dumps(("error", RuntimeError("boom"), "Traceback …")))


def test_the_public_names_are_these_and_load_when_asked_for() -> None:
    assert set(broker.__all__) <= set(dir(broker))
    for name in broker.__all__:
        assert getattr(broker, name)
    with pytest.raises(AttributeError):
        broker.nothing  # noqa: B018
    code = "import sys, broker; print([n for n in sys.modules if n.startswith('broker.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_was_spent_comes_as_rows_of_numbers(served: Served) -> None:
    job = broker.submit("echo hi", gpu="H100", est_runtime="1m", tags={"team": "vision"})
    served.do(served.house.start(job.id))
    served.do(served.house.end(job.id))
    job.wait()
    (mine,) = [row for row in broker.spend(by=["job", "tag:team"]) if row["job"] == job.id]
    assert mine["tag:team"] == "vision"
    assert mine["job_usd"] == pytest.approx(float(job.cost.usd), rel=1e-6)
    assert mine["usd"] == pytest.approx(mine["job_usd"] + mine["overhead_usd"])
    assert mine["predicted_usd"] > 0
    assert all(row["predicted_usd"] is None for row in broker.spend(by=["kind"]))


def test_breakevens_come_as_rows_and_say_what_is_wrong() -> None:
    rows = broker.breakeven("H100", serverless=["modal"])
    assert [row["usd_per_hour"] for row in rows] == sorted(row["usd_per_hour"] for row in rows)
    for row in rows:
        assert row["breakeven"] == pytest.approx(row["usd_per_hour"] / row["serverless_usd_per_hour"])
    dearer = broker.breakeven("H100", serverless=["modal"], ops_share=0.2)
    assert [row["breakeven"] for row in dearer] == pytest.approx([1.2 * row["breakeven"] for row in rows])
    with pytest.raises(InvalidInput, match="no condition ops_shar: there are ops_share"):
        broker.breakeven("H100", ops_shar=0.2)
    with pytest.raises(UnknownName, match="X100"):
        broker.breakeven("X100")
