"""A plan and a world → jobs submitted, faults done, all of it brought to an end, and what was wrong."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from broker.model.errors import BrokerError
from broker.sdk.client import Client
from broker.sdk.pickling import unpacked
from tests.soak import account, leftovers, money
from tests.soak.checks import Told, of_job
from tests.soak.clients import Crowd
from tests.soak.faults import Happened, happen
from tests.soak.plan import Plan
from tests.soak.report import Report
from tests.soak.shapes import ACCOUNT, NARROW, SECRET, VOLUME, Wish
from tests.soak.watching import Watch
from tests.soak.world import World

CLIENTS: Final = 12
TELL_EVERY_S: Final = 20.0
ENDS_S: Final = 300.0  # after the last submission: everything has ended by then
QUIET_S: Final = 45.0  # after the last job: idle containers are gone, all is archived and charged
SCHEDULE: Final = "minutely"


def soak(plan: Plan, here: World, report: Report, draw: random.Random) -> None:
    """Runs it; what it finds is in the report."""
    crowd, watch, stop = Crowd(here), Watch(here), threading.Event()
    happened: list[Happened] = []
    _prepare(crowd)
    with _beside(stop, watch.run, lambda stop: crowd.hang_up(draw, stop)), ThreadPoolExecutor(CLIENTS) as clients:
        faulty = threading.Thread(target=_faults, args=(plan, here, report, happened))
        faulty.start()
        _submissions(plan, crowd, clients, report)
        faulty.join()
        _widen(crowd)  # now, since who follows a job that is held hangs up after its next change only
    report.say("all is submitted; what runs comes to its end")
    _all_end(crowd)
    report.say("all has ended; the rest is charged and cleared away")
    time.sleep(QUIET_S)
    watch.sample()
    _check(crowd, happened, watch, report)


def _prepare(crowd: Crowd) -> None:
    crowd.insist(
        "a budget",
        lambda client: client.set_budget("narrow", limit="0.000001", action="hold", period="total", tag=_narrow()),
    )
    document = {
        "run": ACCOUNT + "echo $SCHEDULED_AT; leave 0",
        "volumes": {"kept": VOLUME},
        "resources": {"cpus": 0.25, "memory": "64MiB"},
        "retry": {"max_attempts": 12},
    }
    crowd.insist(
        "a schedule", lambda client: client.create_schedule(SCHEDULE, document, cron="* * * * *", catch_up="all")
    )


def _narrow() -> str:
    return "=".join(next(iter(NARROW.items())))


def _widen(crowd: Crowd) -> None:
    crowd.insist(
        "a budget",
        lambda client: client.set_budget("narrow", limit="1000", action="hold", period="total", tag=_narrow()),
    )
    crowd.insist("the schedule's end", lambda client: client.pause_schedule(SCHEDULE))


@contextmanager
def _beside(stop: threading.Event, *what: Any) -> Iterator[None]:
    threads = [threading.Thread(target=each, args=(stop,)) for each in what]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _faults(plan: Plan, here: World, report: Report, happened: list[Happened]) -> None:
    started = time.monotonic()
    for fault in plan.faults:
        time.sleep(max(started + fault.at_s - time.monotonic(), 0.0))
        try:
            done = happen(fault, here)
        except Exception as error:
            report.wrong.append(f"after {fault.kind}: {type(error).__name__}: {str(error)[-200:]}")
            report.say(report.wrong[-1])
            continue
        happened.append(done)
        report.say(f"{done.kind}: {done.note or 'and up again'} ({(done.over_ns - done.at_ns) / 1e9:.1f} s)")


def _submissions(plan: Plan, crowd: Crowd, clients: ThreadPoolExecutor, report: Report) -> None:
    started, told = time.monotonic(), 0.0
    for wish in plan.wishes:
        time.sleep(max(started + wish.at_s - time.monotonic(), 0.0))
        clients.submit(_submitted, crowd, wish)
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            report.say(f"{len(crowd.accepted)} accepted of {len(plan.wishes)}, {crowd.repeats.total()} asked again")


def _submitted(crowd: Crowd, wish: Wish) -> None:
    try:
        crowd.submit(wish)
    except Exception as error:
        crowd.wrong.append(f"submitting {wish.id}: {type(error).__name__}: {error}")


def _all_end(crowd: Crowd) -> None:
    """Waits for that, but not for ever: the checks tell which have not."""
    limit = time.monotonic() + ENDS_S
    for job in [*crowd.accepted, *_fired(crowd)]:
        crowd.insist(f"waiting for {job}", lambda client, job=job: client.wait(job, max(limit - time.monotonic(), 0.1)))


def _fired(crowd: Crowd) -> list[str]:
    return [each["id"] for each in crowd.insist("the schedule's jobs", _of_schedule)]


def _of_schedule(client: Client) -> list[dict[str, Any]]:
    return list(client.each_job(tag=f"schedule={SCHEDULE}"))


def _check(crowd: Crowd, happened: list[Happened], watch: Watch, report: Report) -> None:
    here = crowd.here
    kept = account.read(here.account / "lines")
    report.counted("submitted", Counter(wish.shape for wish in crowd.accepted.values()))
    report.counted("faults", Counter(each.kind for each in happened))
    report.counted("asked again", crowd.repeats)
    report.wrong += crowd.wrong
    with here.client() as client:
        told = [each for wish in crowd.accepted.values() for each in _told(client, wish, crowd)]
        for each in told:
            report.wrong += [f"{each.view['id']} ({each.shape}): {said}" for said in of_job(each, kept, happened)]
        report.wrong += _firings(client, kept)
        report.wrong += money.wrong(here.store_url, kept, client)
        charged = money.total(money.read(here.store_url))
        report.counted("attempts", Counter(made["state"] for each in told for made in each.view["made"]))
        report.note(f"{len(told)} jobs; {len(kept.runs)} attempts kept the account; {charged} nanodollars")
        report.wrong += [f"{each} began while another attempt of its job ran" for each in kept.overlaps]
        report.wrong += leftovers.when_quiet(here, set(kept.runs))
        client.shutdown(drain=True)
    assert here.process is not None
    here.process.wait(120.0)
    report.wrong += leftovers.when_down(here)
    report.wrong += leftovers.secret_in(here.state, os.environ[f"BROKER_SECRET_{SECRET}"].encode())
    report.wrong += watch.wrong()
    report.seen += watch.shown()


def _told(client: Client, wish: Wish, crowd: Crowd) -> Iterator[Told]:
    ids = [wish.id]
    if len(wish.expects) > 1:
        tasks = sorted(client.each_job(array=wish.id), key=lambda task: task["array_index"])
        ids = [task["id"] for task in tasks]
    for job, expect in zip(ids, wish.expects, strict=True):
        view = client.job(job)
        yield Told(
            shape=wish.shape,
            view=view,
            output=_output(client, wish, view),
            expect=expect,
            ranks=2 if wish.shape == "gang" else 1,
            cancelled=wish.id in crowd.cancelled,
        )


def _output(client: Client, wish: Wish, view: dict[str, Any]) -> str | None:
    if wish.argument is not None:
        result = unpacked(client.result(wish.id)) if view["state"] == "succeeded" else None
        return "right" if result == wish.argument**2 else f"returned {result}"
    try:
        return b"".join(client.output(view["id"])).decode(errors="replace")
    except BrokerError as error:
        return f"{type(error).__name__}: {error}"


def _firings(client: Client, kept: account.Account) -> Iterator[str]:
    """One job for each minute, each of which ran once."""
    jobs = _of_schedule(client)
    firings = client.schedule(SCHEDULE)["last"]
    times = [each["at"] for each in firings]
    if len(set(times)) != len(times):
        yield f"the schedule fired twice for one minute: {times}"
    if len(jobs) != len(firings):
        yield f"the schedule has {len(firings)} firings and {len(jobs)} jobs"
    yield from (
        f"{each['id']} (schedule): {each['state']}, {each['reason']}" for each in jobs if each["state"] != "succeeded"
    )
