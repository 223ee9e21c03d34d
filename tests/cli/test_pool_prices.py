"""What a pool's nodes or containers cost, as `broker pools` says it."""

from typing import Any

import pytest

from broker.cli.money import has, prices_of

PARTS = {"usd_per_cpu_hour": "0.05", "usd_per_gib_hour": "0.01"}


def price(usd: str, tier: str, gpu: str = "", **fields: Any) -> dict[str, Any]:
    plain = {"usd_per_cpu_hour": None, "usd_per_gib_hour": None, "stale": False, "age_days": 1}
    return {**plain, "usd_per_hour": usd, "tier": tier, "gpu_model": gpu, "gpu_count": float(bool(gpu)), **fields}


@pytest.mark.parametrize(
    ("kind", "of", "said"),
    [
        ("cluster", price("2", "on_demand", "L4"), "$2/node-h"),
        ("cluster", price("0", "owned", stale=True), "$0/node-h (1 days old)"),
        ("serverless", price("0.8", "serverless", "L4", **PARTS), "$0.8/L4-h + $0.05/CPU-h + $0.01/GiB-h"),
        ("serverless", price("0", "serverless", **PARTS), "$0.05/CPU-h + $0.01/GiB-h"),
        ("serverless", price("0.05", "serverless"), "$0.05/container-h"),
        ("serverless", price("4.5", "spot", "H100"), "$4.5/container-h"),
        ("serverless", price("0.2", "on_demand"), "$0.2/container-h"),
    ],
)
def test_a_price_says_what_it_is_of(kind: str, of: dict[str, Any], said: str) -> None:
    assert prices_of({"kind": kind, "prices": [of], "head_prices": []}) == said


def test_what_is_not_known_and_what_is_too_much() -> None:
    assert prices_of({"kind": "cluster", "prices": []}) == "not known"
    four = [price(str(number), "on_demand") for number in range(4)]
    said = prices_of({"kind": "serverless", "prices": four, "head_prices": [price("1", "on_demand")]})
    assert said.endswith("$2/container-h; head $1/h and 1 more")


def test_gpus_that_containers_have_to_share_are_said() -> None:
    unit = {"gpus": 1, "cpus": 4, "memory_bytes": 8 * 2**30}
    row = {"gpu_models": ["H200"], "emulated": False, "unit": unit, "max_units": 4}
    assert has({**row, "max_gpus": 4}) == "4 × (1× H200, 4 CPUs, 8 GiB)"
    assert has({**row, "max_gpus": 2}) == "4 × (1× H200, 4 CPUs, 8 GiB), 2 GPUs in all"
