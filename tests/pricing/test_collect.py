import csv
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from broker.model.errors import InvalidInput
from pricing import collect
from pricing.catalog_source import CatalogSource
from pricing.normalise import Listing
from tests.pricing.offers import DAY, listing, offer


def price_list(path: Path, *listings: Listing) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, collect.COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(each) for each in listings)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["collect", *map(str, words)])
    collect.main()


def test_a_price_list_becomes_a_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = listing(provider="azure", note="STALE: old")
    file = price_list(tmp_path / "prices.csv", listing(), listing(provider="gcp"), stale)
    run(monkeypatch, file, "--into", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aws.csv", "gcp.csv", "prices.csv"]
    said = capsys.readouterr().out
    assert "left out azure p5.48xlarge: marked stale" in said
    assert "2 offers; 1 listings left out" in said


def test_nothing_is_written_when_a_check_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = price_list(tmp_path / "prices.csv", listing(provider="gcp"), listing(gpu_count="12"))
    with pytest.raises(SystemExit, match=r"nothing was written:\n.*has 12 GPUs of 'H100'"):
        run(monkeypatch, file, "--into", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("sku,price\nx,1\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"other\.csv:1: must have the columns provider,product,"):
        collect.listings(tmp_path / "other.csv")


def test_what_is_published_is_what_the_source_gives(tmp_path: Path) -> None:
    offers = (offer(), offer(sku="p5.48xlarge", gpu_count=8))
    with pytest.raises(InvalidInput):
        collect.publish([*offers, offer()], tmp_path, DAY)
    offers = (offer(), offer(sku="other"))
    collect.publish(offers, tmp_path, DAY)
    assert set(CatalogSource(tmp_path).offers()) == set(offers)
