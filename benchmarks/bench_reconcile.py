"""How long a bill of a million rows takes to be held against a ledger, and how much memory: `broker reconcile`.

Two bills: hours of nodes (a Cost and Usage Report), and containers of which each has a row of its own (FOCUS).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

from benchmarks.harness import report
from broker.model.money import NS_PER_HOUR, NS_PER_S
from broker.model.usage import Charge, ChargeKind
from broker.run.store import open_store
from broker.testing.store_values import OFFER, charge
from broker.testing.store_values import report as usage

ROWS = 1_000_000
START = datetime(2026, 10, 1, tzinfo=UTC)
START_NS = int(START.timestamp()) * NS_PER_S
DAY_NS = 24 * NS_PER_HOUR
DAYS = 31
NODES = ROWS // (2 * DAYS * 24) + 1
CUR = (
    "line_item_line_item_type,line_item_usage_start_date,line_item_usage_end_date,line_item_unblended_cost,"
    "line_item_currency_code,line_item_resource_id,line_item_usage_amount,line_item_usage_type,"
    "line_item_product_code,pricing_unit,resource_tags\n"
)
FOCUS = (
    "BilledCost,EffectiveCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ServiceCategory,"
    "ServiceName,ProviderName,ResourceId,ConsumedQuantity,ConsumedUnit,Tags\n"
)


def stamp(hours: int) -> str:
    return (START + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_rows() -> Iterator[str]:
    """Each node has an hour of itself and one of traffic; a tenth of the rows are of others."""
    hours, number = [stamp(hour) for hour in range(DAYS * 24 + 1)], 0
    while True:
        for hour in range(DAYS * 24):
            node = f"i-{number:08x}" if number % 10 else f"i-other{number}"
            tag = '"{""user_broker_pool"": ""gpus""}"' if number % 10 else ""
            span = f"Usage,{hours[hour]},{hours[hour + 1]}"
            yield f"{span},2.05,USD,{node},1.0,BoxUsage:g6.xlarge,AmazonEC2,Hrs,{tag}\n"
            yield f"{span},0.0031415,USD,{node},0.03,DataTransfer-Out-Bytes,AmazonEC2,GB,{tag}\n"
        number += 1


def container_rows() -> Iterator[str]:
    for number in range(ROWS):
        day = number % DAYS * 24
        yield f"0.5,0.5,USD,Usage,{stamp(day)},{stamp(day + 24)},Compute,GPUs,acme,c-{number},900,Seconds,\n"


def node_charges(nodes: int) -> Iterator[Charge]:
    offer = replace(OFFER, provider="aws", usd_per_hour=Decimal(2))
    for number in range(nodes):
        for day in range(DAYS if number % 10 else 0):
            begin, rest = START_NS + day * DAY_NS, START_NS + day * DAY_NS + 20 * NS_PER_HOUR
            node = {"unit_id": f"i-{number:08x}", "pool": "gpus", "offer": offer}
            yield charge(f"{number}/{day}/j", begin, 40 * 10**9, ended_ns=rest, **node)
            yield charge(f"{number}/{day}/i", rest, 8 * 10**9, kind=ChargeKind.IDLE, ended_ns=begin + DAY_NS, **node)


def container_charges() -> Iterator[Charge]:
    offer = replace(OFFER, provider="acme", usd_per_hour=Decimal(2))
    for number in range(ROWS):
        begin = START_NS + number % DAYS * DAY_NS
        end = begin + NS_PER_HOUR // 4
        yield charge(f"{number}", begin, 5 * 10**8, ended_ns=end, unit_id=f"c-{number}", pool="burst", offer=offer)


def prepare(what: str, folder: str) -> None:
    """The bill and the ledger of it, in a folder."""
    nodes = what == "nodes"
    rows, charges = (node_rows(), node_charges(NODES)) if nodes else (container_rows(), container_charges())
    with (Path(folder) / "bill.csv").open("w") as out:
        out.write(CUR if nodes else FOCUS)
        out.writelines(next(rows) for _ in range(ROWS))
    store = open_store(f"sqlite:///{folder}/broker.db")
    store.settle("gpus", usage(START_NS + (DAYS + 1) * DAY_NS), list(charges))
    store.close()


def run(what: str) -> tuple[float, float, float, str]:
    """Seconds, of the processor as well, MiB and the last line of a reconciliation in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bb-") as folder:
        # In another process: what this one holds in memory would be counted as the command's as well.
        preparing = get_context("spawn").Process(target=prepare, args=(what, folder))
        preparing.start()
        preparing.join()
        assert preparing.exitcode == 0
        broker = str(Path(sys.executable).with_name("broker"))
        environment = {**os.environ, "BROKER_STORE_URL": f"sqlite:///{folder}/broker.db", "BROKER_STATE_DIR": folder}
        began = time.perf_counter()
        command = [broker, "reconcile", f"{folder}/bill.csv", "--for", "2026-10", "--limit", "0"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        busy = used.ru_utime + used.ru_stime
        return time.perf_counter() - began, busy, used.ru_maxrss / 1024, said.strip().splitlines()[-1]


def main() -> None:
    first, second = run("nodes"), run("containers")
    report(
        f"a bill of {ROWS:,} rows against the ledger",
        {
            name: f"{seconds:.1f} s ({busy:.1f} s of a processor), {mib:,.0f} MiB; {said}"
            for name, (seconds, busy, mib, said) in {"hours of nodes": first, "a container a row": second}.items()
        },
        {"nodes_s": first[0], "nodes_mib": first[2], "containers_s": second[0], "containers_mib": second[2]},
    )


if __name__ == "__main__":
    main()
