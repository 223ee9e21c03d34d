import csv
import io
import json
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from broker.cli.breakeven import breakeven
from broker.cli.breakeven_plot import lines, spread
from broker.cli.breakeven_text import fitting
from broker.model.errors import InvalidInput, PriceMissing, UnknownName
from broker.model.offers import Tier
from broker.run.money.breakeven_table import Asked, breakeven_table
from pricing.catalog_source import CatalogSource

DAY = date(2026, 11, 23)
SPOT = "aws/ec2/p5.48xlarge/us-east-1/spot"
MODAL = "modal/functions/h100/auto/serverless"

app = typer.Typer(rich_markup_mode=None)
app.command()(breakeven)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["--at", DAY.isoformat(), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def pairs(*words: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["cluster"], row["serverless"]): row for row in csv.DictReader(io.StringIO(run("--csv", *words)))}


def test_the_table_says_where_it_never_pays() -> None:
    _, _, head, *body = run("--gpu", "H100", "--serverless", "modal").splitlines()
    assert head == "cluster offer\ttier\t$/GPU-h\tmodal 4.84*"
    assert body[0] == "aws p5.48xlarge us-east-1\tspot\t1.78*\t37%"
    assert "aws p5.48xlarge us-east-1\ton_demand\t6.88*\tnever 142%" in body
    assert "gcp a3-highgpu-8g us-central1\tcommit_3y\t4.86*\tnever 100.4%" in body


def test_what_moves_it_and_what_length_does_and_dispatch_are_said() -> None:
    text = " ".join(run("--gpu", "H100").split())
    assert "10 s cold start, 60 s idle tail, 1 min of work 17% -54%" in text
    assert " 60 s 17% $10.48 per GPU-hour of work" in text
    assert "At dispatch, a held GPU that is free adds $0.00 for a job of 10 min" in text


def test_conditions_move_every_cell() -> None:
    base = pairs("--gpu", "H100")
    dearer = pairs("--gpu", "H100", "--ops", "0.2", "--packing", "0.8", "--head-usd-hour", "0.4")
    cheaper = pairs("--gpu", "H100", "--cold-start", "10s", "--idle-tail", "1m", "--region-multiplier", "1.5")
    assert len(base) > 50 and base.keys() == dearer.keys() == cheaper.keys()
    for pair, row in base.items():
        assert float(cheaper[pair]["utilization"]) < float(row["utilization"]) < float(dearer[pair]["utilization"])


def test_filters_and_all() -> None:
    usual, every = pairs("--gpu", "L4"), pairs("--gpu", "L4", "--all")
    assert "gcp/gce/g2-standard-32/us-central1/on_demand" in {cluster for cluster, _ in every}
    assert "gcp/gce/g2-standard-32/us-central1/on_demand" not in {cluster for cluster, _ in usual}
    only = pairs("--gpu", "L4", "--provider", "aws", "--tier", "spot", "--serverless", "modal")
    assert list(only) == [("aws/ec2/g6.xlarge/us-east-2/spot", "modal/functions/l4/auto/serverless")]


def test_without_a_gpu_there_is_one_line_for_each() -> None:
    text = run("--provider", "aws")
    assert "H100\t4.84\taws 1.78: 37%\taws 2.59: 53%\t–\taws 6.88: never 142%" in text.splitlines()
    assert "L4\t1.02\taws 0.26: 25%\taws 0.32: 31%\t–\taws 0.80: 79%" in text.splitlines()
    assert "tier\toffers\tmedian\trange\t40% to 50%\tnever" in text.splitlines()


def test_forty_to_fifty_percent_is_the_middle_of_spot_and_three_years_at_hyperscalers() -> None:
    last = run("--provider", "aws", "--provider", "gcp", "--provider", "azure").splitlines()[-4:]
    assert [line.split("\t")[0:3] for line in last] == [
        ["spot", "38", "43%"],
        ["commit_3y", "22", "48%"],
        ["commit_1y", "9", "93%"],
        ["on_demand", "32", "138%"],
    ]
    assert last[0].split("\t")[3:] == ["25% to 138%", "8", "5"]
    assert last[3].split("\t")[3:] == ["65% to 291%", "0", "25"]


def test_the_overview_for_machines() -> None:
    every = json.loads(run("--json"))
    assert len(every) == len(pairs()) > 130
    assert {pair["serverless"].split("/")[0] for pair in every} == {"modal"}
    replicate = pairs("--serverless", "replicate")
    assert {serverless.split("/")[0] for _, serverless in replicate} == {"replicate"}


def test_own_hardware_is_one_more_row() -> None:
    found = pairs("--gpu", "H100", "--own", "2.0", "--serverless", "modal")
    assert float(found["own/hardware/your-own/any/owned", MODAL]["utilization"]) == pytest.approx(2 / 4.837968)


@pytest.mark.parametrize(("busy", "advice"), [("0.30", "buy, saves $240/month"), ("0.50", "hold, saves $466/month")])
def test_advice_at_a_busy_share(busy: str, advice: str) -> None:
    assert advice in run("--gpu", "H100", "--utilization", busy, "--provider", "aws", "--tier", "spot")


def test_json_holds_every_component() -> None:
    found = json.loads(run("--gpu", "H100", "--ops", "0.2", "--idle-tail", "60s", "--utilization", "0.3", "--json"))
    pair = next(each for each in found["pairs"] if (each["cluster"], each["serverless"]) == (SPOT, MODAL))
    held = sum(Decimal(usd) for usd in pair["held"].values())
    bought = sum(Decimal(usd) for usd in pair["bought"].values())
    assert (held, bought) == (Decimal(pair["held_usd_per_hour"]), Decimal(pair["bought_usd_per_hour"]))
    assert pair["utilization"] == pytest.approx(float(held / bought))
    assert set(pair["held"]) == {"GPU", "staff and tools"}
    assert set(pair["bought"]) == {"GPU", "CPUs and memory", "idle tail"}
    assert Decimal(pair["at"]["bought_usd_per_hour"]) == pytest.approx(bought * Decimal("0.3"))
    assert [each["job_s"] for each in found["job_lengths"]] == [10, 60, 600, 3600, 86400]
    assert found["looked_at"] == {"cluster": SPOT, "serverless": MODAL}


def test_a_day_before_a_price_was_known() -> None:
    with pytest.raises(PriceMissing, match="no serverless offer for H100 is known on 2026-01-01"):
        CliRunner().invoke(app, ["--gpu", "H100", "--at", "2026-01-01"], catch_exceptions=False)
    with pytest.raises(PriceMissing, match="no serverless offer for H100-NVL"):
        run("--gpu", "h100-nvl")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--gpu", "H10"), "H10: unknown GPU .did you mean 'H100'"),
        (("--gpu", "H100", "--provider", "awz"), "awz: unknown provider .did you mean 'aws'"),
        (("--gpu", "H100", "--tier", "reserved"), "reserved: unknown tier"),
        (("--gpu", "H100", "--serverless", "model"), "model: unknown provider .did you mean 'modal'"),
    ],
)
def test_a_name_that_no_offer_has(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UnknownName, match=complaint):
        run(*words)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--job-length", "0s"), "--job-length: must be longer than zero"),
        (("--cold-start", "soon"), "--cold-start: must be a time like"),
        (("--plot", "curve.pdf"), r"--plot: must end in \.png or \.html, not 'curve\.pdf'"),
        (("--plot", "/nowhere/curve.png"), "--plot: there is no folder /nowhere"),
        (("--interruptions-per-hour", "2", "--lost", "30m"), "--lost: 30m lost 2 times an hour leaves no time to work"),
    ],
)
def test_impossible_options(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        run("--gpu", "H100", *words)


def test_a_terminal_has_the_serverless_offers_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    table = breakeven_table(tuple(CatalogSource().offers()), "H100", Asked(day=DAY))
    names = [offer.provider for offer in table.columns]
    for columns, shown in ((60, ["modal"]), (90, ["runware", "modal"]), (200, names)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert [names[at] for at in fitting(table)] == shown


@pytest.mark.parametrize("words", [("--own", "2"), ("--plot", "x.png")])
def test_what_needs_a_gpu(words: tuple[str, str]) -> None:
    with pytest.raises(InvalidInput, match=f"{words[0]}: is for one GPU"):
        run(*words)


def test_the_drawing_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "h100.png"
    run("--gpu", "H100", "--plot", str(path))
    assert path.read_bytes().startswith(b"\x89PNG") and 20_000 < path.stat().st_size < 300_000


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    path = tmp_path / "h100.html"
    run("--gpu", "H100", "--plot", str(path))
    page = path.read_text(encoding="utf-8")
    assert "AWS spot, $1.78: pays above 37%" in page and "<script src=" not in page


def test_what_is_drawn_is_the_cheapest_of_each_tier_and_their_providers_on_demand() -> None:
    table = breakeven_table(tuple(CatalogSource().offers()), "H100", Asked(day=DAY))
    drawn = [(line.cell.cluster.provider, line.cell.cluster.tier) for line in lines(table)]
    assert drawn == [
        ("aws", Tier.SPOT),
        ("aws", Tier.COMMIT_3Y),
        ("runpod", Tier.ON_DEMAND),
        ("aws", Tier.ON_DEMAND),
        ("gcp", Tier.COMMIT_1Y),
        ("gcp", Tier.ON_DEMAND),
    ]
    assert lines(table)[3].label == "AWS on demand, $6.88: never pays"


@given(st.lists(st.floats(0, 100), max_size=8).map(sorted), st.floats(0.1, 10))
def test_labels_stand_apart_and_stay_near(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap)
    assert len(placed) == len(wanted)
    assert all(upper - lower >= gap - 1e-9 for lower, upper in pairwise(placed))
    if all(upper - lower >= gap for lower, upper in pairwise(wanted)):
        assert placed == pytest.approx(wanted)
    assert sum(placed) == pytest.approx(sum(wanted), abs=1e-6)
