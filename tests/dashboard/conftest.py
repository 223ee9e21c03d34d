"""A real browser on a real server: `page` is a tab that has the token, `site` what it looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import WAIT_MS
from tests.dashboard.site import TOKEN, Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def page(browser, site: Site) -> Iterator[object]:
    """A tab on the overview, with the token. What its scripts complain of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce", locale="en-US")
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda line: line.type == "error" and complaints.append(line.text))
    tab.set_default_timeout(WAIT_MS)
    tab.goto(f"{site.url}/#token={TOKEN}")
    tab.get_by_role("heading", name="Overview").wait_for()
    yield tab
    tab.unroute_all(behavior="wait")  # else a handler that still answers fails the next test
    context.close()
    assert [each for each in complaints if not each.startswith("Failed to load resource")] == []
