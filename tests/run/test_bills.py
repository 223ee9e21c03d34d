"""A bill against a store, from files to charges, by the command line as an accountant uses it."""

import csv
import getpass
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from broker.decide.focus import COLUMNS, focus
from broker.decide.reconcile import Taken
from broker.model.audit import AuditFilter
from broker.model.bills import Cause, Standing
from broker.model.errors import Conflict, InvalidInput
from broker.model.money import NS_PER_HOUR, NS_PER_S, Money
from broker.model.offers import Offer
from broker.model.query import SpendFilter
from broker.model.usage import ChargeKind
from broker.ports import Store
from broker.run.money.bills import Wish, compare, record
from broker.run.store import open_store
from broker.testing.store_values import OFFER, attempt, charge, job, placement, report
from tests import command_line
from tests.command_line import Said

DAY_NS = 86_400 * NS_PER_S
OCTOBER_NS = 1_790_812_800 * NS_PER_S  # 2026-10-01
HEAD = (
    "line_item_line_item_type,line_item_usage_start_date,line_item_usage_end_date,line_item_unblended_cost,"
    "line_item_currency_code,line_item_resource_id,line_item_usage_amount,line_item_usage_type,pricing_unit\n"
)


def on_aws() -> Offer:
    return replace(OFFER, provider="aws", usd_per_hour=Decimal(2))


ONE = pytest.mark.parametrize("url", ["sqlite_url"], indirect=True)  # where whole processes are started


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Two days of a node at $2 an hour: 18 hours a day of a job's, 6 idle."""
    opened = open_store(url)
    one = job("a")
    opened.add_jobs([one], "{}", "h")
    opened.record(attempts=[attempt(one)], placements=[placement(one)])
    charges = []
    for day in range(2):
        begin = OCTOBER_NS + day * DAY_NS
        run, rest = begin + 18 * NS_PER_HOUR, begin + DAY_NS
        charges += [
            charge(f"j{day}", begin, 36 * 10**9, attempt_id="a-a1", ended_ns=run, offer=on_aws()),
            charge(f"i{day}", run, 12 * 10**9, kind=ChargeKind.IDLE, ended_ns=rest, offer=on_aws()),
        ]
    opened.settle("home", report(OCTOBER_NS + 2 * DAY_NS), charges)
    yield opened
    opened.close()


def cur(file: Path, *costs: float, hours: float = 24, resource: str = "n1") -> Path:
    """A report of whole days of the node."""
    days = [f"2026-10-{day:02d}T00:00:00Z" for day in range(1, len(costs) + 2)]
    rows = [
        f"Usage,{days[day]},{days[day + 1]},{cost},USD,{resource},{hours},BoxUsage:g6.xlarge,Hrs\n"
        for day, cost in enumerate(costs)
    ]
    file.write_text(HEAD + "".join(rows))
    return file


def broker(url: str, *words: str) -> Said:
    return command_line.broker("reconcile", *words, env={"BROKER_STORE_URL": url, "BROKER_STATE_DIR": "/nonexistent"})


def spent(store: Store) -> Money:
    return Money.total(row.total for row in store.spend(SpendFilter()))


@ONE
def test_a_bill_is_held_against_the_ledger_and_recorded_only_when_asked(url: str, store: Store, tmp_path: Path) -> None:
    bill = str(cur(tmp_path / "bill.csv", 48, 52.8))
    dry = broker(url, bill)
    assert dry.returncode == 0, dry.stderr
    assert "rate $4.80" in dry.stdout
    assert "are not recorded" in dry.stdout
    assert spent(store) == Money.of_usd(96)
    assert store.audit(AuditFilter()) == ()
    assert "2 corrections recorded, $4.80 together" in broker(url, bill, "--apply").stdout
    (entry,) = store.audit(AuditFilter())
    assert (entry.action, entry.user) == ("reconcile.apply", getpass.getuser())
    assert spent(store) == Money.of_usd("100.8")
    assert store.job_costs(["a"]) == {"a": (Money.of_usd("75.6"), 0)}
    again = json.loads(broker(url, bill, "--apply", "--json").stdout)
    assert (again["corrections"], again["recorded"], again["causes"]) == (0, 0, {"rate": "4.800000000"})
    assert "nothing to record" in broker(url, bill).stdout


def test_a_bill_in_pieces_late_and_restated(store: Store, tmp_path: Path) -> None:
    """First one day, then both, then both again at other prices: the ledger has what the last one says."""

    def apply(*costs: float) -> None:
        store.correct(compare(store, Wish(files=[cur(tmp_path / "bill.csv", *costs)])).corrections)

    apply(50)
    assert spent(store) == Money.of_usd(50 + 48)
    apply(50, 49)
    apply(50, 49)
    assert spent(store) == Money.of_usd(99)
    apply(40, 49)
    apply(50, 49)
    apply(40, 49)
    assert spent(store) == Money.of_usd(89)


def test_two_files_of_one_bill_are_one_bill(store: Store, tmp_path: Path) -> None:
    files = [cur(tmp_path / "1.csv", 24, 24, hours=12), cur(tmp_path / "2.csv", 24, 26, hours=12)]
    found = compare(store, Wish(files=files))
    assert [each.difference for each in found.comparisons] == [Money.of_usd(2)]


def test_the_same_bill_from_two_who_record_it_at_once(store: Store, tmp_path: Path) -> None:
    wish = Wish(files=[cur(tmp_path / "bill.csv", 50, 50)])
    one, other = compare(store, wish), compare(store, wish)
    assert [store.correct(one.corrections), store.correct(other.corrections)] == [4, 0]
    assert spent(store) == Money.of_usd(100)


def test_the_audit_log_says_who_recorded_how_much(store: Store, tmp_path: Path) -> None:
    first = compare(store, Wish(files=[cur(tmp_path / "bill.csv", 48, 52.8)]))
    other = compare(store, Wish(files=[cur(tmp_path / "bill.csv", 48, 60)]))
    assert [record(store, first, "ann", 5), record(store, first, "mia", 6)] == [2, 0]
    with pytest.raises(Conflict):
        record(store, other, "mia", 7)
    again, entry = store.audit(AuditFilter())
    assert (entry.at_ns, entry.user, entry.token_id, entry.outcome) == (5, "ann", "", "done")
    assert (entry.action, entry.origin) == ("reconcile.apply", "database")
    assert entry.target == "2 corrections, 4.8 USD together, from 2026-10-02 to 2026-10-02 in home"
    assert (again.user, again.target) == ("mia", "0 corrections")
    store.correct([])  # by nobody who says so
    assert len(store.audit(AuditFilter())) == 2


def test_what_is_exported_as_focus_agrees_with_itself(store: Store, tmp_path: Path) -> None:
    files = [cur(tmp_path / "bill.csv", 50, 50), cur(tmp_path / "leak.csv", 3, 4, resource="i-unknown")]
    store.correct(compare(store, Wish(files=files, taken=Taken(pool="home"))).corrections)
    assert spent(store) == Money.of_usd(107)
    file = tmp_path / "export.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(focus(store.billed(SpendFilter()), "acme"))
    found = compare(store, Wish(files=[file]))
    assert {each.standing for each in found.comparisons} == {Standing.MATCHED, Standing.NOT_METERED}
    assert (found.corrections, found.elsewhere, found.billed) == ((), (), spent(store))


def test_a_resource_can_be_said_to_be_a_pool_s(store: Store, tmp_path: Path) -> None:
    leak = cur(tmp_path / "leak.csv", 3, 4, resource="i-unknown")
    assert compare(store, Wish(files=[leak])).corrections == ()
    named = compare(store, Wish(files=[leak], taken=Taken(names={"i-unknown": "cloud"})))
    assert [(each.pool, each.causes) for each in named.comparisons if each.pool == "cloud"] == [
        ("cloud", {Cause.QUANTITY: Money.of_usd(3)}),
        ("cloud", {Cause.QUANTITY: Money.of_usd(4)}),
    ]


@ONE
def test_what_is_wrong_is_said_and_nothing_recorded(url: str, store: Store, tmp_path: Path) -> None:
    bill = cur(tmp_path / "bill.csv", 50, 50)
    bill.write_text(bill.read_text() + "Usage,soon,,1,USD,n1,1,BoxUsage:x,Hrs\n")
    said = broker(url, str(bill), "--apply")
    assert (said.returncode, "bill.csv:4" in said.stderr) == (2, True), said.stderr
    assert spent(store) == Money.of_usd(96)
    other = tmp_path / "notes.csv"
    other.write_text("a,b\n1,2\n")
    assert "is no bill of a known form" in broker(url, str(other)).stderr
    assert broker(url).returncode == 2
    with pytest.raises(InvalidInput, match="no lines in this period"):
        compare(store, Wish(files=[cur(tmp_path / "c.csv", 1)], taken=Taken(since_ns=OCTOBER_NS + DAY_NS)))
