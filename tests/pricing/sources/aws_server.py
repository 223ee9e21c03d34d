"""EC2, the Price List and Savings Plans over HTTP, as far as prices need them; strict about what it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.pricing.sources.listening import Request, Response

ACCESS_KEY = "AKIATESTINGPRICES"
PRICE_LIST_FIELDS = {
    "capacitystatus",
    "instanceFamily",
    "instanceType",
    "marketoption",
    "operatingSystem",
    "preInstalledSw",
    "regionCode",
    "tenancy",
}
PER_PAGE = 2

Fault = Callable[[], Response]


def product(sku: str, usd: object, region: str = "us-east-1", **changed: Any) -> dict[str, Any]:
    """One product of the Price List."""
    dimension = {"unit": changed.get("unit", "Hrs"), "pricePerUnit": {changed.get("currency", "USD"): str(usd)}}
    attributes = {
        "instanceType": sku,
        "regionCode": region,
        "operatingSystem": "Linux",
        "instanceFamily": "GPU instance",
    }
    return {
        "product": {"productFamily": "Compute Instance", "attributes": attributes, "sku": f"SKU{sku}"},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {"T": {"priceDimensions": {"D": dimension}, "termAttributes": {}}}},
        "publicationDate": "2026-11-20T00:00:00Z",
    }


def spot(sku: str, zone: str, usd: object, at: str = "2026-11-25T10:00:00.000Z") -> dict[str, str]:
    return {
        "instanceType": sku,
        "availabilityZone": zone,
        "spotPrice": str(usd),
        "timestamp": at,
        "productDescription": "Linux/UNIX",
    }


def rate(sku: str, usd: object, years: int = 1, region: str = "us-east-1", **changed: Any) -> dict[str, Any]:
    """One rate of a Savings Plan."""
    properties = {"instanceType": sku, "region": region, "tenancy": "shared", "productDescription": "Linux/UNIX"}
    return {
        "savingsPlanOffering": {
            "offeringId": f"plan-{years}",
            "paymentOption": "No Upfront",
            "planType": "EC2Instance",
            "durationSeconds": years * 31_536_000,
            "currency": changed.get("currency", "USD"),
        },
        "rate": str(usd),
        "unit": changed.get("unit", "Hrs"),
        "productType": "EC2",
        "serviceCode": "AmazonEC2",
        "usageType": changed.get("usage_type", f"BoxUsage:{sku}"),
        "operation": "RunInstances",
        "properties": [{"name": name, "value": value} for name, value in properties.items()],
    }


@dataclass(slots=True)
class AwsServer:
    """Call it with a request. `faults` has, by operation, what is answered instead, once each."""

    types: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # GPU, how many, MiB of each
    products: list[dict[str, Any]] = field(default_factory=list)
    spot: list[dict[str, str]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # operations, in order

    def __call__(self, request: Request) -> Response:
        assert ACCESS_KEY in request.headers.get("authorization", ""), "the request is not signed with the test's key"
        operation, question = _operation(request)
        self.asked.append(operation)
        if waiting := self.faults.get(operation):
            return waiting.pop(0)()
        return {
            "DescribeInstanceTypes": self._types,
            "DescribeSpotPriceHistory": self._spot,
            "GetProducts": self._products,
            "DescribeSavingsPlansOfferingRates": self._rates,
        }[operation](question)

    def _types(self, question: dict[str, Any]) -> Response:
        assert question["Filter.1.Name"] == "instance-type"
        names, token = _page(sorted(self.types), question.get("NextToken"))
        items = "".join(_type(name, *self.types[name]) for name in names)
        return _xml("DescribeInstanceTypes", f"<instanceTypeSet>{items}</instanceTypeSet>{_token(token)}")

    def _spot(self, question: dict[str, Any]) -> Response:
        wanted = {value for name, value in question.items() if name.startswith("InstanceType.")}
        products = {value for name, value in question.items() if name.startswith("ProductDescription.")}
        assert "Linux/UNIX" in products and "StartTime" in question and wanted
        there = [each for each in self.spot if each["instanceType"] in wanted]
        entries, token = _page(there, question.get("NextToken"))
        items = "".join(
            "<item>" + "".join(f"<{name}>{value}</{name}>" for name, value in each.items()) + "</item>"
            for each in entries
        )
        return _xml("DescribeSpotPriceHistory", f"<spotPriceHistorySet>{items}</spotPriceHistorySet>{_token(token)}")

    def _products(self, question: dict[str, Any]) -> Response:
        filters = {each["Field"]: each["Value"] for each in question["Filters"] if each["Type"] == "TERM_MATCH"}
        assert set(filters) <= PRICE_LIST_FIELDS and filters["operatingSystem"] == "Linux", filters
        wanted = {name: filters[name] for name in ("instanceFamily", "instanceType") if name in filters}
        there = [json.dumps(each) for each in self.products if wanted.items() <= each["product"]["attributes"].items()]
        page, token = _page(there, question.get("NextToken"))
        return _json({"PriceList": page, "FormatVersion": "aws_v1", **({"NextToken": token} if token else {})})

    def _rates(self, question: dict[str, Any]) -> Response:
        filters = {each["name"]: each["values"] for each in question["filters"]}
        assert set(filters) == {"region", "instanceType", "tenancy", "productDescription"}
        there = [
            each
            for each in self.rates
            if each["properties"][0]["value"] in filters["instanceType"]
            and each["savingsPlanOffering"]["paymentOption"] in question["savingsPlanPaymentOptions"]
        ]
        page, token = _page(there, question.get("nextToken"))
        return _json({"searchResults": page, **({"nextToken": token} if token else {})})


def refuse(status: int, code: str, message: str = "for a test") -> Fault:
    """An error as any of the three services writes it: the client reads what it knows."""

    def answer() -> Response:
        body = json.dumps({"__type": code, "message": message}).encode()
        return Response(body=body, status=status, headers={"x-amzn-errortype": code})

    return answer


def refuse_ec2(status: int, code: str, message: str = "for a test") -> Fault:
    """The same of EC2, which speaks XML."""
    text = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
    return lambda: Response(body=text.encode(), status=status)


def _operation(request: Request) -> tuple[str, dict[str, Any]]:
    if target := request.headers.get("x-amz-target"):
        return target.removeprefix("AWSPriceListService."), json.loads(request.body)
    if request.path != "/":
        return request.path.removeprefix("/"), json.loads(request.body)
    question = dict(parse_qsl(request.body.decode()))
    return question["Action"], question


def _page(there: list[Any], token: str | None) -> tuple[list[Any], str | None]:
    begin = int(token or 0)
    more = begin + PER_PAGE < len(there)
    return there[begin : begin + PER_PAGE], str(begin + PER_PAGE) if more else None


def _type(name: str, gpu: str, count: int, mib: int) -> str:
    model = f"<name>{gpu}</name><manufacturer>NVIDIA</manufacturer><count>{count}</count>"
    memory = f"<memoryInfo><sizeInMiB>{mib}</sizeInMiB></memoryInfo>"
    gpus = f"<gpuInfo><gpus><item>{model}{memory}</item></gpus></gpuInfo>" if count else ""
    return (
        f"<item><instanceType>{name}</instanceType><vCpuInfo><defaultVCpus>16</defaultVCpus></vCpuInfo>"
        f"<memoryInfo><sizeInMiB>{64 * 1024}</sizeInMiB></memoryInfo>{gpus}</item>"
    )


def _token(token: str | None) -> str:
    return f"<nextToken>{token}</nextToken>" if token else ""


def _xml(operation: str, inside: str) -> Response:
    text = f'<{operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{inside}</{operation}Response>'
    return Response(body=text.encode(), headers={"Content-Type": "text/xml"})


def _json(document: dict[str, Any]) -> Response:
    return Response(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"})
