"""Azure's retail price list over HTTP, from a server that pages and checks what it is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import Misconfigured, Unreachable
from broker.model.offers import Tier
from pricing.catalog_source import CatalogSource
from pricing.live.answer import Answer, Asked, Failure
from pricing.live.plausibility import Judge
from pricing.sources.azure import pages
from pricing.sources.azure.offers import offers
from pricing.sources.azure.provider import Azure
from pricing.sources.azure.sizes import SIZES, size
from tests.pricing.sources.listening import Request, Response, listening

DAY = date(2026, 11, 25)
H100 = "Standard_ND96isr_H100_v5"
T4 = "Standard_NC4as_T4_v3"
PER_PAGE = 2


def item(sku: str, usd: object, **changed: Any) -> dict[str, Any]:
    """One item, by its documented form."""
    usual = {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": usd,
        "unitPrice": usd,
        "armRegionName": "eastus",
        "location": "US East",
        "effectiveStartDate": "2026-06-01T00:00:00Z",
        "meterId": "m",
        "meterName": sku.removeprefix("Standard_"),
        "productId": "DZH318",
        "skuId": "DZH318/0001",
        "productName": "Virtual Machines NDsr H100 v5 Series",
        "skuName": sku,
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": sku,
    }
    return {**usual, **changed}


def reservation(sku: str, total: object, term: str) -> dict[str, Any]:
    return item(sku, total, type="Reservation", reservationTerm=term)


@dataclass(slots=True)
class AzureServer:
    items: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Response] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    next_link: str = ""  # instead of the true one

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if self.faults:
            return self.faults.pop(0)
        query = request.query
        assert query["api-version"] == "2023-01-01-preview"
        assert (query["currencyCode"], query["meterRegion"]) == ("'USD'", "'primary'")
        which = r"contains\(armSkuName, '(?P<part>\w+)'\)|armSkuName eq '(?P<sku>\w+)'"
        form = rf"serviceName eq 'Virtual Machines' and armRegionName eq '(?P<region>\w+)' and (?:{which})"
        if not (asked := re.fullmatch(form, query["$filter"])):
            return Response(status=400, body=b'{"Error": {"Message": "the filter is not understood"}}')
        there = [
            each
            for each in self.items
            if each["armRegionName"] == asked["region"]
            and (each["armSkuName"] == asked["sku"] or (asked["part"] and asked["part"] in each["armSkuName"]))
        ]
        begin = int(query.get("$skip", 0))
        link = None
        if begin + PER_PAGE < len(there):
            host = request.headers["host"]
            more = {**query, "$skip": str(begin + PER_PAGE)}
            link = self.next_link or f"http://{host}{request.path}?" + "&".join(
                f"{name}={value.replace(' ', '%20')}" for name, value in more.items()
            )
        page = {"BillingCurrency": "USD", "Items": there[begin : begin + PER_PAGE], "NextPageLink": link}
        return Response(body=json.dumps(page).encode())


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(pages, "LONGEST_PAUSE_S", 0.05)


@pytest.fixture
def server() -> AzureServer:
    return AzureServer(
        items=[
            item(H100, 98.32, savingsPlan=[{"unitPrice": 70.0, "retailPrice": 70.0, "term": "1 Year"}]),
            item(H100, 39.5, skuName=f"{H100} Spot"),
            item(H100, 12.0, skuName=f"{H100} Low Priority"),
            item(H100, 120.0, productName="Virtual Machines NDsr H100 v5 Series Windows"),
            item(H100, 90.0, type="DevTestConsumption"),
            reservation(H100, 1_100_000.0, "3 Years"),
            item(T4, 0.526, savingsPlan=[{"unitPrice": 0.4, "retailPrice": 0.4, "term": "1 Year"}]),
            reservation(T4, 2900.0, "1 Year"),
            reservation(T4, 5000.0, "5 Years"),
            item("Standard_NV6ads_A10_v5", 0.454),
            item("Standard_D4s_v5", 0.192, productName="Virtual Machines Dsv5 Series"),
        ]
    )


@pytest.fixture
def azure(server: AzureServer) -> Iterator[Azure]:
    with listening(server) as url:
        yield Azure(f"{url}/api/retail/prices")


def answer(azure: Azure, **changed: Any) -> Answer | Failure:
    (found,) = azure.answers(Asked(**{"regions": ("eastus",), "day": DAY, **changed}))
    return found


def prices(found: Answer | Failure) -> dict[tuple[str, Tier], Decimal]:
    assert isinstance(found, Answer), found
    return {(offer.sku, offer.tier): offer.usd_per_hour for offer in found.offers}


def test_all_tiers_of_all_pages(azure: Azure, server: AzureServer) -> None:
    found = answer(azure)
    assert prices(found) == {
        (H100, Tier.ON_DEMAND): Decimal("98.32"),
        (H100, Tier.SPOT): Decimal("39.5"),
        (H100, Tier.COMMIT_1Y): Decimal(70),  # no reservation for one year: the savings plan
        (H100, Tier.COMMIT_3Y): Decimal("41.856925418569"),  # the whole term's price by its hours
        (T4, Tier.ON_DEMAND): Decimal("0.526"),
        (T4, Tier.COMMIT_1Y): Decimal("0.331050228311"),
    }
    assert len(server.asked) == 5 and isinstance(found, Answer) and not found.refused
    assert [each.thing for each in found.left_out] == ["Standard_NV6ads_A10_v5"]
    assert len(Judge(CatalogSource().offers(), DAY).judged(found).offers) == 6


def test_a_machine_without_gpus_by_name(azure: Azure) -> None:
    found = answer(azure, skus=("Standard_D4s_v5",))
    assert prices(found)["Standard_D4s_v5", Tier.ON_DEMAND] == Decimal("0.192")
    assert (size("Standard_D4s_v5").cpus, size("Standard_D4s_v5").memory_gib) == (4, None)


def test_sizes_are_those_of_the_catalogue() -> None:
    for offer in CatalogSource().offers():
        if offer.provider == "azure" and offer.gpu_model:
            known = SIZES[offer.sku]
            assert (known.gpu_model, known.gpu_count, known.cpus) == (offer.gpu_model, offer.gpu_count, offer.cpus)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"currencyCode": "EUR"}, "is in 'EUR', not in USD"),
        ({"currencyCode": None}, "states no currency"),
        ({"unitOfMeasure": "1 Month"}, "is priced by '1 Month', not by the hour"),
        ({"retailPrice": 0.0}, "nothing is free"),
    ],
)
def test_an_item_that_is_no_price(azure: Azure, server: AzureServer, changed: dict[str, Any], reason: str) -> None:
    server.items = [item(H100, 98.32) | changed, item(T4, 0.526)]
    found = answer(azure)
    assert prices(found) == {(T4, Tier.ON_DEMAND): Decimal("0.526")}
    assert isinstance(found, Answer) and reason in found.refused[0].reason


def test_the_price_in_force_is_the_newest_that_has_begun(azure: Azure, server: AzureServer) -> None:
    server.items = [
        item(T4, 0.5, effectiveStartDate="2026-01-01T00:00:00Z"),
        item(T4, 0.6, effectiveStartDate="2026-11-01T00:00:00Z"),
        item(T4, 0.7, effectiveStartDate="2026-12-01T00:00:00Z"),
    ]
    assert prices(answer(azure)) == {(T4, Tier.ON_DEMAND): Decimal("0.6")}
    server.items.append(item(T4, 0.9, effectiveStartDate="2026-11-01T00:00:00Z"))
    found = answer(azure)
    assert isinstance(found, Answer) and found.refused[0].reason == "has two prices, $0.6 and $0.9"


def test_a_region_can_not_say_more_than_its_name(azure: Azure) -> None:
    failed = answer(azure, regions=("eastus' or serviceName eq 'Storage",))
    assert isinstance(failed, Failure) and isinstance(failed.error, Misconfigured)


def test_busy_and_broken_answers_are_asked_again(azure: Azure, server: AzureServer) -> None:
    server.faults = [
        Response(status=429, body=b"", headers={"Retry-After": "1"}),
        Response(status=503, body=b""),
        Response(body=b'{"Items": [{"armSku'),
    ]
    assert len(prices(answer(azure))) == 6


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Response(status=503, body=b""), Unreachable, "answered 503; ask again later"),
        (Response(status=404, body=b"gone"), Misconfigured, "refuses the question: 404 'gone'"),
        (Response(body=b"[]"), Unreachable, "no page of a price list"),
        (Response(body=b"<html>"), Unreachable, "answered half a page"),
        (Response(body=b'{"Items": [{}]}'), Unreachable, "not of the form that is known"),
    ],
)
def test_answers_that_are_none(
    azure: Azure, server: AzureServer, fault: Response, kind: type[Exception], says: str
) -> None:
    server.faults = [fault] * 9
    failed = answer(azure)
    assert isinstance(failed, Failure) and isinstance(failed.error, kind) and says in str(failed.error)
    assert len(server.asked) <= pages.TRIES


def test_nobody_there() -> None:
    failed = answer(Azure("http://127.0.0.1:9/api"))
    assert isinstance(failed, Failure) and isinstance(failed.error, Unreachable)


def test_a_page_elsewhere_is_not_followed(azure: Azure, server: AzureServer) -> None:
    server.next_link = "http://169.254.169.254/latest/meta-data"
    failed = answer(azure)
    assert isinstance(failed, Failure) and "which is not followed" in str(failed.error)


def test_a_list_without_end(azure: Azure, server: AzureServer) -> None:
    answer(azure)
    second = server.asked[1]
    server.next_link = f"http://{second.headers['host']}{second.path}?" + "&".join(
        f"{name}={value.replace(' ', '%20')}" for name, value in {**second.query, "$skip": "0"}.items()
    )
    failed = answer(azure)
    assert isinstance(failed, Failure) and "does not end after 2 pages" in str(failed.error)


texts = st.sampled_from(["", "Spot", "Windows", "1 Year", "3 Years", "1 Hour", "USD", H100, T4, "eastus"])
drawn = st.builds(
    item,
    st.sampled_from([H100, T4, "another"]),
    st.one_of(st.floats(), st.decimals(), st.none(), texts),
    skuName=texts,
    type=st.sampled_from(["Consumption", "Reservation", "else"]),
    reservationTerm=st.sampled_from(["1 Year", "3 Years", "5 Years", None]),
    currencyCode=st.sampled_from(["USD", "USD", "EUR", None]),
    effectiveStartDate=st.sampled_from(["2026-01-01", "2026-11-25", "2027-01-01"]),
)


@given(st.lists(drawn, max_size=8))
def test_whatever_is_listed_is_one_price_each_at_most(items: list[dict[str, Any]]) -> None:
    found, refused = offers(items, {H100, T4}, "eastus", DAY)
    assert len({offer.id for offer in found}) == len(found)
    assert all(offer.usd_per_hour > 0 and offer.valid_from == DAY for offer in found)
    assert len(found) + len(refused) <= len(items)
