from pathlib import Path

import pytest

from broker.model.errors import PriceMissing
from broker.ports import PriceSource
from pricing.catalog_format import write
from pricing.catalog_source import CatalogSource
from tests.pricing.offers import offer


def test_it_is_a_price_source_with_the_bundled_offers() -> None:
    source: PriceSource = CatalogSource()
    assert source.name == "catalog"
    assert {each.provider for each in source.offers()} >= {"aws", "gcp", "azure", "modal", "runpod"}


def test_a_damaged_file_is_said_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "aws.csv").write_text(write([offer()]).replace("6.88", "?"), encoding="utf-8")
    with pytest.raises(PriceMissing, match=r"is damaged:\naws\.csv:2: usd_per_hour: must be a number"):
        list(CatalogSource(tmp_path).offers())


def test_a_folder_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(PriceMissing, match="has no CSV file"):
        list(CatalogSource(tmp_path).offers())
    with pytest.raises(PriceMissing, match=r"nowhere can't be read"):
        list(CatalogSource(tmp_path / "nowhere").offers())
    (tmp_path / "aws.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(PriceMissing, match="can't be read"):
        list(CatalogSource(tmp_path).offers())
