"""A real browser on a real server: `page` is a tab that has the token, `site` what it looks at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dashboard.site import TOKEN, Site

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Not longer than a module: its loop would be in the way of other tests' loops."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture
def page(browser, site: Site) -> Iterator[object]:
    """A tab on the overview, with the token. What its scripts complain of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce", locale="en-US")
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda line: line.type == "error" and complaints.append(line.text))
    tab.set_default_timeout(15_000)
    tab.goto(f"{site.url}/#token={TOKEN}")
    tab.get_by_role("heading", name="Overview").wait_for()
    yield tab
    context.close()
    assert [each for each in complaints if not each.startswith("Failed to load resource")] == []


@pytest.fixture
def golden_picture(request: pytest.FixtureRequest) -> Callable[[object, str], None]:
    """Keeps what a tab shows as a picture of the documentation, with `make golden`; else only that there is one."""

    def keep(tab, name: str) -> None:
        path = Path(__file__).parents[2] / "docs" / "img" / name
        if request.config.getoption("--golden-rewrite"):
            tab.screenshot(path=path, full_page=True)
        assert path.exists(), f"{path} is missing: run `make golden` and look at it"

    return keep
