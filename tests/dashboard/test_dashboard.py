"""Each page and action of the dashboard in a real browser, on a real server, held to accessibility rules."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api

from broker.model.budgets import Action, Budget, Period
from broker.model.jobs import AttemptState
from broker.model.money import Money
from tests.conftest import WAIT_MS
from tests.dashboard.conftest import TOKEN
from tests.dashboard.site import Site

PAGES = {"": "Overview", "jobs": "Jobs", "capacity": "Capacity", "spend": "Spend", "prices": "Prices and breakeven"}
SOON_MS = 6_000  # later than the overview asks again
DOCS = Path(__file__).parents[2] / "docs" / "dashboard.md"
BAD = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def go(page, name: str, title: str) -> None:
    page.evaluate("name => { location.hash = `#/${name}`; }", name)
    page.get_by_role("heading", level=1, name=title).wait_for()


def visit(page, name: str, title: str) -> None:
    """Until all that it asked for has come."""
    go(page, name, title)
    page.locator(".view:not([aria-busy])").wait_for()
    page.wait_for_function("() => !document.querySelector('[aria-busy]')")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_accessible_in_light_and_dark(page, name: str) -> None:
    visit(page, name, PAGES[name])
    assert violations(page) == {"light": [], "dark": []}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_from_phone_to_wide_screen(page, name: str) -> None:
    visit(page, name, PAGES[name])
    assert not re.findall("^(null|undefined|NaN)$", page.locator("main").inner_text(), re.MULTILINE)
    for width in (360, 768, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def renew(page) -> None:
    """Loads the page with a clock that can be set forward."""
    page.clock.install()
    page.reload()
    page.locator(".view:not([aria-busy])").wait_for()


def violations(page) -> dict[str, object]:
    """What axe finds in light and in dark."""
    found = {}
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        found[colours] = [
            (each["id"], [node["target"] for node in each["nodes"]][:3])
            for each in Axe().run(page).response["violations"]
        ]
    return found


def test_the_page_of_a_job_of_an_array_and_the_one_that_asks_for_a_token_are_accessible(page, site: Site) -> None:
    none = {"light": [], "dark": []}
    job = site.submit(name="looked-at", resources={"accelerators": "L4"})
    site.move(job, AttemptState.RUNNING, stdout=b"one line\n")
    go(page, f"job/{job}", "looked-at")
    page.get_by_role("log").get_by_text("one line").wait_for()
    page.get_by_role("heading", name="History").wait_for()
    assert violations(page) == none
    array = site.submit(name="an-array", array=3, resources={"accelerators": "L4"})
    visit(page, f"job/{array}", "an-array")
    assert violations(page) == none
    for each in (job, array):
        site.do(site.service.jobs.cancel(each))
    page.evaluate("sessionStorage.clear()")
    page.reload()
    page.get_by_label("Token").wait_for()
    assert violations(page) == none


def test_without_the_token_it_asks_for_it_and_a_wrong_one_shows_nothing(browser, site: Site) -> None:
    context = browser.new_context()
    tab = context.new_page()
    tab.set_default_timeout(WAIT_MS)
    tab.goto(f"{site.url}/#/spend")
    for token in ("wrong", TOKEN):
        tab.get_by_label("Token").wait_for()
        assert tab.get_by_role("heading", name="Spend").count() == 0
        tab.get_by_label("Token").fill(token)
        tab.get_by_role("button", name="Enter").click()
    tab.get_by_text("Expected for these jobs").wait_for()
    context.close()


def test_the_token_leaves_the_address_at_once(page) -> None:
    assert TOKEN not in page.url


def test_an_address_that_leads_nowhere_says_so(page) -> None:
    for name in ("constructor", "%", "nowhere"):
        go(page, name, "There is no such page")
        go(page, "jobs", "Jobs")


def test_a_job_is_followed_live_and_cancelled(page, site: Site) -> None:
    job = site.submit(name="hostile", run=f"echo '{BAD}'", tags={"what": BAD[:60]}, resources={"accelerators": "L4"})
    site.move(job, AttemptState.RUNNING, stdout=f"epoch 1\n{BAD}\n".encode())
    go(page, f"job/{job}", "hostile")
    page.get_by_role("log").get_by_text("epoch 1").wait_for()
    page.get_by_text("running", exact=True).first.wait_for()
    page.get_by_text("Adds to the bill").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("cancelled", exact=True).first.wait_for()
    assert page.evaluate("window.hacked") is None


def test_what_jobs_are_called_is_shown_as_text_wherever_it_is_shown(page, site: Site) -> None:
    """Names can't hold markup; users, tags and reasons can, and so could names of an older broker."""
    tags = {"k0": BAD[:60], "k1": BAD[:60], "turned": "\u202egpj.exe", "endless": "e" * 10_000}
    job = site.do(site.service.submissions.submit({"run": "echo hi", "tags": tags}, BAD)).id
    bad = re.escape(BAD)
    page.route(re.compile("/v1/jobs(?!.*/follow$)"), lambda route: hostile(route, job))
    visit(page, "", "Overview")
    page.get_by_text(re.compile(bad)).first.wait_for()
    visit(page, "jobs", "Jobs")
    page.get_by_text(re.compile(bad)).first.wait_for()
    visit(page, f"spend?period=all&by=user&name={BAD}", "Spend")
    page.evaluate("id => { location.hash = `#/job/${id}`; }", job)
    page.get_by_text(re.compile(bad)).first.wait_for()
    page.get_by_text(re.compile("turned=\ufffdgpj.exe")).wait_for()
    page.get_by_text(re.compile("endless=e{52}…e{59}")).wait_for()
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script").count() == 0
    site.do(site.service.jobs.cancel(job))


def hostile(route, job: str) -> None:
    """The answer of the broker, with the name of a job made hostile."""
    answer = route.fetch()
    named = json.loads(answer.text())
    for each in [named, *named.get("items", [])]:
        if each.get("id") == job:
            each["name"] = each["reason"] = BAD
    route.fulfill(response=answer, json=named)


def test_output_goes_on_where_it_was_when_the_connection_comes_back(page, site: Site) -> None:
    job = site.submit(name="long", resources={"accelerators": "L4"})
    site.move(job, AttemptState.RUNNING, stdout="first ünïcode\n".encode())
    cut = re.compile("/follow$")
    page.route(cut, lambda route: route.fulfill(status=200, body="event: log\ndata: " + piece("first ünï") + "\n\n"))
    go(page, f"job/{job}", "long")
    page.get_by_text("The connection was lost").wait_for()
    assert page.get_by_role("log").text_content() == "first ünï"
    page.unroute(cut)
    page.get_by_role("log").get_by_text("first ünïcode").wait_for()
    page.get_by_text("The connection was lost").wait_for(state="hidden")
    site.move(job, AttemptState.SUCCEEDED, stdout=b"last\n", exit_code=0)
    page.get_by_role("log").get_by_text("last").wait_for()
    assert page.get_by_role("log").text_content() == "first ünïcode\nlast\n"


def piece(text: str) -> str:
    data = text.encode()
    return json.dumps({"attempt": 1, "stream": "stdout", "next_offset": len(data), "data": b64encode(data).decode()})


def test_a_long_log_fills_no_memory(page, site: Site) -> None:
    job = site.submit(name="chatty", resources={"accelerators": "L4"})
    site.move(job, AttemptState.RUNNING, stdout=b"".join(b"line %d\n" % number for number in range(200_000)))
    go(page, f"job/{job}", "chatty")
    page.get_by_text("Only the end is shown").wait_for()
    page.get_by_role("log").get_by_text("line 199999").wait_for()
    log = page.get_by_role("log")
    assert len(log.text_content()) <= 200_000
    assert log.locator("span").count() < 40
    site.do(site.service.jobs.cancel(job))


def test_a_failed_job_is_run_again_from_its_page(page, site: Site) -> None:
    job = site.submit(name="flaky", resources={"accelerators": "L4"})
    site.move(job, AttemptState.FAILED, exit_code=3)
    go(page, f"job/{job}", "flaky")
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: job not in url)
    again = page.url.rpartition("/")[2]
    site.move(again, AttemptState.RUNNING)
    site.move(again, AttemptState.SUCCEEDED, exit_code=0)
    page.get_by_text("succeeded", exact=True).first.wait_for()


def test_jobs_are_filtered_by_what_the_address_says(page, site: Site) -> None:
    array = site.submit(name="wanted", tags={"team": "vision"}, resources={"accelerators": "L4"}, array=3)
    visit(page, "jobs", "Jobs")
    page.get_by_label("Tag").fill("team=vision")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**team%3Dvision*")
    sync_api.expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="wanted").click()
    page.get_by_role("heading", name="wanted").wait_for()
    sync_api.expect(page.get_by_role("region", name="Tasks").locator("tbody tr")).to_have_count(3)
    site.do(site.service.jobs.cancel(array))


def test_a_page_of_jobs_leads_to_older_ones(page) -> None:
    visit(page, "jobs?state=succeeded", "Jobs")
    first = page.locator("tbody th small").first.text_content()
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**cursor=*")
    page.get_by_role("link", name="Newest").wait_for()
    assert page.locator("tbody th small").first.text_content() != first


def test_the_overview_says_what_runs_what_it_costs_and_what_would_pay(page, site: Site) -> None:
    job = site.submit(name="runs-now", resources={"accelerators": "L4"})
    site.move(job, AttemptState.RUNNING)
    visit(page, "", "Overview")
    page.get_by_role("region", name="Running now").get_by_role("link", name="runs-now").wait_for()
    page.get_by_text(re.compile("in all of last month")).wait_for()
    page.get_by_text(
        re.compile(r"The cheapest mix costs \$[\d.,]+ a month, \$[\d.,]+ \(\d+%\) less than all burst")
    ).wait_for()
    page.get_by_text("in nine of ten courses that demand may take").wait_for()
    for line in ("was busy", "90% band", "forecast", "1 up"):
        page.locator(".legend").get_by_text(line, exact=True).first.wait_for()
    page.get_by_text(re.compile(r"\d pay: busy over the breakeven")).wait_for()
    page.get_by_role("link", name="The whole plan").click()
    page.get_by_role("heading", level=1, name="Capacity").wait_for()
    site.move(job, AttemptState.SUCCEEDED, exit_code=0)


def test_what_is_read_stays_open_and_focused_when_the_page_renews_itself(page, site: Site) -> None:
    job = site.submit(name="focused", resources={"accelerators": "L4"})
    site.move(job, AttemptState.RUNNING)
    renew(page)
    link = page.get_by_role("region", name="Running now").get_by_role("link", name="focused")
    link.focus()
    link.evaluate("element => { element.marked = true; }")
    page.clock.fast_forward(SOON_MS)
    page.wait_for_function("() => document.activeElement?.textContent === 'focused' && !document.activeElement.marked")
    site.move(job, AttemptState.SUCCEEDED, exit_code=0)


def test_the_overview_says_what_would_have_been_cheaper(page) -> None:
    visit(page, "", "Overview")
    page.get_by_text("the broker's policy").first.wait_for()
    page.get_by_text("forecast", exact=True).first.wait_for()


def test_budgets_stand_beside_what_is_spent(page, site: Site) -> None:
    for name, usd in (("vision", "100000"), ("tiny", "0.50")):
        budget = Budget(name=name, limit=Money.of_usd(usd), period=Period.TOTAL, action=Action.WARN)
        site.do(site.service.budgets.set(budget))
    visit(page, "jobs", "Jobs")
    visit(page, "", "Overview")
    row = page.get_by_role("row", name="tiny")
    row.get_by_text("then it warns").wait_for()
    assert page.get_by_role("meter").count() == 2
    for name in ("vision", "tiny"):
        site.do(site.service.budgets.remove(name))


def test_sliders_recompute_at_once(page) -> None:
    visit(page, "capacity", "Capacity")
    advice = page.locator("[aria-live] .why").first
    advice.wait_for()
    page.get_by_label("A node", exact=False).first.fill("0")
    assert "hold none" not in advice.text_content()
    held = int(re.search(r"hold (\d+)", advice.text_content())[1])
    page.get_by_label("Growth of the work").first.fill("1")
    assert int(re.search(r"hold (\d+)", advice.text_content())[1]) > held


def test_the_plan_is_the_brokers_own_the_same_on_both_pages_and_made_anew_when_asked(page, site: Site) -> None:
    found = site.do(site.service.planning.plan(max_age_s=86_400))
    shown = [found.result["lead"], found.result["how_sure"], *found.result["what_to_do"]]
    for name in ("", "capacity"):
        visit(page, name, PAGES[name])
        for line in shown:
            page.get_by_text(line, exact=True).wait_for()
    for line in found.result["assumptions"]:
        page.get_by_text(line.replace("`", ""), exact=True).wait_for()
    options, terms = (page.get_by_role("region", name=name) for name in ("What each way to buy", "How many to hold"))
    sync_api.expect(options.locator("tbody tr")).to_have_count(len(found.result["options"]))
    for way in found.ways:
        row = terms.get_by_role("row", name=way.name)
        row.get_by_text(re.compile(r"\d+ days")).wait_for()
    held: list[sync_api.Route] = []
    page.route("**/v1/plan?*", lambda route: held.append(route))  # it takes until it is let go
    page.get_by_role("button", name="Make the plan anew").click()
    page.get_by_text("The plan is being made").wait_for()
    page.get_by_text(found.result["lead"], exact=True).wait_for()
    go(page, "jobs", "Jobs")
    held[0].abort()


def test_what_a_slider_says_is_what_the_broker_would_say(page, site: Site) -> None:
    """The best size by the page's own arithmetic is the best fixed cluster of the broker's counterfactual."""
    (other,) = site.do(site.service.capacity.counterfactual("ray", "7d"))
    best = next(each for each in other.alternatives if each.name == "best-static")
    visit(page, "capacity", "Capacity")
    said = re.search(r"hold (\w+)", page.locator("[aria-live] .why").first.text_content())[1]
    assert best.note.startswith(("0" if said == "none" else said) + " node")


def test_spend_is_shown_by_what_is_asked_and_saved_as_a_file(page, tmp_path) -> None:
    visit(page, "spend", "Spend")
    page.get_by_label("Period").select_option("all")
    page.wait_for_url("**period=all*")
    page.get_by_label("By", exact=True).select_option("user")
    page.wait_for_url("**by=user*")
    page.get_by_role("heading", name="By user").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    saved.value.save_as(tmp_path / "spend.csv")
    assert (tmp_path / "spend.csv").read_text().startswith("user,")
    with page.expect_download() as saved:
        page.get_by_role("button", name="FOCUS").click()
    saved.value.save_as(tmp_path / "focus.csv")
    assert "BilledCost" in (tmp_path / "focus.csv").read_text().partition("\n")[0]


def test_dollars_are_worded_as_on_the_command_line(page) -> None:
    amounts = ["0", "0.0711", "0.07106", "0.5", "0.000003558", "0.02358", "0.1", "12.345678", "1234.5", "-0.04"]
    worded = (
        "async (amounts) => { const { usd } = await import('/dashboard/dom.js'); return amounts.map((it) => usd(it)); }"
    )
    said = page.evaluate(worded, amounts)
    assert [each.replace("−", "-") for each in said] == [str(Money.of_usd(each)) for each in amounts]


def test_on_a_phone_what_counts_is_seen_without_scrolling(page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for name, head in (("spend", "Total"), ("prices", "$/GPU-hour"), ("jobs", "Cost")):
        visit(page, name, "Prices and breakeven" if name == "prices" else name.capitalize())
        box = page.get_by_role("columnheader", name=head, exact=True).last.bounding_box()
        assert box["x"] + box["width"] <= 390, name


def test_spend_by_each_column(page) -> None:
    for by in ("pool", "user", "name", "job", "kind", "day", "tag"):
        visit(page, f"spend?period=7d&by={by}", "Spend")
        page.get_by_role("heading", name=f"By {by}").last.wait_for()
        page.get_by_role("region", name="Spend", exact=True).locator("tbody tr").first.wait_for()


def test_prices_show_where_holding_pays(page) -> None:
    visit(page, "prices?gpu=L4", "Prices and breakeven")
    said = page.locator(".why")
    said.wait_for()
    before = said.text_content()
    page.get_by_label("Idle tail after it").fill("4")
    page.wait_for_function("before => document.querySelector('.why').textContent !== before", arg=before)


def test_a_stale_price_is_marked_where_it_is_and_nowhere_else(page) -> None:
    old = ""

    def aged(route: sync_api.Route) -> None:
        answer = route.fetch()
        found = answer.json()
        nonlocal old
        old = "{provider} {sku}".format(**found["pairs"][0]["cluster"])
        for pair in found["pairs"]:
            pair["serverless"] |= {"stale": True, "age_days": 321}
            pair["cluster"]["stale"] = "{provider} {sku}".format(**pair["cluster"]) == old
        route.fulfill(response=answer, json=found)

    page.route("**/v1/breakeven?*", aged)
    visit(page, "prices?gpu=L4", "Prices and breakeven")
    page.get_by_text("which they are all held against, is 321 days old").wait_for()
    rows = page.get_by_role("region", name="Breakevens").locator("tbody tr")
    marked = rows.filter(has=page.locator(".stale"))
    names = [row.get_by_role("rowheader").evaluate("of => of.firstChild.textContent.trim()") for row in marked.all()]
    assert set(names) == {old}
    assert marked.count() < rows.count()


def test_emulated_pools_are_marked_on_the_capacity_page(page) -> None:
    def emulated(route: sync_api.Route) -> None:
        answer = route.fetch()
        found = answer.json()
        for pool in found["pools"]:
            pool["emulated"] = pool["name"] == "ray"
        route.fulfill(response=answer, json=found)

    page.route("**/v1/pools", emulated)
    visit(page, "capacity", "Capacity")
    page.get_by_role("heading", name="ray (emulated): how many nodes would have paid", exact=True).wait_for()
    page.get_by_role("heading", name="ray (emulated): plan against actual", exact=True).wait_for()
    page.get_by_role("heading", name="burst: plan against actual", exact=True).wait_for()


def test_it_is_used_with_the_keyboard_alone(page) -> None:
    page.reload()
    page.get_by_role("heading", name="Overview").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name="Jobs").wait_for()


def test_colours_are_kept(page) -> None:
    for name in ("light", "dark"):
        page.get_by_role("button", name="Colours").click()
        assert page.evaluate("document.documentElement.dataset.theme") == name
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_broker_that_goes_away_is_said_and_found_again(page) -> None:
    renew(page)
    page.route("**/v1/**", lambda route: route.abort())
    page.clock.fast_forward(SOON_MS)
    page.get_by_text("The broker does not answer").wait_for()
    page.unroute("**/v1/**")
    page.clock.fast_forward(SOON_MS)
    page.get_by_text("The broker does not answer").wait_for(state="detached")


def test_a_broker_that_was_started_anew_asks_for_its_new_token(page) -> None:
    renew(page)
    page.evaluate("sessionStorage.setItem('broker-token', 'of-yesterday')")
    page.clock.fast_forward(SOON_MS)
    page.get_by_text("a broker that was started anew has another").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("heading", name="Running now").wait_for()
    assert page.get_by_text("started anew").count() == 0


def test_where_an_address_has_sent_too_many_wrong_tokens_a_good_one_can_still_be_entered(page) -> None:
    renew(page)
    refused = {"type": "urn:gpu-broker:too-many-failures", "status": 429, "detail": "try again in 9 s", "problems": []}
    page.route("**/v1/**", lambda route: route.fulfill(status=429, json=refused))
    page.clock.fast_forward(SOON_MS)
    page.get_by_label("Token").fill(TOKEN)
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("heading", name="Running now").wait_for()


def test_a_page_in_the_background_asks_for_nothing_until_it_is_looked_at(page) -> None:
    visit(page, "jobs", "Jobs")
    renew(page)
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away }); window.away = true")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_request("**/v1/jobs?*"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


def test_nothing_is_asked_of_anybody_else(page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name, title in PAGES.items():
        visit(page, name, title)
    assert {re.match(r"(blob:)?http://127\.0\.0\.1:\d+/", url) is not None for url in asked} == {True}


@pytest.fixture
def busy(site: Site) -> Iterator[str]:
    """A job that runs and writes, and budgets; the job."""
    for name, usd, scope in (("research", "1500", {}), ("ann", "1200", {"user": "ann"})):
        budget = Budget(name=name, limit=Money.of_usd(usd), action=Action.HOLD, **scope)
        site.do(site.service.budgets.set(budget))
    job = site.submit(name="finetune-lora", run="python finetune.py --epochs 3", resources={"accelerators": "L4"})
    site.move(
        job, AttemptState.RUNNING, stdout=b"".join(b"epoch 1 step %d loss 2.%d\n" % (10 * n, 99 - n) for n in range(8))
    )
    yield job
    site.do(site.service.jobs.cancel(job))
    for name in ("research", "ann"):
        site.do(site.service.budgets.remove(name))


@pytest.mark.parametrize("name", ["", "job", "capacity", "spend"])
def test_the_documentation_shows_it(page, golden_picture, busy: str, name: str) -> None:
    if name == "job":
        go(page, f"job/{busy}", "finetune-lora")
        page.get_by_role("log").get_by_text("step 70").wait_for()
        page.get_by_role("heading", name="History").wait_for()
    elif name:
        visit(page, name, PAGES[name])
    else:
        page.reload()
        visit(page, "", "Overview")
    golden_picture(page, f"dashboard-{name or 'overview'}.png")
    assert f"img/dashboard-{name or 'overview'}.png" in DOCS.read_text(encoding="utf-8")


def test_the_pictures_of_the_documentation_are_small() -> None:
    assert sum(path.stat().st_size for path in (DOCS.parent / "img").iterdir()) < 1_000_000
