"""Whatever is sent, the answer is an answer: never a mistake of ours (5xx)."""

import json
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.spec.document import JobDocument

WEIRD = st.sampled_from(
    ["", "\0", "💥", "a\ud800", "-1", "1e999", "../..", "%00", "{}", " " * 300, "H100:8", "+6h", "nan"]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | WEIRD
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WEIRD.filter(str.isprintable), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([*JobDocument.model_fields, "gpus", "cpus", "any_of", "infra"])
JOBS = st.fixed_dictionaries({"run": st.just("true")}, optional={}).flatmap(
    lambda job: st.dictionaries(FIELDS, VALUES, max_size=3).map(lambda more: job | more)
)
MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(job=JOBS)
async def test_any_job_is_taken_or_refused(http: httpx.AsyncClient, job: dict[str, Any]) -> None:
    for path in ("/v1/jobs", "/v1/offers"):
        response = await http.post(path, content=json.dumps(job))
        assert response.status_code < 500, response.text
        if response.is_error:
            assert response.json()["problems"]


NAMES = st.sampled_from(
    ["state", "user", "name", "pool", "array", "tag", "since", "until", "limit", "cursor", "collapse", "by", "period"]
) | st.sampled_from(["job", "format", "stream", "attempt", "offset", "follow", "timeout_s"])
PATHS = st.sampled_from(["/v1/jobs", "/v1/spend", "/v1/jobs/x", "/v1/jobs/x/logs", "/v1/jobs/x/wait", "/v1/pools"])
TEXTS = (WEIRD | st.text(max_size=20)).filter(lambda text: text.encode(errors="ignore").decode() == text)


@MANY
@given(path=PATHS, params=st.dictionaries(NAMES, TEXTS, max_size=3))
async def test_any_question_is_answered_or_refused(http: httpx.AsyncClient, path: str, params: dict[str, str]) -> None:
    assert (await http.get(path, params=params)).status_code < 500


@MANY
@given(id=TEXTS.filter(lambda text: text.strip("/.") != ""))
async def test_any_id_is_found_or_not(http: httpx.AsyncClient, id: str) -> None:
    for route in ("", "/explain", "/logs", "/result", "/follow"):
        response = await http.get(f"/v1/jobs/{quote(id, safe='')}{route}")
        assert response.status_code in (404, 422), response.text


async def test_a_parameter_that_a_route_does_not_have_is_refused_by_name(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/spend", params={"perod": "today", "by": "user", "x": "1"})
    assert answer.status_code == 422
    said = {problem["field"]: problem["message"] for problem in answer.json()["problems"]}
    assert set(said) == {"perod", "x"}
    assert said["perod"] == "unknown parameter (did you mean 'period'?)"
    assert (await http.get("/v1/status", params={"x": "1"})).json()["detail"] == "x: unknown parameter; there is none"
    assert (await http.get("/healthz", params={"probe": "7"})).status_code == 200
