"""The charges of a job as lines: nothing is lost, nothing counted twice, and one line for each kind and pool."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from broker.decide.charged import charged
from broker.model.money import ZERO, Money
from broker.model.usage import Book, Charge, ChargeKind
from tests.run.past import COMMIT, RAY

HOUR_NS = 3_600 * 10**9


def slice_of(number: int, **changes: object) -> Charge:
    """One settlement's charge for an hour of a job."""
    whole = Charge(
        key=f"k{number:04}",
        book=Book.METERED,
        kind=ChargeKind.JOB,
        pool="ray",
        unit_id="n1",
        attempt_id="j-a1",
        started_ns=number * HOUR_NS,
        ended_ns=(number + 1) * HOUR_NS,
        amount=Money(number + 1),
        offer=RAY.offers[0],
    )
    return replace(whole, **changes)


CHARGES = st.lists(
    st.builds(
        slice_of,
        st.integers(0, 400),
        kind=st.sampled_from(ChargeKind),
        pool=st.sampled_from(["ray", "burst"]),
        book=st.sampled_from([Book.METERED, Book.CORRECTION]),
        amount=st.none() | st.integers(-(10**12), 10**12).map(Money),
        offer=st.sampled_from([None, RAY.offers[0], COMMIT]),
    ),
    max_size=40,
)


@given(CHARGES)
def test_lines_are_the_charges(charges: list[Charge]) -> None:
    lines = charged(charges)
    assert sum((line.amount or ZERO for line in lines), ZERO) == sum((each.amount or ZERO for each in charges), ZERO)
    assert sum(line.count for line in lines) == len(charges)
    assert sum(line.unknown for line in lines) == sum(each.amount is None for each in charges)
    assert len({(line.kind, line.pool, line.book) for line in lines}) == len(lines)
    for line in lines:
        assert (line.amount is None) == (line.unknown == line.count)


def test_a_day_in_slices_is_one_line_from_its_first_to_its_last() -> None:
    lines = charged([slice_of(number) for number in reversed(range(288))])
    assert len(lines) == 1
    (line,) = lines
    assert (line.started_ns, line.ended_ns, line.count) == (0, 288 * HOUR_NS, 288)
    assert line.amount == Money(288 * 289 // 2)
    assert line.offers == RAY.offers


def test_a_price_that_changed_is_there_twice_and_a_correction_is_a_line_of_its_own() -> None:
    dearer = replace(RAY.offers[0], valid_from=RAY.offers[0].valid_from.replace(year=2021))
    bill = slice_of(2, book=Book.CORRECTION, offer=None, amount=Money(-1))
    metered, corrected = charged([slice_of(0), slice_of(1, offer=dearer), bill])
    assert metered.offers == (RAY.offers[0], dearer)
    assert (corrected.book, corrected.amount) == (Book.CORRECTION, Money(-1))
