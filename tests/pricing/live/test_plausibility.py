from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.offers import BillingRule, Offer, Tier
from pricing.live.answer import Answer, Part
from pricing.live.plausibility import LIVE, MOST_MOVED, Judge, Judged
from tests.pricing.offers import DAY, offer, serverless

NOW = DAY
EARLIER = DAY - timedelta(days=9)
ON_DEMAND = Part(provider="aws", region="us-east-1", tiers=frozenset({Tier.ON_DEMAND}))
KNOWN = [
    offer(),
    offer(sku="p5.48xlarge", gpu_count=8, usd_per_hour=Decimal("55.04")),
    offer(sku="p5.48xlarge", gpu_count=8, usd_per_hour=Decimal("21.5"), tier=Tier.SPOT),
]


def fresh(**fields: object) -> Offer:
    return offer(valid_from=NOW, source=f"{LIVE}a test", **fields)


def judged(*offers: Offer, known: Sequence[Offer] = KNOWN, accepted: Sequence[str] = ()) -> Judged:
    return Judge(known, NOW).judged(Answer(part=ON_DEMAND, offers=offers), accepted)


def reason(*offers: Offer, known: Sequence[Offer] = KNOWN) -> str:
    """Why the last of them is refused; all others must be believed."""
    found = judged(*offers, known=known)
    assert len(found.offers) == len(offers) - 1
    (refused,) = found.refused
    return refused.reason


def test_what_moved_a_little_is_believed() -> None:
    moved = fresh(usd_per_hour=Decimal("7.50"))
    assert judged(moved) == Judged(offers=(moved,), refused=())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (fresh(usd_per_hour=Decimal("0.688")), "asks $0.688 an hour, 10.0 times off the last $6.88"),
        (fresh(usd_per_hour=Decimal("68.8")), "asks $68.8 an hour, 10.0 times off the last $6.88"),
        (fresh(sku="p5.48xlarge", gpu_count=12, usd_per_hour=Decimal(55)), "has 12 GPUs of 'H100'"),
        (fresh(gpu_count=2, usd_per_hour=Decimal(7)), "has 2 GPUs of 'H100', and had 1 GPUs of 'H100'"),
        (fresh(gpu_model="H200"), "has 1 GPUs of 'H200', and had 1 GPUs of 'H100'"),
        (fresh(sku="new", usd_per_hour=Decimal(40)), "asks $40.0000 per H100 and hour, 5.8 times off the usual $6.88"),
        (fresh(sku="new", usd_per_hour=Decimal(0)), "costs 0"),
        (fresh(sku="new", gpu_model="X1", usd_per_hour=Decimal("0.001")), "which is not between 0.02 and 100"),
        (fresh(sku="new", gpu_model="X1", usd_per_hour=Decimal(101)), "which is not between 0.02 and 100"),
        (fresh(sku="new", billing=BillingRule(granularity_s=86_400)), "is billed by"),
        (fresh(sku="m", gpu_model="", gpu_count=0, usd_per_hour=Decimal("0.01")), "per CPU and hour"),
        (fresh(tier=Tier.SPOT, usd_per_hour=Decimal("6.89")), "which is no less than $6.88 on demand"),
        (fresh(tier=Tier.SPOT, usd_per_hour=Decimal("0.60")), "less than a tenth of $6.88 on demand"),
        (fresh(tier=Tier.COMMIT_1Y), "which is no less than $6.88 on demand"),
        (fresh(sku="p5.48xlarge", gpu_count=8, tier=Tier.SPOT, usd_per_hour=Decimal("2.15")), "less than a tenth"),
    ],
)  # fmt: skip
def test_what_is_not_plausible_is_refused_with_its_reason(wrong: Offer, says: str) -> None:
    assert says in reason(wrong)


def test_the_reason_says_what_stays() -> None:
    assert reason(fresh(usd_per_hour=Decimal(70))).endswith("; the price of 2026-07-20 stays")
    assert reason(fresh(sku="new", usd_per_hour=Decimal(70))).endswith("; no price of it is known")


def test_spot_may_reach_the_on_demand_price() -> None:
    capped = fresh(tier=Tier.SPOT)
    assert judged(capped).offers == (capped,)


def test_a_new_model_is_believed_within_reason() -> None:
    new = fresh(sku="p9.48xlarge", gpu_model="X1", gpu_count=8, usd_per_hour=Decimal(90))
    assert judged(new).offers == (new,)


def test_an_on_demand_price_that_is_refused_judges_nobody() -> None:
    """A tenth of the price on demand does not make the true spot price look wrong."""
    wrong = fresh(sku="p5.48xlarge", gpu_count=8, usd_per_hour=Decimal("5.504"))
    spot = fresh(sku="p5.48xlarge", gpu_count=8, tier=Tier.SPOT, usd_per_hour=Decimal("22"))
    found = judged(spot, wrong)
    assert found.offers == (spot,) and [each.thing for each in found.refused] == [wrong.id]


def test_spot_is_judged_by_the_on_demand_price_of_its_own_answer() -> None:
    cheaper, spot = fresh(usd_per_hour=Decimal("4")), fresh(tier=Tier.SPOT, usd_per_hour=Decimal("5"))
    assert "no less than $4 on demand" in reason(spot, cheaper)


def test_rates_of_serverless_are_held_to_the_last_ones() -> None:
    assert "per CPU and hour, 4.2 times off" in reason(
        serverless(valid_from=NOW, usd_per_cpu_hour=Decimal("0.1")), known=[serverless()]
    )


def test_an_offer_twice() -> None:
    assert reason(fresh(), fresh()).startswith("is there twice")


def test_a_price_is_believed_where_a_person_says_so() -> None:
    moved = fresh(usd_per_hour=Decimal("60"))
    assert judged(moved, accepted=["aws/ec2/p5.4x*"]).offers == (moved,)
    assert judged(moved, accepted=["aws/ec2/p6*"]).offers == ()
    free = fresh(usd_per_hour=Decimal(0))
    assert judged(free, accepted=["*"]).offers == ()


def test_half_an_answer_is_none() -> None:
    before = [offer(sku=f"m{n}", source=f"{LIVE}a test", valid_from=EARLIER) for n in range(9)]
    four = [fresh(sku=f"m{n}") for n in range(4)]
    found = judged(*four, known=before)
    assert found.offers == ()
    assert "has 4 offers where 9 are known: half an answer is none" in found.refused[0].reason
    assert len(judged(*four, fresh(sku="m5"), known=before).offers) == 5


def test_the_bundled_facts_do_not_make_an_answer_look_short() -> None:
    bundled = [offer(sku=f"m{n}") for n in range(9)]
    assert len(judged(fresh(sku="m0"), known=bundled).offers) == 1


prices = st.decimals(min_value="0.05", max_value="500", places=4)


@given(now=prices, then=prices, days=st.integers(1, 400))
def test_a_believed_price_is_near_the_last_one(now: Decimal, then: Decimal, days: int) -> None:
    last = offer(usd_per_hour=then, valid_from=DAY - timedelta(days=days))
    believed = judged(fresh(usd_per_hour=now), known=[last]).offers
    assert bool(believed) == (max(now / then, then / now) <= MOST_MOVED)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(list(Tier)[:4]), prices), max_size=12))
def test_every_offer_is_believed_or_refused_once(drawn: list[tuple[str, Tier, Decimal]]) -> None:
    offers = [fresh(sku=sku, tier=tier, usd_per_hour=usd) for sku, tier, usd in drawn]
    found = judged(*offers)
    assert len(found.offers) + len(found.refused) == len(offers)
    assert len({each.id for each in found.offers}) == len(found.offers)
    on_demand = {each.sku: each.usd_per_hour for each in found.offers if each.tier is Tier.ON_DEMAND}
    for each in found.offers:
        assert each.usd_per_hour <= on_demand.get(each.sku, each.usd_per_hour)


@given(days=st.permutations([1, 5, 30]))
def test_the_last_price_is_the_newest_whatever_the_order(days: list[int]) -> None:
    known = [
        replace(offer(usd_per_hour=Decimal(days_ago)), valid_from=DAY - timedelta(days=days_ago)) for days_ago in days
    ]
    assert "off the last $1" in reason(fresh(usd_per_hour=Decimal(6)), known=known)


def test_a_price_of_tomorrow_is_no_last_price() -> None:
    late = replace(offer(usd_per_hour=Decimal(60)), valid_from=date(2099, 1, 1))
    assert judged(fresh(), known=[offer(), late]).offers
