"""AWS through the unmodified boto3, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from broker.model.errors import Misconfigured, Unreachable
from broker.model.offers import Tier
from pricing.catalog_source import CatalogSource
from pricing.live.answer import Answer, Asked, Failure
from pricing.live.history import PriceHistory
from pricing.live.refresh import refresh
from pricing.sources.aws.provider import Aws
from tests.pricing.sources.aws_server import ACCESS_KEY, AwsServer, Fault, product, rate, refuse, refuse_ec2, spot
from tests.pricing.sources.listening import Response, listening

DAY = date(2026, 11, 25)
NOON_S = 1_795_608_000  # of that day
ASKED = Asked(regions=("us-east-1",), day=DAY)
TYPES = {
    "g6.xlarge": ("L4", 1, 22888),
    "p4d.24xlarge": ("A100", 8, 40960),
    "p4de.24xlarge": ("A100", 8, 81920),
    "p5.48xlarge": ("H100", 8, 81920),
    "m6i.4xlarge": ("", 0, 0),
}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The test's key, and nobody's configuration or instance."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody's")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    aws = AwsServer(
        types=dict(TYPES),
        products=[
            product("g6.xlarge", "0.8048000000"),
            product("p5.48xlarge", "55.0400000000"),
            product("p4d.24xlarge", "21.957642"),
        ],
        spot=[
            spot("p5.48xlarge", "us-east-1a", "25.5"),
            spot("p5.48xlarge", "us-east-1a", "99", at="2026-11-24T10:00:00.000Z"),
            spot("p5.48xlarge", "us-east-1b", "21.5"),
            spot("g6.xlarge", "us-east-1a", "0.41"),
        ],
        rates=[rate("p5.48xlarge", "37.9"), rate("p5.48xlarge", "25.1", years=3), rate("g6.xlarge", "0.55")],
    )
    with listening(aws) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield aws


def answers(asked: Asked = ASKED) -> list[Answer | Failure]:
    return list(Aws().answers(asked))


def prices(found: Answer | Failure) -> dict[str, Decimal]:
    assert isinstance(found, Answer), found
    return {
        offer.sku + ("" if not offer.tier.is_commitment else f" {offer.tier}"): offer.usd_per_hour
        for offer in found.offers
    }


def test_all_pages_of_all_tiers(server: AwsServer) -> None:
    on_demand, at_once, committed = answers()
    assert prices(on_demand) == {
        "g6.xlarge": Decimal("0.8048"),
        "p5.48xlarge": Decimal("55.04"),
        "p4d.24xlarge": Decimal("21.957642"),
    }
    assert prices(at_once) == {"p5.48xlarge": Decimal("21.5"), "g6.xlarge": Decimal("0.41")}
    assert prices(committed) == {
        "p5.48xlarge commit_1y": Decimal("37.9"),
        "p5.48xlarge commit_3y": Decimal("25.1"),
        "g6.xlarge commit_1y": Decimal("0.55"),
    }
    assert server.asked.count("DescribeInstanceTypes") == 3 and server.asked.count("GetProducts") == 2


def test_an_offer_is_the_one_of_the_catalogue_as_of_today(server: AwsServer) -> None:
    on_demand, at_once, _ = answers()
    assert isinstance(on_demand, Answer) and isinstance(at_once, Answer)
    (h100,) = [offer for offer in on_demand.offers if offer.sku == "p5.48xlarge"]
    (known,) = [offer for offer in CatalogSource().offers() if offer.id == h100.id]
    assert (h100.gpu_model, h100.gpu_count, h100.billing) == (known.gpu_model, known.gpu_count, known.billing)
    assert (h100.valid_from, h100.source) == (
        DAY,
        "live: AWS Price List, sku SKUp5.48xlarge, published 2026-11-20T00:00:00Z",
    )
    assert "cheapest of 2 zones, us-east-1b; the dearest asks 25.5" in {offer.note for offer in at_once.offers}


def test_what_has_no_price_is_left_out_by_name(server: AwsServer) -> None:
    on_demand, *others = answers()
    assert isinstance(on_demand, Answer)
    assert {each.thing: each.reason for each in on_demand.left_out} == {
        "m6i.4xlarge": "has no price on demand",
        "p4de.24xlarge": "has no price on demand",
    }
    assert not any(each.left_out for each in others if isinstance(each, Answer))


def test_memory_tells_the_two_a100_apart(server: AwsServer) -> None:
    server.products.append(product("p4de.24xlarge", "27.44705"))
    on_demand, *_ = answers()
    assert isinstance(on_demand, Answer)
    models = {offer.sku: offer.gpu_model for offer in on_demand.offers}
    assert (models["p4d.24xlarge"], models["p4de.24xlarge"]) == ("A100-40GB", "A100-80GB")


def test_a_machine_without_gpus_is_asked_for_by_name(server: AwsServer) -> None:
    server.products.append(product("m6i.4xlarge", "0.768") | {"instanceFamily": "General purpose"})
    server.products[-1]["product"]["attributes"]["instanceFamily"] = "General purpose"
    without, with_it = answers()[0], answers(Asked(regions=("us-east-1",), skus=("m6i.4xlarge",), day=DAY))[0]
    assert "m6i.4xlarge" not in prices(without)
    assert prices(with_it)["m6i.4xlarge"] == Decimal("0.768")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (product("p5.48xlarge", "55.04", currency="CNY"), "is in 'CNY', not in USD"),
        (product("p5.48xlarge", "55.04", unit="Quantity"), "is priced by 'Quantity', not by the hour"),
        (product("p5.48xlarge", "0.0000000000"), "costs '0.0000000000': nothing is free"),
        (product("p5.48xlarge", "NaN"), "'NaN' is no amount"),
        (product("p5.48xlarge", "a lot"), "'a lot' is no number"),
        (product("p5.48xlarge", "55.04", region="us-west-2"), "is of us-west-2, which was not asked for"),
        (
            {"product": {"attributes": {"instanceType": "p5.48xlarge", "instanceFamily": "GPU instance"}}},
            "is not of the form",
        ),
    ],
)
def test_a_product_that_is_no_price_is_refused_with_its_reason(
    server: AwsServer, wrong: dict[str, object], reason: str
) -> None:
    server.products = [wrong, product("g6.xlarge", "0.8")]
    on_demand, *_ = answers()
    assert isinstance(on_demand, Answer)
    assert [offer.sku for offer in on_demand.offers] == ["g6.xlarge"]
    (refused,) = on_demand.refused
    assert reason in refused.reason and refused.thing == "p5.48xlarge us-east-1"


def test_what_is_listed_again_is_one_offer_and_at_another_price_none(server: AwsServer) -> None:
    server.rates += [rate("g6.xlarge", "0.55"), rate("p5.48xlarge", "26", years=3)]
    server.products.append(product("g6.xlarge", "0.80480"))
    on_demand, _, committed = answers()
    assert isinstance(committed, Answer) and len(prices(on_demand)) == 3
    assert prices(committed) == {"p5.48xlarge commit_1y": Decimal("37.9"), "g6.xlarge commit_1y": Decimal("0.55")}
    assert [each.reason for each in committed.refused] == ["has several prices, $25.1 and $26"]


def test_rates_that_are_no_prices(server: AwsServer) -> None:
    server.rates = [
        rate("p5.48xlarge", "37.9", currency="CNY"),
        rate("p5.48xlarge", "37.9", unit="Request"),
        rate("p5.48xlarge", "37.9", years=2),
        rate("p5.48xlarge", "11", usage_type="UnusedBox:p5.48xlarge"),
        rate("g6.xlarge", "0.55"),
    ]
    *_, committed = answers()
    assert isinstance(committed, Answer)
    assert [offer.sku for offer in committed.offers] == ["g6.xlarge"]
    assert [each.reason.split(":")[0] for each in committed.refused] == [
        "is in 'CNY', not in USD",
        "is priced by 'Request', not by the hour",
        "is for a term of 63072000 s, neither one year nor three",
    ]


@pytest.mark.parametrize(
    ("operation", "fault", "part", "says"),
    [
        ("GetProducts", refuse(400, "AccessDeniedException"), 0, "lack the permission pricing:GetProducts"),
        ("DescribeSpotPriceHistory", refuse_ec2(403, "UnauthorizedOperation"), 1, "ec2:DescribeSpotPriceHistory"),
        (
            "DescribeSavingsPlansOfferingRates",
            refuse(403, "AccessDeniedException"),
            2,
            "permission savingsplans:DescribeSavingsPlansOfferingRates",
        ),
    ],
)  # fmt: skip
def test_a_missing_permission_is_named_and_the_other_parts_come(
    server: AwsServer, operation: str, fault: Fault, part: int, says: str
) -> None:
    server.faults[operation] = [fault]
    found = answers()
    failed = found.pop(part)
    assert isinstance(failed, Failure) and isinstance(failed.error, Misconfigured) and says in str(failed.error)
    assert all(isinstance(each, Answer) and each.offers for each in found)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (refuse_ec2(403, "ExpiredToken"), "the credentials have expired (ExpiredToken): renew them"),
        (refuse_ec2(401, "AuthFailure"), "the credentials are not valid there (AuthFailure)"),
        (refuse_ec2(403, "UnauthorizedOperation"), "lack the permission ec2:DescribeInstanceTypes"),
    ],
)
def test_credentials_that_do_not_work(server: AwsServer, fault: Fault, says: str) -> None:
    server.faults["DescribeInstanceTypes"] = [fault]
    found = answers()
    assert len(found) == 3
    for each in found:
        assert isinstance(each, Failure) and isinstance(each.error, Misconfigured) and says in str(each.error)


def test_machines_described_in_another_way_fail_the_region_and_nothing_else(server: AwsServer) -> None:
    item = "<instanceTypeSet><item><instanceType>p9.large</instanceType></item></instanceTypeSet>"
    body = f"<DescribeInstanceTypesResponse>{item}</DescribeInstanceTypesResponse>".encode()
    server.faults["DescribeInstanceTypes"] = [lambda: Response(body=body)]
    found = answers(Asked(regions=("us-east-1", "us-west-2"), day=DAY))
    assert [isinstance(each, Answer) for each in found] == [False] * 3 + [True] * 3
    assert isinstance(found[0], Failure) and "not of the form that is known: KeyError" in str(found[0].error)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, server: AwsServer) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = answers()[0]
    assert isinstance(found, Failure) and "set AWS_ACCESS_KEY_ID" in str(found.error)
    assert server.asked == []


def test_throttling_and_errors_of_the_server_are_tried_again(server: AwsServer) -> None:
    server.faults["GetProducts"] = [refuse(400, "ThrottlingException"), refuse(503, "ServiceUnavailable")]
    assert len(prices(answers()[0])) == 3


def test_tries_have_an_end(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricing.sources.aws.calls.TRIES", 2)
    server.faults["GetProducts"] = [refuse(503, "ServiceUnavailable")] * 3
    failed = answers()[0]
    assert isinstance(failed, Failure) and isinstance(failed.error, Unreachable)
    assert "in 2 tries (ServiceUnavailable)" in str(failed.error) and len(server.faults["GetProducts"]) == 1


def test_half_an_answer_fails_the_part(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second page does not come: what the first one had is no answer."""
    monkeypatch.setattr("pricing.sources.aws.calls.TRIES", 1)
    first = server._products
    server.faults["GetProducts"] = [
        lambda: first({"Filters": [{"Type": "TERM_MATCH", "Field": "operatingSystem", "Value": "Linux"}]}),
        refuse(500, "InternalFailure"),
    ]
    failed, *others = answers()
    assert isinstance(failed, Failure) and isinstance(failed.error, Unreachable)
    assert all(isinstance(each, Answer) for each in others)


def test_a_page_that_comes_again_and_again_is_no_answer(server: AwsServer) -> None:
    again = Response(body=b'{"searchResults": [], "nextToken": "1"}')
    server.faults["DescribeSavingsPlansOfferingRates"] = [lambda: again] * 3
    failed = answers()[2]
    assert isinstance(failed, Failure) and "repeats a page" in str(failed.error)


def test_moto_knows_the_machines_and_its_made_up_spot_prices_are_not_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every spot price of moto is $0.00001; its Price List and Savings Plans do not exist."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*moto.get_host_and_port()))
        monkeypatch.setattr("pricing.sources.aws.calls.TRIES", 1)
        history = PriceHistory(tmp_path / "prices.db")
        outcomes = list(refresh(Aws(), CatalogSource().offers(), history, lambda: NOON_S, regions=("us-east-1",)))
    finally:
        moto.stop()
    on_demand, at_once, committed = outcomes
    assert on_demand.error and committed.error
    assert at_once.offers == 0 and len(at_once.refused) > 40
    (h100,) = [each for each in at_once.refused if each.thing == "aws/ec2/p5.48xlarge/us-east-1/spot"]
    assert "less than a tenth of $55.04 on demand" in h100.reason
    assert "the price of 2025-09-01 stays" in h100.reason
    assert history.prices() == []


def test_tiers_of_the_parts() -> None:
    """On demand first: the others are judged by it."""
    from pricing.sources.aws.provider import QUESTIONS

    assert [sorted(tiers) for tiers, _ in QUESTIONS] == [
        [Tier.ON_DEMAND],
        [Tier.SPOT],
        [Tier.COMMIT_1Y, Tier.COMMIT_3Y],
    ]
