"""Jobs and spend of one project, on a page of a broker that has several."""

from pathlib import Path
from typing import Any

from playwright import sync_api

from broker.model.projects import Project
from tests.conftest import WAIT_MS
from tests.dashboard.site import TOKEN, Site
from tests.dashboard.test_dashboard import violations, visit


def test_jobs_and_spend_are_filtered_by_project(browser: Any, tmp_path: Path) -> None:
    with Site(tmp_path, lambda *_: None) as site:
        for number in range(2):
            site.submit(name=f"theirs-{number}")
        context = browser.new_context(reduced_motion="reduce")
        tab = context.new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.goto(f"{site.url}/#token={TOKEN}")
        visit(tab, "jobs", "Jobs")
        sync_api.expect(tab.locator("tbody tr")).to_have_count(2)
        assert tab.get_by_label("Project").count() == 0, "there is one project"
        site.do(site.broker.projects.create(Project(name="vision", created_ns=1)))
        site.submit(name="ours", project="vision")
        tab.reload()
        tab.get_by_label("Project").select_option("vision")
        tab.wait_for_url("**project=vision*")
        sync_api.expect(tab.locator("tbody tr")).to_have_count(1)
        sync_api.expect(tab.locator("tbody tr")).to_contain_text("vision")
        assert violations(tab) == {"light": [], "dark": []}
        visit(tab, "spend?period=all", "Spend")
        with tab.expect_request("**/v1/spend?*project=vision*"):
            tab.get_by_label("Project").select_option("vision")
        tab.locator(".view:not([aria-busy])").wait_for()
        assert violations(tab) == {"light": [], "dark": []}
        for width in (360, 1280):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
        context.close()
