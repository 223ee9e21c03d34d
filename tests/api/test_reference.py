"""/docs: the HTTP API for people, whole, with nothing in it that a browser would run or fetch from elsewhere."""

import re

from broker.api.app import create_app
from broker.api.dashboard.reference import page
from tests.api.conftest import House
from tests.api.test_tokens import OWNERS, client


async def test_it_has_every_operation_and_shape_and_each_link_leads_somewhere(house: House) -> None:
    app = create_app(house.service, OWNERS)
    async with client(house, "no-token-at-all") as anybody:
        answer = await anybody.get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    document = app.openapi()
    ids = re.findall(r' id="([^"]+)"', answer.text)
    assert len(ids) == len(set(ids))
    operations = [each for of in document["paths"].values() for each in of.values()]
    assert {each["operationId"] for each in operations} <= {*ids}
    assert {f"shape-{name}" for name in document["components"]["schemas"]} <= {*ids}
    assert {*re.findall(r'href="#([^"]+)"', answer.text)} <= {*ids}
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<style| style=| on\w+=|(src|href)=\"(?!#|/)", answer.text)


def test_what_the_document_says_is_text() -> None:
    hostile = '<script>alert(1)</script> `<b>` & "x"'
    operation = {"operationId": "one", "description": hostile, "responses": {"200": {"description": hostile}}}
    schema = {"properties": {hostile: {"type": "string", "description": hostile}}}
    made = page(
        {
            "info": {"title": hostile, "version": "1", "description": hostile},
            "paths": {f"/{hostile}": {"get": operation}},
            "components": {"schemas": {"Shape": schema}},
        }
    )
    assert "<script" not in made and "<b>&lt;" not in made
    assert made.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    assert "<code>&lt;b&gt;</code>" in made
