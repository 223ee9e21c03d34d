"""AWS Cost Explorer → lines of a bill: what each pool's tag cost on each day, by kind of record.

It knows no resources and no hours here, so that differences are told by pool and day alone; reports (CUR) tell more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from broker.model.bills import BillLine, LineClass, Measure
from broker.model.errors import InvalidInput
from broker.model.times import day_of
from pricing.bills.cells import POOL_TAG, amount, moment
from pricing.sources.aws.calls import asking, client

_COMPUTE: Final = "Amazon Elastic Compute Cloud - Compute"
_CLASSES: Final = {
    **dict.fromkeys(("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"), LineClass.USAGE),
    **dict.fromkeys(("Credit", "Refund", "SavingsPlanNegation"), LineClass.CREDIT),
    "Tax": LineClass.TAX,
}
_REGION: Final = "us-east-1"  # from where it answers for all


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
    explorer = client("ce", _REGION)
    page: dict[str, str] = {}
    while True:
        with asking("ce:GetCostAndUsage", _REGION):
            answer = explorer.get_cost_and_usage(**question, **page)
        yield from answer["ResultsByTime"]
        if not answer.get("NextPageToken"):
            return
        page = {"NextPageToken": answer["NextPageToken"]}


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
