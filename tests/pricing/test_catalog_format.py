from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import InvalidInput
from broker.model.offers import BillingRule, Offer, Tier
from pricing.catalog_format import COLUMNS, offer_id, read, write
from tests.pricing.offers import offer, serverless

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1, max_size=12
)
PROSE = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
USD = st.decimals("0.0001", 1_000, places=6)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    tier = draw(st.sampled_from([tier for tier in Tier if tier is not Tier.OWNED]))
    return offer(
        provider=draw(WORDS),
        product=draw(WORDS),
        sku=draw(WORDS),
        region=draw(st.one_of(st.just(""), WORDS)),
        tier=tier,
        gpu_model=draw(st.sampled_from(["", "H100", "A100-80GB"])),
        gpu_count=float(draw(st.integers(0, 16))),
        cpus=draw(st.one_of(st.none(), st.integers(1, 512).map(float))),
        memory_gib=draw(st.one_of(st.none(), st.integers(1, 4096).map(float))),
        usd_per_hour=draw(USD),
        usd_per_cpu_hour=draw(st.one_of(st.none(), USD)),
        usd_per_gib_hour=draw(st.one_of(st.none(), USD)),
        billing=BillingRule(granularity_s=draw(st.integers(1, 3600)), minimum_s=draw(st.integers(0, 3600))),
        valid_from=draw(st.dates(date(2020, 1, 1), date(2030, 1, 1))),
        source=draw(WORDS),
        note=draw(PROSE),
    )


@given(st.lists(offers(), max_size=4))
def test_what_is_written_is_read(made: list[Offer]) -> None:
    text = write(made)
    found = read(text, "x.csv")
    assert sorted(found, key=repr) == sorted(made, key=repr)
    assert write(found) == text, "the same offers are the same bytes, in any order"


def test_the_first_line_names_each_column_in_its_place() -> None:
    assert write([]).splitlines() == [",".join(COLUMNS)]
    with pytest.raises(InvalidInput, match=r"^x\.csv:1: the first line must be: provider,product,"):
        read("provider,sku\n", "x.csv")
    with pytest.raises(InvalidInput, match=r"^x\.csv:1: the first line"):
        read("", "x.csv")


@pytest.mark.parametrize(
    ("column", "cell", "complaint"),
    [
        ("usd_per_hour", "-1", "must be a number, zero or more, not '-1'"),
        ("usd_per_hour", "", "must be a number, zero or more, not ''"),
        ("usd_per_cpu_hour", "nan", "must be a number, zero or more, not 'nan'"),
        ("cpus", "many", "must be a number, zero or more, not 'many'"),
        ("tier", "owned", "must be one of on_demand, spot, commit_1y, commit_3y, serverless, not 'owned'"),
        ("valid_from", "2026-13-01", "must be a date like 2026-01-31, not '2026-13-01'"),
        ("gpu_model", "A100", "must be the canonical name 'A100-40GB', not 'A100'"),
        ("granularity_s", "0", "must be whole seconds, at least 1, not '0'"),
        ("minimum_s", "1.5", "must be whole seconds, at least 0, not '1.5'"),
        ("source", " ", "must not be empty"),
    ],
)
def test_a_wrong_cell_is_named_by_file_line_and_column(column: str, cell: str, complaint: str) -> None:
    head, row = write([offer()]).splitlines()
    cells = dict(zip(head.split(","), row.split(","), strict=True)) | {column: cell}
    text = "\n".join([head, row, ",".join(cells.values())])
    with pytest.raises(InvalidInput) as caught:
        read(text, "aws.csv")
    assert str(caught.value) == f"aws.csv:3: {column}: {complaint}"


def test_every_wrong_cell_is_named_at_once() -> None:
    text = write([offer(), offer(sku="other")]).replace("6.88", "free").replace("2026-07-20", "yesterday")
    with pytest.raises(InvalidInput) as caught:
        read(text, "aws.csv")
    assert [(each.line, each.field) for each in caught.value.problems] == [
        (2, "valid_from"),
        (2, "usd_per_hour"),
        (3, "valid_from"),
        (3, "usd_per_hour"),
    ]


def test_rows_that_are_not_whole() -> None:
    head, row = write([offer()]).splitlines()
    for broken in (row + ",more", row.rsplit(",", 1)[0]):
        with pytest.raises(InvalidInput, match=rf"^aws\.csv:2: must have {len(COLUMNS)} columns$"):
            read(f"{head}\n{broken}\n", "aws.csv")
    with pytest.raises(InvalidInput, match=r"^aws\.csv:2: is no CSV"):
        read(f'{head}\n"never closed', "aws.csv")


def test_ids_are_lower_case_words() -> None:
    assert offer_id("RunPod", "pods", "A4000, RTX (16 GB)", "", Tier.SPOT) == "runpod/pods/a4000-rtx-16-gb/any/spot"
    assert serverless().id == "modal/functions/h100/any/serverless"
    assert read(write([serverless()]), "x")[0].usd_per_cpu_hour == Decimal("0.02358")
