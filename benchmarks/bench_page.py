"""How soon the overview can be used with a million jobs behind it, in a real browser, against a thousand.

Both brokers have run for a while: their forecasts are made, and the page was looked at before. It is interactive when
its figures, what runs and the latest jobs are shown; a click on `Jobs` is timed too, and when the pictures are there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.harness import p50, report
from benchmarks.million import fill
from tests.conftest import CHROMIUM, FLAGS
from tests.dashboard.site import POOLS, TOKEN, Site

LOADS = 7
COUNTS = (1_000, 1_000_000)
MOST_UNITS = 100
# When the page shows each of these for the first time, in milliseconds since the navigation began.
WATCH = """
window.shown = {};
const wanted = {figures: '.figures dd', jobs: 'main table tbody tr', pictures: 'svg.chart'};
const look = () => {
    for (const [name, selector] of Object.entries(wanted))
        if (!(name in window.shown) && document.querySelector(selector)) window.shown[name] = performance.now();
    requestAnimationFrame(look);
};
look();
"""
CLICK = """
() => new Promise(done => {
    const begun = performance.now();
    const look = () => document.querySelector('h1')?.textContent === 'Jobs' && document.querySelector('tbody tr')
        ? done(performance.now() - begun) : requestAnimationFrame(look);
    document.querySelector('nav a[href="#/jobs"]').click();
    look();
})
"""


@contextmanager
def site(count: int) -> Iterator[Site]:
    """A broker with so many jobs, and forecasts of what follows."""
    with tempfile.TemporaryDirectory() as folder:
        pools, url = [replace(pool, max_units=MOST_UNITS) for pool in POOLS], f"sqlite:///{folder}/broker.db"
        with Site(Path(folder), lambda _, now_ns: fill(url, count, now_ns), pools) as made:
            for running in made.broker.pools.values():
                made.do(made.broker.forecasting.step(running))
            yield made


def load(browser: Browser, made: Site) -> dict[str, float]:
    """Milliseconds until the parts of the page are shown, and from a click to the list of jobs."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.add_init_script(WATCH)
    tab.on("pageerror", lambda error: print(error, file=sys.stderr))
    tab.goto(f"{made.url}/#token={TOKEN}")
    tab.wait_for_function("() => window.shown.pictures")
    shown: dict[str, float] = tab.evaluate("window.shown")
    tab.reload()
    tab.wait_for_function("() => window.shown.figures && window.shown.jobs")
    clicked = tab.evaluate(CLICK)
    context.close()
    return {"interactive": max(shown["figures"], shown["jobs"]), "click": clicked, "pictures": shown["pictures"]}


def measured(count: int) -> dict[str, list[float]]:
    """What each load took, by part."""
    with site(count) as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        load(browser, made)  # the broker imports what a first page needs
        loads = [load(browser, made) for _ in range(LOADS)]
        browser.close()
    return {name: [each[name] for each in loads] for name in loads[0]}


def main() -> None:
    """Measures and prints."""
    if CHROMIUM is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    few, many = (measured(count) for count in COUNTS)
    rows, figures = {}, {}
    for name in few:
        less, more = p50(few[name]), p50(many[name])
        rows[name] = f"{more:.0f} ms (at most {max(many[name]):.0f}); with 1,000 jobs {less:.0f} ms; {more / less:.2f}"
        figures |= {f"{name}_ms": more, f"{name}_ratio": more / less}
    report("The overview with a million jobs, p50", rows, figures)


if __name__ == "__main__":
    main()
