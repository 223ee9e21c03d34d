"""AWS Cost Explorer → lines of a bill: what each pool's tag cost on each day, by kind of record.

It knows no resources and no hours here, so that differences are told by pool and day alone; reports (CUR) tell more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from broker.model.bills import BillLine, LineClass, Measure
from broker.model.errors import InvalidInput, Misconfigured, Unreachable
from broker.model.times import day_of
from pricing.bills.cells import POOL_TAG, amount, moment

_COMPUTE: Final = "Amazon Elastic Compute Cloud - Compute"
_CLASSES: Final = {
    **dict.fromkeys(("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"), LineClass.USAGE),
    **dict.fromkeys(("Credit", "Refund", "SavingsPlanNegation"), LineClass.CREDIT),
    "Tax": LineClass.TAX,
}
_NEEDS: Final = "it needs the permission ce:GetCostAndUsage"
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException"})


class CostExplorer:
    """Asks AWS, with the credentials that boto3 finds."""

    name = "aws-cost-explorer"

    def fetch(self, since_ns: int, until_ns: int, *, billed: bool = False) -> Iterator[BillLine]:
        """The lines of whole days. Raises `Misconfigured`, `Unreachable`, and `InvalidInput` for another currency."""
        metric = "UnblendedCost" if billed else "AmortizedCost"
        question = {
            "TimePeriod": {"Start": day_of(since_ns).isoformat(), "End": day_of(until_ns).isoformat()},
            "Granularity": "DAILY",
            "Metrics": [metric],
            "GroupBy": [{"Type": "TAG", "Key": POOL_TAG}, {"Type": "DIMENSION", "Key": "RECORD_TYPE"}],
        }
        compute = {"Dimensions": {"Key": "SERVICE", "Values": [_COMPUTE]}}
        for wanted, metered in ((compute, True), ({"Not": compute}, False)):
            for day in _pages(question | {"Filter": wanted}):
                yield from _lines(day, metric, metered)


def _pages(question: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise Misconfigured("Cost Explorer needs boto3: pip install gpu-broker[aws]") from error
    page: dict[str, str] = {}
    try:
        client = boto3.Session().client("ce", region_name="us-east-1", config=Config(retries={"mode": "standard"}))
        while True:
            answer = client.get_cost_and_usage(**question, **page)
            yield from answer["ResultsByTime"]
            if not answer.get("NextPageToken"):
                return
            page = {"NextPageToken": answer["NextPageToken"]}
    except ClientError as error:
        raise _explained(error) from error
    except BotoCoreError as error:
        if "credentials" in str(error).lower():
            raise Misconfigured(f"AWS: {error}; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret") from error
        raise Unreachable(f"AWS Cost Explorer does not answer: {error}; try again later") from error


def _explained(error: Any) -> Misconfigured | Unreachable:
    code = error.response["Error"]["Code"]
    if code in _DENIED:
        return Misconfigured(f"AWS refuses Cost Explorer: {error}; {_NEEDS}")
    if code in _EXPIRED:
        return Misconfigured(f"AWS does not take these credentials: {error}; renew them")
    return Unreachable(f"AWS Cost Explorer: {error}")


def _lines(day: Mapping[str, Any], metric: str, metered: bool) -> Iterator[BillLine]:
    started_ns, ended_ns = (moment(day["TimePeriod"][end]) for end in ("Start", "End"))
    for group in day["Groups"]:
        tag, record = group["Keys"]
        paid = group["Metrics"][metric]
        if paid["Unit"] != "USD":
            raise InvalidInput(f"AWS bills in {paid['Unit']}: only bills in USD can be held against the ledger")
        what = _CLASSES.get(record, LineClass.OTHER)
        yield BillLine(
            provider="aws",
            resource="",
            pool=tag.partition("$")[2],
            attempt="",
            started_ns=started_ns,
            ended_ns=ended_ns,
            what=LineClass.OTHER if what is LineClass.USAGE and not metered else what,
            measure=Measure.NONE,
            quantity=None,
            cost=amount(paid["Amount"]),
            service=_COMPUTE if metered else "other services",
        )
