"""Cost Explorer by the real client over HTTP: moto's server, and one that refuses."""

import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from broker.model.errors import Misconfigured, Unreachable
from broker.model.money import NS_PER_S
from pricing.bills.cost_explorer import CostExplorer
from tests.serving import serving

OCTOBER_NS = 1_790_812_800 * NS_PER_S  # 2026-10-01
DAY_NS = 86_400 * NS_PER_S


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def aws(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_COST_EXPLORER", f"http://{host}:{port}")
    yield f"http://{host}:{port}"
    server.stop()


def answer(*groups: tuple[str, str, str], more: str | None = None) -> dict[str, object]:
    found = {
        "ResultsByTime": [
            {
                "TimePeriod": {"Start": "2026-10-01", "End": "2026-10-02"},
                "Total": {},
                "Estimated": False,
                "Groups": [
                    {"Keys": [tag, record], "Metrics": {"AmortizedCost": {"Amount": cost, "Unit": "USD"}}}
                    for tag, record, cost in groups
                ],
            }
        ],
        "DimensionValueAttributes": [],
        "GroupDefinitions": [],
    }
    return found | ({"NextPageToken": more} if more else {})


def test_costs_by_pool_and_kind_of_record_page_by_page(aws: str) -> None:
    """Compute first, on two pages, then what is not compute."""
    pages = [
        answer(("broker_pool$gpus", "Usage", "12.5"), ("broker_pool$", "Usage", "3"), more="2"),
        answer(("broker_pool$gpus", "Credit", "-2"), ("broker_pool$gpus", "Tax", "0.1")),
        answer(("broker_pool$gpus", "Usage", "0.7")),
    ]
    body = json.dumps({"results": pages}).encode()
    path = "/moto-api/static/ce/cost-and-usage-results"
    request = urllib.request.Request(aws + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as said:
        assert said.status == 201
    lines = list(CostExplorer().fetch(OCTOBER_NS, OCTOBER_NS + DAY_NS))
    assert [(line.pool, line.what.value, line.cost) for line in lines] == [
        ("gpus", "usage", Decimal("12.5")),
        ("", "usage", Decimal(3)),
        ("gpus", "credit", Decimal(-2)),
        ("gpus", "tax", Decimal("0.1")),
        ("gpus", "other", Decimal("0.7")),
    ]
    assert {(line.started_ns, line.ended_ns) for line in lines} == {(OCTOBER_NS, OCTOBER_NS + DAY_NS)}


@pytest.fixture
def refusing(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, str]]]:
    """A service that answers with the errors of a list, the last again and again."""
    errors: list[tuple[int, str]] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, code = errors.pop(0) if len(errors) > 1 else errors[0]
            body = json.dumps({"__type": code, "message": "no"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    stop = serving(server)
    monkeypatch.setenv("AWS_ENDPOINT_URL_COST_EXPLORER", f"http://127.0.0.1:{server.server_port}")
    yield errors
    stop()


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        ((400, "AccessDeniedException"), Misconfigured, "permission ce:GetCostAndUsage"),
        ((400, "ExpiredTokenException"), Misconfigured, "renew"),
        ((400, "UnrecognizedClientException"), Misconfigured, "not valid"),
        ((400, "DataUnavailableException"), Misconfigured, "DataUnavailableException no"),
        ((400, "LimitExceededException"), Unreachable, "LimitExceeded"),
        ((500, "InternalFailure"), Unreachable, "InternalFailure"),
    ],
)
def test_refusals_are_told_apart(refusing: list[tuple[int, str]], error: tuple[int, str], kind, said: str) -> None:
    refusing.append(error)
    with pytest.raises(kind, match=said):
        list(CostExplorer().fetch(OCTOBER_NS, OCTOBER_NS + DAY_NS))


def test_without_credentials_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(Misconfigured, match="AWS_ACCESS_KEY_ID"):
        list(CostExplorer().fetch(OCTOBER_NS, OCTOBER_NS + DAY_NS))
