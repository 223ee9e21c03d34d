"""The OpenAPI document is complete, and docs/http-api.md names the same routes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.api.app import create_app
from tests.api.conftest import House

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"


@pytest.fixture
def document(house: House) -> dict[str, Any]:
    return create_app(house.service).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_says_what_it_does(document) -> None:
    for name, operation in operations(document):
        assert operation["description"], name
        assert operation["tags"], name


def test_every_answer_has_a_shape(document) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert answer.get("description"), f"{name} {status}"
            for media, content in answer["content"].items():
                assert content["schema"], f"{name} {status} {media}"


PROBES = ("GET /healthz", "GET /readyz")


def test_every_route_behind_the_token_says_so(document) -> None:
    for name, operation in operations(document):
        assert operation["security"] == ([] if name in PROBES else [{"token": []}]), name
        assert ("401" in operation["responses"]) == (name not in PROBES), name


def test_every_parameter_is_described_or_speaks_for_itself(document) -> None:
    plain = {"user", "name", "pool", "cursor", "limit"}
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description") or parameter["name"] in plain, f"{name} {parameter['name']}"


def test_every_reference_leads_somewhere(document) -> None:
    there = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))) <= there


def test_the_body_of_a_submission_is_the_published_job_schema(document) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/Job"}
    assert {"run", "resources", "max_cost"} <= set(document["components"]["schemas"]["Job"]["properties"])


async def test_it_is_served(http, document) -> None:
    assert (await http.get("/v1/openapi.json")).json() == json.loads(json.dumps(document))


def test_the_page_names_every_route_and_no_other(document) -> None:
    named = set(re.findall(r"^### `([A-Z]+ /\S+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == {name for name, _ in operations(document)}
