"""A broker on emulated GPUs whose first job ran minutes ago: pages say both, and not yet what pays."""

import re
from dataclasses import replace
from pathlib import Path

from broker.decide.expand import expand
from broker.model.jobs import Attempt, AttemptState, JobSpec, JobState
from broker.ports import Store
from tests.conftest import WAIT_MS
from tests.dashboard.site import HALF, POOLS, TOKEN, Site

MINUTE_NS = 60 * 10**9
EMULATED = tuple(replace(pool, emulated=True) for pool in POOLS)


def a_few_minutes(store: Store, now_ns: int) -> None:
    """One job that began twelve minutes ago and ended two minutes ago."""
    begun_ns, ended_ns = now_ns - 12 * MINUTE_NS, now_ns - 2 * MINUTE_NS
    (job,) = expand(JobSpec(name="first", run="true"), "first", "ann", begun_ns)
    attempt = Attempt(
        id="first-a1",
        job_id="first",
        number=1,
        pool="ray",
        resources=HALF,
        state=AttemptState.SUCCEEDED,
        stored_ns=begun_ns,
        started_ns=begun_ns,
        ended_ns=ended_ns,
    )
    store.add_jobs([replace(job, state=JobState.SUCCEEDED, attempts=1)], "{}", "h")
    store.record(attempts=[attempt])


def test_nothing_is_said_to_pay_before_a_day_is_over_nor_of_which_gpus_there_are_none(browser, tmp_path: Path) -> None:
    with Site(tmp_path, a_few_minutes, EMULATED) as site:
        tab = browser.new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.goto(f"{site.url}/#token={TOKEN}")
        tab.get_by_text("how many GPUs pay is said after a day").wait_for()
        tab.get_by_text("Work on L4 has been seen for 1 hour: after a day of it, a plan is made.").wait_for()
        assert not tab.get_by_text("none pays").count()
        assert not tab.locator(".legend").get_by_text("90% band").count()
        tab.get_by_role("heading", name="ray: busy emulated GPUs").wait_for()
        tab.get_by_text("that are up; all are emulated").wait_for()
        tab.get_by_role("region", name="Pools").get_by_text("serverless, emulated GPUs").wait_for()
        tab.get_by_role("region", name="Latest jobs").get_by_text("ray (emulated)").wait_for()
        tab.goto(f"{site.url}/#/capacity")
        tab.get_by_text(re.compile(r"Jobs have run here for 1\d min")).wait_for()
        assert not tab.get_by_text("It would have been best").count()
        tab.goto(f"{site.url}/#/jobs")
        tab.get_by_role("region", name="Jobs").get_by_text("ray (emulated)").wait_for()
        tab.goto(f"{site.url}/#/job/first")
        tab.get_by_role("region", name="Attempts").get_by_text("emulated L4").wait_for()
        tab.close()
