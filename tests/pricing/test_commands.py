import csv
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.model.errors import InvalidInput, UnknownName
from pricing import commands, installed_offers
from tests.pricing.offers import DAY


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The bundled facts alone, whatever whoever runs the tests has asked for."""
    monkeypatch.setenv("BROKER_STATE_DIR", str(tmp_path))


AT = ("--at", DAY.isoformat())


def run(*words: str) -> str:
    result = CliRunner().invoke(commands.app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(*words: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(run(*words, "--csv"))))


def test_one_gpu_cheapest_first() -> None:
    found = rows("--gpu", "nvidia h100", *AT)
    assert {row["gpu_model"] for row in found} == {"H100"}
    per_gpu = [float(row["usd_per_gpu_hour"]) for row in found]
    assert per_gpu == sorted(per_gpu) and len(per_gpu) > 20


def test_filters_together() -> None:
    found = rows("--gpu", "L4", "--provider", "GCP", "--tier", "commit-1y", "--region", "us-central1", *AT)
    assert [row["id"] for row in found] == [
        "gcp/gce/g2-standard-4/us-central1/commit_1y",
        "gcp/gce/g2-standard-32/us-central1/commit_1y",
    ]


def test_a_region_has_what_holds_everywhere() -> None:
    found = rows("--gpu", "H100", "--region", "us-east-1", *AT)
    assert {row["region"] for row in found} == {"", "us-east-1"}


@pytest.mark.parametrize(
    ("key", "column", "descending"),
    [("price", "usd_per_hour", False), ("date", "valid_from", True), ("provider", "id", False)],
)
def test_order(key: str, column: str, descending: bool) -> None:
    cells = [row[column] for row in rows("--gpu", "B200", "--sort", key, *AT)]
    numbers = [float(cell) for cell in cells] if key == "price" else cells
    assert numbers == sorted(numbers, reverse=descending)  # type: ignore[type-var]


def test_prices_as_they_were_on_a_day() -> None:
    def price(day: str) -> list[str]:
        found = rows("--gpu", "H100", "--provider", "runpod", "--at", day)
        return [row["usd_per_hour"] for row in found if row["sku"] == "H100 SXM Secure"]

    assert price("2026-11-08") == ["3.49"]
    assert price("2026-11-09") == ["3.99"]
    assert price("2026-09-24") == []


def test_all_is_also_what_was_replaced_and_what_has_no_gpu() -> None:
    usual, every = rows(*AT), rows("--all", *AT)
    assert len(every) > len(usual)
    assert "3.49" in {row["usd_per_hour"] for row in every if row["sku"] == "H100 SXM Secure"}
    assert {row["gpu_count"] for row in every} - {row["gpu_count"] for row in usual} == {"0.0"}


def test_old_prices_are_marked() -> None:
    lines = run("--gpu", "H100", "--provider", "modal", *AT).splitlines()
    assert lines == [
        "offer\tGPUs\ttier\t$/GPU-h\t$/h\t$/CPU-h\t$/GiB-h\tbilled by\tas of",
        "modal/functions/h100/auto/serverless\t1 H100\tserverless\t3.9492\t3.9492\t0.02358\t0.007992\t1 s\t2026-07-01*",
    ]
    (fresh,) = rows("--gpu", "H100", "--provider", "modal", "--stale-days", "145", *AT)
    (old,) = rows("--gpu", "H100", "--provider", "modal", "--stale-days", "144", *AT)
    assert (fresh["age_days"], fresh["stale"], old["stale"]) == ("145", "False", "True")


def test_sources_are_shown_when_asked() -> None:
    assert "github:" not in run("--gpu", "L4", *AT)
    assert "github:api-evangelist/modal-labs" in run("--gpu", "L4", "--sources", *AT)


def test_json_has_decimal_strings() -> None:
    (offer,) = json.loads(run("--gpu", "H100", "--provider", "modal", "--json", *AT))
    assert (offer["usd_per_hour"], offer["usd_per_cpu_hour"], offer["stale"]) == ("3.9492", "0.02358", True)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--gpu", "H10"), "no offer has the GPU 'H10'; did you mean H100"),
        (("--provider", "aw"), "no offer has the provider 'aw'; did you mean aws"),
        (("--tier", "reserved"), "no offer has the tier 'reserved'"),
        (("--region", "us-east1"), "no offer has the region 'us-east1'; did you mean us-east-1"),
    ],
)
def test_a_name_that_no_offer_has(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UnknownName, match=complaint):
        run(*words, *AT)


def test_a_day_that_is_none() -> None:
    with pytest.raises(InvalidInput, match="--at: must be a date like 2026-01-31, not 'today'"):
        run("--at", "today")


def test_check_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check").endswith("offers, nothing wrong\n")
    twice = [(name, offers * 2) for name, offers in installed_offers.by_source()]
    monkeypatch.setattr(installed_offers, "by_source", lambda: twice)
    result = CliRunner().invoke(commands.app, ["check"])
    assert result.exit_code == 1 and "is there 2 times" in result.stdout


def test_importing_it_is_cheap() -> None:
    """It is imported whenever the command line starts: nothing that reads prices may come with it."""
    code = "import sys, typer; import pricing.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"pricing.offer_table", "pricing.catalog_source", "broker.model.offers", "csv"} & set(loaded)
    began = time.thread_time()
    run("--gpu", "H100", *AT)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (200, ["offer", "GPUs", "tier", "$/GPU-h", "$/h", "$/CPU-h", "$/GiB-h", "billed by", "as of"]),
        (104, ["offer", "GPUs", "$/GPU-h", "$/CPU-h", "$/GiB-h", "as of"]),
        (40, ["offer", "GPUs", "$/GPU-h", "as of"]),
    ],
)
def test_a_narrow_terminal_keeps_what_matters(width: int, heads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())
    commands.app(["--gpu", "H100", "--tier", "serverless", *AT], standalone_mode=False)
    head = re.sub(r"\x1b\[[0-9;]*m", "", sys.stdout.getvalue()).strip().splitlines()[0]  # type: ignore[attr-defined]
    assert re.split(r"\s{2,}", re.sub(r"(?<=\S) (?=\$|GPUs|tier|as of|billed)", "  ", head.strip())) == heads
