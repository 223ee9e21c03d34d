"""Bills against ledgers: what agrees, what is missing, and that corrections bring one to the other, once."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from broker.decide.reconcile import DAY_NS, gather
from broker.model.bills import Cause, LineClass, Measure, Standing
from broker.model.money import NS_PER_HOUR, NS_PER_S, ZERO, Money
from broker.model.usage import ChargeKind
from tests.decide.reconcile.books import NODE, actual, billed, compared, corrected, metered

COST = st.decimals(min_value=0, max_value=100, places=7)
line = st.builds(
    lambda cost, day, days, **fields: billed(str(cost), day, **fields)._replace(ended_ns=(day + days) * DAY_NS),
    cost=COST,
    day=st.integers(0, 3),
    days=st.sampled_from([1, 1, 1, 2]),
    resource=st.sampled_from(["n1", "n2", "arn:aws:ec2:us-east-1:1:instance/n3", "vol-1", ""]),
    pool=st.sampled_from(["", "home", "cloud"]),
    attempt=st.sampled_from(["", "a-a1", "z-a9"]),
    what=st.sampled_from(LineClass),
    measure=st.sampled_from(Measure),
    quantity=st.none() | st.decimals(min_value=0, max_value=24, places=4),
)
owned = st.builds(
    metered,
    usd=COST.map(str),
    day=st.integers(0, 3),
    pool=st.just("home"),
    unit_id=st.sampled_from(["n1", "n2", "n3", "n4"]),
    attempt_id=st.sampled_from([None, "a-a1", "b-a1"]),
    kind=st.sampled_from([ChargeKind.JOB, ChargeKind.IDLE, ChargeKind.ROUNDING]),
    unknown=st.sampled_from([0, 0, 2]),
    offer=st.sampled_from([NODE, None]),
)
ledgers = st.lists(owned, max_size=8, unique_by=lambda x: (x.unit_id, x.attempt_id, x.kind, x.day_ns))
bills = st.lists(line, min_size=1, max_size=10)


@given(bills, ledgers, st.booleans())
def test_corrections_bring_the_ledger_to_the_bill_and_a_repeat_changes_nothing(bill, ledger, complete) -> None:
    found = compared(bill, ledger, complete=complete)
    after = corrected(ledger, found.corrections)
    again = compared(bill, after, complete=complete)
    assert again.corrections == ()
    for each in again.comparisons:
        if complete or each.standing is not Standing.NOT_BILLED:
            assert each.metered + each.corrected == each.billed


@given(bills, bills, ledgers.map(lambda lines: [replace(each, offer=NODE) for each in lines]))
def test_a_restated_bill_replaces_the_earlier_one(first, second, ledger) -> None:
    """Whatever was recorded before, what is on the new bill ends as if it had been the only one."""
    covering = [billed("0", day, resource="", quantity=Decimal(0)) for day in range(5)]
    once = corrected(ledger, compared([*second, *covering], ledger, complete=True).corrections)
    before = corrected(ledger, compared([*first, *covering], ledger, complete=True).corrections)
    twice = corrected(before, compared([*second, *covering], before, complete=True).corrections)
    assert actual(twice) == actual(once)
    back = corrected(twice, compared([*first, *covering], twice, complete=True).corrections)
    assert actual(back) == actual(before)


@st.composite
def mostly_agreeing(draw):
    """A ledger, and a bill that has most of it to the nanodollar."""
    ledger = draw(ledgers)
    units = {(each.unit_id, each.day_ns): ZERO for each in ledger}
    for each in ledger:
        units[each.unit_id, each.day_ns] += each.metered
    bill = [billed(str(cost.usd), day // DAY_NS, resource=unit) for (unit, day), cost in units.items()]
    return draw(bills) + [each for each in bill if draw(st.integers(0, 3))], ledger


@given(mostly_agreeing() | st.tuples(bills, ledgers), st.booleans())
def test_what_agrees_can_be_taken_out_day_by_day(books, complete) -> None:
    bill, ledger = books
    by_day, at_once = (compared(bill, ledger, complete=complete, at_once=once) for once in (False, True))
    assert by_day == at_once


@given(bills, ledgers)
def test_causes_add_up_to_the_difference(bill, ledger) -> None:
    for each in compared(bill, ledger).comparisons:
        assert Money.total(each.causes.values()) == (ZERO if each.standing is Standing.NOT_BILLED else each.difference)


@given(st.data(), bills, ledgers)
def test_the_order_of_lines_makes_no_difference(data, bill, ledger) -> None:
    shuffled = data.draw(st.permutations(bill))
    one, other = compared(bill, ledger), compared(shuffled, list(reversed(ledger)))
    amounts = [[each.charge.amount for each in found.corrections] for found in (one, other)]
    assert amounts[0] == amounts[1]
    assert (one.billed, one.later) == (other.billed, other.later)


@given(bills, ledgers)
def test_every_cent_of_the_bill_is_somewhere(bill, ledger) -> None:
    found = compared(bill, ledger, until_ns=9 * DAY_NS)
    known = Money.total(each.billed for each in found.comparisons)
    known += Money.total(each.amount for each in (*found.elsewhere, *found.agreed))
    assert abs((known - found.billed).nanodollars) <= 4 * len(bill)


def cause_of(bill, ledger) -> dict[Cause, Money]:
    (found,) = compared(bill if isinstance(bill, list) else [bill], ledger).comparisons
    return found.causes


def usd(amount: str) -> Money:
    return Money.of_usd(amount)


def test_what_agrees_matches_and_needs_no_correction() -> None:
    found = compared([billed("48")], [metered("48")])
    assert (found.comparisons, found.corrections) == ((), ())
    assert [(each.pool, each.number, each.amount) for each in found.agreed] == [("home", 1, usd("48"))]


def test_another_price_is_a_rate_and_another_time_a_quantity() -> None:
    assert cause_of(billed("50.4"), [metered("48")]) == {Cause.RATE: usd("2.4")}
    assert cause_of(billed("44", quantity=Decimal(22)), [metered("48")]) == {Cause.QUANTITY: usd("-4")}
    both = cause_of(billed("44", quantity=Decimal(20)), [metered("48")])
    assert both == {Cause.QUANTITY: usd("-8"), Cause.RATE: usd("4")}


def test_the_bill_s_last_digit_and_its_granularity_are_rounding() -> None:
    assert cause_of(billed("48.01"), [metered("48.0125")]) == {Cause.ROUNDING: usd("-0.0025")}
    second = Decimal(1) / 3600
    longer = billed("48.000555556", quantity=Decimal(24) + second)
    assert set(cause_of(longer, [metered("48")])) == {Cause.ROUNDING}


def test_credits_taxes_and_traffic_are_told_apart() -> None:
    lines = [
        billed("48"),
        billed("-3", what=LineClass.CREDIT, measure=Measure.NONE, quantity=None),
        billed("1.5", what=LineClass.TAX, measure=Measure.NONE, quantity=None),
        billed("0.7", what=LineClass.OTHER, measure=Measure.NONE, quantity=None),
    ]
    assert cause_of(lines, [metered("48")]) == {
        Cause.CREDIT: usd("-3"), Cause.TAX: usd("1.5"), Cause.OTHER: usd("0.7"),
    }  # fmt: skip
    found = compared(lines, [metered("48")])
    assert {each.charge.kind: each.charge.amount for each in found.corrections} == {
        ChargeKind.JOB: usd("-1.5"), ChargeKind.OTHER: usd("0.7"),
    }  # fmt: skip


def test_a_bill_without_hours_can_t_tell_why() -> None:
    assert cause_of(billed("50", measure=Measure.NONE, quantity=None), [metered("48")]) == {Cause.UNKNOWN: usd("2")}


def test_parts_of_a_machine_are_its_hours() -> None:
    """As Google bills: cores, memory and GPUs apart."""
    offer = replace(NODE, gpu_count=8, cpus=100, memory_gib=None)
    parts = [
        billed("30", measure=Measure.GPU, quantity=Decimal(8 * 12)),
        billed("6", measure=Measure.CPU, quantity=Decimal(100 * 12)),
    ]
    found = cause_of(parts, [metered("24", duration_ns=12 * NS_PER_HOUR, offer=offer)])
    assert found == {Cause.RATE: usd("12")}


def test_a_cost_that_was_not_known_is_told_and_resolved() -> None:
    free = metered("0", unknown=3, offer=None)
    found = compared([billed("48")], [free])
    assert found.comparisons[0].causes == {Cause.RATE: usd("48")}
    (one,) = found.corrections
    assert (one.resolves, one.charge.amount, one.charge.offer.provider) == (3, usd("48"), "aws")


def test_corrections_keep_the_proportions_of_what_was_metered() -> None:
    ledger = [metered("30", attempt_id="a-a1"), metered("18", kind=ChargeKind.IDLE)]
    found = compared([billed("24")], ledger)
    assert {each.charge.attempt_id: each.charge.amount for each in found.corrections} == {
        "a-a1": usd("-15"), None: usd("-9"),
    }  # fmt: skip


def test_what_is_missing_on_either_side() -> None:
    bill = [billed("48"), billed("5", resource="i-leaked", pool="home")]
    found = compared(bill, [metered("48"), metered("48", unit_id="n2")])
    assert [(each.unit_id, each.standing) for each in found.comparisons] == [("", Standing.MATCHED)]
    assert [each.number for each in found.agreed] == [1]
    only_known = compared([billed("48")], [metered("48"), metered("48", unit_id="n2")])
    assert [each.standing for each in only_known.comparisons] == [Standing.NOT_BILLED]
    assert only_known.corrections == ()
    none_metered = compared(bill, [metered("48")])
    assert [each.standing for each in none_metered.comparisons] == [Standing.NOT_METERED]
    (leak,) = none_metered.corrections
    assert (leak.charge.kind, leak.charge.amount) == (ChargeKind.OTHER, usd("5"))


def test_what_a_complete_bill_does_not_have_was_not_billed() -> None:
    found = compared([billed("48")], [metered("48"), metered("48", unit_id="n2")], complete=True)
    assert [each.charge.amount for each in found.corrections] == [usd("-48")]


def test_storage_of_a_pool_says_nothing_about_its_nodes() -> None:
    volume = billed("2", resource="vol-1", pool="home", what=LineClass.OTHER, measure=Measure.NONE, quantity=None)
    found = compared([volume, billed("0.1", resource="", pool="other")], [metered("48")])
    assert {(each.pool, each.standing) for each in found.comparisons} == {
        ("home", Standing.NOT_BILLED), ("home", Standing.NOT_METERED), ("other", Standing.NOT_METERED),
    }  # fmt: skip


def test_another_s_machines_are_elsewhere() -> None:
    found = compared([billed("48"), billed("7", resource="i-others")], [metered("48")])
    assert [(each.service, each.amount) for each in found.elsewhere] == [("EC2", usd("7"))]
    assert found.corrections == ()


def test_a_pool_of_another_provider_is_not_missed() -> None:
    elsewhere = metered("48", pool="cloud", unit_id="c1", offer=replace(NODE, provider="modal"))
    assert compared([billed("48")], [metered("48"), elsewhere], complete=True).comparisons == ()


def test_the_last_day_is_compared_once_the_bill_covers_it() -> None:
    half = billed("24", 1)._replace(ended_ns=DAY_NS + 12 * NS_PER_HOUR, quantity=Decimal(12))
    ledger = [metered("48"), metered("48", 1)]
    found = compared([billed("48"), half], ledger)
    assert (found.later, found.corrections, found.comparisons) == (1, (), ())
    told = compared([billed("48"), half], ledger, until_ns=2 * DAY_NS)
    assert [each.charge.amount for each in told.corrections] == [usd("-24")]


def test_a_tax_of_a_month_does_not_say_that_the_month_is_over() -> None:
    tax = billed("3", what=LineClass.TAX, pool="home", resource="")._replace(ended_ns=30 * DAY_NS)
    assert compared([billed("48"), tax], [metered("48")]).until_ns == DAY_NS


def test_two_clocks_at_midnight_are_one_day() -> None:
    """We saw the node 5 s before midnight, the provider only after."""
    early = metered("0.002777778", 0, started_ns=DAY_NS - 5 * NS_PER_S, ended_ns=DAY_NS, duration_ns=5 * NS_PER_S)
    other = billed("1", 0, resource="")
    found = compared([billed("48.002777778", 1), other], [early, metered("48", 1)])
    assert (found.comparisons, [each.number for each in found.agreed]) == ((), [1])


def test_lines_of_many_days_are_compared_with_all_of_them() -> None:
    month = billed("144", quantity=Decimal(72))._replace(ended_ns=3 * DAY_NS)
    found = compared([month], [metered("48", day) for day in range(3)], until_ns=3 * DAY_NS)
    assert (found.comparisons, [each.amount for each in found.agreed]) == ((), [usd("144")])


def test_keys_of_corrections_never_repeat() -> None:
    """From one bill to another and back: each step is a charge of its own."""
    ledger, keys = [metered("48")], []
    for cost in ("50", "49", "50", "49"):
        (one,) = compared([billed(cost)], ledger).corrections
        keys.append(one.charge.key)
        ledger = corrected(ledger, [one])
    assert len(set(keys)) == 4
    assert actual(ledger) == usd("49")


def test_a_million_lines_are_kept_as_sums() -> None:
    bill = gather(billed("1", resource="n1") for _ in range(1_000))
    assert (len(bill.owned), bill.cost) == (1, Decimal(1_000))
