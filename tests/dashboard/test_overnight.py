"""A page that is left open overnight: hours of its time, brokers that go and come back, and a token that expires."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.model.jobs import AttemptState
from broker.model.tokens import Scope
from tests.conftest import WAIT_MS
from tests.dashboard.site import TOKEN, Site

AGAIN_MS = 2_500  # later than the page of a job asks again
# So that a night is over in seconds: answers about a job, each a little different, and its output's, or none.
ANSWERED_AT_ONCE = """
async ([path, away]) => {
    const headers = {Authorization: `Bearer ${sessionStorage.getItem("broker-token")}`}, answers = {};
    for (const each of [path, `${path}/explain`]) answers[each] = await (await fetch(each, {headers})).json();
    window.asked = 0;
    window.fetch = async (address) => {
        window.asked += 1;
        if (away && address.endsWith("/follow")) throw new TypeError("nobody is there");
        const answer = {...answers[address], reason: `asked ${window.asked} times`};
        return {ok: true, json: async () => answer, body: new ReadableStream()};
    };
    dispatchEvent(new HashChangeEvent("hashchange"));
}
"""


def fill_nothing(*_: object) -> None: ...


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    tab = context.new_page()
    tab.set_default_timeout(WAIT_MS)
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    yield tab
    context.close()
    assert problems == []


def opened(tab: Any, site: Site, job: str, token: str = TOKEN) -> None:
    """The page of a job, with a clock that can be set forward."""
    tab.clock.install()
    tab.goto(f"{site.url}/#token={token}")
    tab.evaluate("path => { location.hash = path; }", f"#/job/{job}")
    tab.get_by_role("log").wait_for()


def running(site: Site, stdout: bytes) -> str:
    job = site.submit(name="overnight", resources={"accelerators": "L4"})
    site.move(job, AttemptState.RUNNING, stdout=stdout)
    return job


def held(tab: Any) -> tuple[int, int]:
    """Bytes of the scripts' heap and nodes of the page, after what is not needed was collected."""
    devtools = tab.context.new_cdp_session(tab)
    devtools.send("HeapProfiler.collectGarbage")
    found = devtools.send("Runtime.getHeapUsage")["usedSize"], devtools.send("Memory.getDOMCounters")["nodes"]
    devtools.detach()
    return found


def test_a_broker_that_was_started_anew_meanwhile_is_followed_on_from_where_it_was(tab: Any, tmp_path: Path) -> None:
    asked: list[str | None] = []
    tab.on("request", lambda request: "/follow" in request.url and asked.append(request.headers.get("last-event-id")))
    with Site(tmp_path, fill_nothing) as evening:
        job = running(evening, b"evening\n")
        opened(tab, evening, job)
        tab.get_by_role("log").get_by_text("evening").wait_for()
    tab.get_by_text("The connection was lost; it is tried again").wait_for()
    tab.clock.fast_forward("01:00")
    tab.get_by_text("The broker does not answer").wait_for()
    tab.clock.fast_forward("08:00:00")
    with Site(tmp_path, fill_nothing, before=evening) as morning:
        morning.move(job, AttemptState.SUCCEEDED, stdout=b"morning\n", exit_code=0)
        tab.clock.fast_forward(AGAIN_MS)
        tab.get_by_role("log").get_by_text("morning").wait_for()
        tab.get_by_text("The broker does not answer").wait_for(state="detached")
        tab.get_by_text("succeeded", exact=True).first.wait_for()
        assert tab.get_by_role("log").text_content() == "evening\nmorning\n"
    assert asked[0] is None and asked[-1] == "1-8-0", "it did not go on behind what it had seen"


def test_a_token_that_expires_meanwhile_is_said_and_another_goes_on(tab: Any, tmp_path: Path) -> None:
    with Site(tmp_path, fill_nothing) as site:
        job = running(site, b"evening\n")
        made, token = site.do(site.service.tokens.create("ann", Scope.READ, None))
        opened(tab, site, job, token)
        tab.get_by_role("log").get_by_text("evening").wait_for()
        site.do(site.service.tokens.revoke(made.id))
        tab.clock.fast_forward("08:00:00")
        tab.get_by_text("is not good, or no longer").wait_for()
        tab.get_by_label("Token").fill(TOKEN)
        tab.get_by_role("button", name="Enter").click()
        tab.get_by_role("log").get_by_text("evening").wait_for()


@pytest.mark.parametrize(
    ("away", "part_ms", "most"), [(False, 200_000, 300_000), (True, 700_000, 60_000)], ids=["answered", "unanswered"]
)
def test_a_night_of_asking_again_fills_no_memory(tab: Any, tmp_path: Path, away: bool, part_ms: int, most: int) -> None:
    with Site(tmp_path, fill_nothing) as site:
        job = running(site, b"evening\n")
        opened(tab, site, job)
        tab.get_by_role("log").get_by_text("evening").wait_for()
        tab.evaluate(ANSWERED_AT_ONCE, [f"/v1/jobs/{job}", away])
        tab.get_by_text("Nothing written yet" if not away else "The connection was lost").wait_for()
        sizes = []
        for _ in range(4):
            tab.clock.run_for(part_ms)
            sizes.append(held(tab))
        assert tab.evaluate("window.asked") > 4 * part_ms / AGAIN_MS
        heap, nodes = (sizes[-1][each] - sizes[1][each] for each in range(2))  # by then all of its code has run
        assert heap < most and nodes < 250, sizes
