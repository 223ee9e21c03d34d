"""What the configuration says about pools becomes `Pool` values with prices, or a refusal that says what there is."""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from broker.decide.price_book import unit_price
from broker.model.errors import InvalidInput, Misconfigured
from broker.model.offers import Offer, Tier
from broker.model.pools import Capability, Isolation, Pool, PoolKind
from broker.model.resources import GIB
from broker.run.settings import Machine, load_settings, this_machine

MACHINE = Machine(cpus=4, memory_bytes=10 * GIB)


def offer(id: str, gpu: str = "", count: float = 1, usd: str = "1", day: int = 1) -> Offer:
    provider, product, sku, region, tier = id.split("/")
    return Offer(
        id=id,
        provider=provider,
        product=product,
        sku=sku,
        region=region,
        tier=Tier(tier),
        gpu_model=gpu,
        gpu_count=count if gpu else 0,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(usd),
        valid_from=date(2026, 1, day),
        source="a test",
    )


OFFERS = (
    offer("runpod/pods/l4-secure/any/on_demand", "L4", usd="0.44"),
    offer("runpod/pods/l4-secure/any/on_demand", "L4", usd="0.43", day=2),
    offer("aws/ec2/p5.48xlarge/us-east-1/on_demand", "H100", 8, "55"),
    offer("aws/ec2/m5.large/us-east-1/on_demand", usd="0.1"),
    offer("modal/functions/l4/auto/serverless", "L4", usd="0.8"),
    offer("modal/functions/t4/auto/serverless", "T4", usd="0.6"),
    offer("modal/functions/cpu/auto/serverless"),
    offer("modal/sandbox/cpu/auto/serverless"),
)


def capabilities(executor: str) -> frozenset[Capability]:
    return frozenset({Capability.RAY_RUNTIME}) if executor == "ray" else frozenset()


def pools(tmp_path: Path, text: str, machine: Machine = MACHINE) -> dict[str, Pool]:
    file = tmp_path / "broker.toml"
    file.write_text(text)
    return {pool.name: pool for pool in load_settings(file, {}).pools(OFFERS, capabilities, machine)}


def refused(tmp_path: Path, text: str, machine: Machine = MACHINE) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        pools(tmp_path, text, machine)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]


RAY = "[pools.p]\nexecutor = 'ray'\nkind = 'cluster'\n"
SERVERLESS = "[pools.p]\nexecutor = 'local_serverless'\nkind = 'serverless'\n"


def test_the_pools_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ray, serverless = load_settings(None, {}).pools(OFFERS, capabilities, MACHINE)
    assert (ray.name, ray.kind, ray.executor, ray.max_units) == ("ray", PoolKind.CLUSTER, "ray", 1)
    assert (ray.unit.cpus, ray.unit.memory_bytes, ray.unit.gpus) == (4, 7 * GIB, 0)
    assert ray.isolation is Isolation.DEDICATED and ray.capabilities == {Capability.RAY_RUNTIME}
    (owned,) = ray.offers
    assert owned.tier is Tier.OWNED and owned.usd_per_hour > 0
    assert owned.note.startswith("assumption, to be replaced by your own numbers")
    assert (serverless.kind, serverless.max_units, serverless.scaledown_window_s) == (PoolKind.SERVERLESS, 8, 10)
    assert [each.id for each in serverless.offers] == ["modal/sandbox/cpu/auto/serverless"]


def test_a_machine_with_gpus_offers_them_in_its_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    machine = Machine(cpus=8, memory_bytes=64 * GIB, gpu_count=2, gpu_model="L4")
    ray, serverless = load_settings(None, {}).pools((), capabilities, machine)
    assert (ray.unit.gpus, ray.gpu_models, ray.emulated) == (2, ("L4",), False)
    assert serverless.unit.gpus == 0
    assert serverless.offers == (), "a price that is not known is none, not zero"


def test_gpus_may_cost_what_they_cost_in_another_product(tmp_path: Path) -> None:
    """Nothing but the GPU's own price comes from there."""
    price = "price = {provider = 'modal', product = 'sandbox', gpus_of = 'functions'}"
    pool = pools(tmp_path, SERVERLESS + f"emulated = true\naccelerators = 'L4'\n{price}")["p"]
    bare, gpu = sorted(pool.offers, key=lambda offer: offer.gpu_model)
    listed = {offer.id: offer for offer in OFFERS}
    assert (gpu.id, gpu.product) == ("modal/sandbox/l4/auto/serverless", "sandbox")
    assert gpu.usd_per_hour == listed["modal/functions/l4/auto/serverless"].usd_per_hour
    assert (gpu.usd_per_cpu_hour, gpu.usd_per_gib_hour) == (bare.usd_per_cpu_hour, bare.usd_per_gib_hour)


def test_a_node_worth_two_of_an_offer(tmp_path: Path) -> None:
    text = (
        RAY
        + "emulated = true\naccelerators = 'L4:2'\nprice = {offer = 'runpod/pods/l4-secure/any/on_demand', count = 2}"
    )
    pool = pools(tmp_path, text)["p"]
    assert pool.emulated and (pool.unit.gpus, pool.unit.gpu_model, pool.gpu_models) == (2, "L4", ("L4",))
    assert [each.usd_per_hour for each in pool.offers] == [Decimal("0.88"), Decimal("0.86")], "each with its date"
    assert {(each.id, each.gpu_count) for each in pool.offers} == {("runpod/pods/2x-l4-secure/any/on_demand", 2)}
    assert pool.offers[0].note == "2 of runpod/pods/l4-secure/any/on_demand"
    price = unit_price(pool.offers, pool.unit, date(2026, 6, 1))
    assert price is not None and price.usd_per_hour == Decimal("0.86")


def test_a_serverless_pool_has_the_prices_of_its_models(tmp_path: Path) -> None:
    text = (
        "emulated = true\naccelerators = 'L4'\nscaledown_window = '5s'\nprice = {provider='modal', product='functions'}"
    )
    pool = pools(tmp_path, SERVERLESS + text)["p"]
    assert {each.id for each in pool.offers} == {
        "modal/functions/l4/auto/serverless",
        "modal/functions/cpu/auto/serverless",
    }
    assert pool.scaledown_window_s == 5


def test_a_serverless_pool_of_several_models(tmp_path: Path) -> None:
    text = (
        SERVERLESS
        + "emulated = true\naccelerators = {L4 = 1, T4 = 2}\nprice = {provider = 'modal', product = 'functions'}"
    )
    pool = pools(tmp_path, text)["p"]
    assert (pool.gpu_models, pool.unit.gpus, pool.unit.gpu_model) == (("L4", "T4"), 2, "")
    assert len(pool.offers) == 3 and pool.scaledown_window_s == 60


def test_a_head_costs_what_is_said_of_it(tmp_path: Path) -> None:
    text = "[pools.p]\nexecutor = 'kuberay'\nkind = 'cluster'\ncpus = 4\nmemory = '8GiB'\noptions = {image = 'x'}\n"
    (price,) = pools(tmp_path, text + "head_price = {usd_per_hour = 0.2, source = 's'}")["p"].head_offers
    assert (price.usd_per_hour, price.tier) == (Decimal("0.2"), Tier.ON_DEMAND)
    assert price.id == "configured/pool/p-head/on_demand"
    assert not pools(tmp_path, text)["p"].head_offers
    (price,) = pools(tmp_path, text + "head_price = {usd_per_hour = 0, source = 'it is paid anyway'}")["p"].head_offers
    assert price.usd_per_hour == 0


def test_own_numbers(tmp_path: Path) -> None:
    node = "price = {usd_per_hour = 1.2, source = 'contract', minimum = 60, as_of = 2026-03-01}"
    (price,) = pools(tmp_path, RAY + node)["p"].offers
    assert (price.usd_per_hour, price.tier, price.source) == (Decimal("1.2"), Tier.ON_DEMAND, "contract")
    assert price.billing.minimum_s == 60 and price.valid_from == date(2026, 3, 1) and price.cpus == 4
    container = (
        "price = {usd_per_hour = '$2', usd_per_cpu_hour = 0.05, source = 's'}\naccelerators = 'L4'\nemulated = true"
    )
    (price,) = pools(tmp_path, SERVERLESS + container)["p"].offers
    assert (price.tier, price.gpu_model, price.gpu_count) == (Tier.SERVERLESS, "L4", 1)
    assert price.usd_per_cpu_hour == Decimal("0.05") and price.usd_per_gib_hour is None


def test_own_numbers_of_what_costs_nothing(tmp_path: Path) -> None:
    container = "price = {usd_per_hour = 0, usd_per_cpu_hour = 0.05, usd_per_gib_hour = 0, source = 's'}"
    (price,) = pools(tmp_path, SERVERLESS + container)["p"].offers
    rates = (price.usd_per_hour, price.usd_per_cpu_hour, price.usd_per_gib_hour)
    assert rates == (Decimal(0), Decimal("0.05"), Decimal(0))
    for wrong in ("usd_per_hour = 0", "usd_per_hour = 0, usd_per_cpu_hour = 0"):
        with pytest.raises(InvalidInput, match="is 0, and nothing else is paid"):
            pools(tmp_path, SERVERLESS + f"price = {{{wrong}, source = 's'}}")


def test_own_numbers_hold_from_the_day_of_the_file(tmp_path: Path) -> None:
    pools(tmp_path, RAY)
    os.utime(tmp_path / "broker.toml", (0, datetime(2026, 5, 6, 12, tzinfo=UTC).timestamp()))
    text = RAY + "price = {usd_per_hour = 1, source = 's'}"
    (tmp_path / "broker.toml").write_text(text)
    os.utime(tmp_path / "broker.toml", (0, datetime(2026, 5, 6, 12, tzinfo=UTC).timestamp()))
    (pool,) = load_settings(tmp_path / "broker.toml", {}).pools(OFFERS, capabilities, MACHINE)
    assert pool.offers[0].valid_from == date(2026, 5, 6)


def test_own_hardware(tmp_path: Path) -> None:
    own = "price.own = {purchase_usd = 8760, years = 1, power_w = 1000, usd_per_kwh = 0.2, pue = 1.5}"
    (price,) = pools(tmp_path, RAY + own)["p"].offers
    assert price.tier is Tier.OWNED
    assert abs(price.usd_per_hour - Decimal("1.3")) < Decimal("0.000001"), (
        "a dollar for the machine, 30 cents for power"
    )


def test_a_pool_elsewhere(tmp_path: Path) -> None:
    text = RAY + "cpus = 96\nmemory = '1TiB'\naccelerators = 'H100:8'\nmax_nodes = 4\nregion = 'us-east-1'\n"
    text += "options = {address = 'ray://head:10001'}\nprice = 'aws/ec2/p5.48xlarge/us-east-1/on_demand'"
    pool = pools(tmp_path, text)["p"]
    assert (pool.max_units, pool.unit.gpus, pool.emulated, pool.region) == (4, 8, False, "us-east-1")
    assert pool.options == {"address": "ray://head:10001"}
    assert pool.offers[0].usd_per_hour == 55


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            RAY + "accelerators = 'L4'",
            "broker.toml:4: pools.p.accelerators: this machine has no GPU: say emulated",
        ),
        (RAY + "emulated = true", "broker.toml:4: pools.p.emulated: is true, but there are no accelerators to emulate"),
        (RAY + "accelerators = 2\nemulated = true", "broker.toml:4: pools.p.accelerators: must say which GPU it is"),
        (
            RAY + "accelerators = ['L4', 'T4']\nemulated = true",
            "a cluster's nodes are alike: make a pool for each",
        ),
        (RAY + "max_containers = 3", "broker.toml:4: pools.p.max_containers: is not of a cluster pool: say max_nodes"),
        (RAY + "scaledown_window = 3", "pools.p.scaledown_window: is not of a cluster pool"),
        (SERVERLESS + "max_nodes = 3", "pools.p.max_nodes: is not of a serverless pool: say max_containers"),
        (
            "[pools.p]\nexecutor = 'local_serverles'\nkind = 'serverless'\nmax_containers = 1\n",
            "broker.toml:2: pools.p.executor: "
            "no executor 'local_serverles' is installed (did you mean 'local_serverless'?); there are: ",
        ),
        (RAY + "options = {address = 'ray://x'}", "pools.p.cpus: is required for a pool that is not on this machine"),
        (
            RAY + "price = {}",
            "broker.toml:4: pools.p.price: gives nothing: give one of offer, provider,",
        ),
        (
            RAY + "head_price = {usd_per_hour = 1, source = 's'}",
            "broker.toml:4: pools.p.head_price: the executor ray meters no head",  # with the capabilities said above
        ),
        (RAY + "price = {usd_per_hour = 1, offer = 'x'}", "pools.p.price: gives offer and usd_per_hour: give one of"),
        (RAY + "price = {usd_per_hour = 1}", "pools.p.price.source: is required: say where usd_per_hour comes from"),
        (
            RAY + "price = 'runpod/pods/l4-secur/any/on_demand'",
            "broker.toml:4: pools.p.price.offer: unknown offer 'runpod/pods/l4-secur/any/on_demand'; "
            "did you mean runpod/pods/l4-secure/any/on_demand",
        ),
        (
            RAY + "price = 'modal/functions/l4/auto/serverless'",
            "is a price of serverless, which is none of a cluster",
        ),
        (
            RAY + "emulated = true\naccelerators = 'T4'\nprice = 'runpod/pods/l4-secure/any/on_demand'",
            "broker.toml:6: pools.p.price.offer: runpod/pods/l4-secure/any/on_demand is the price of a node with 1 L4",
        ),
        (
            RAY + "emulated = true\naccelerators = 'L4:2'\nprice = 'runpod/pods/l4-secure/any/on_demand'",
            "is the price of 1 L4, and a node here has 2: say count = 2 if it is worth that many of them",
        ),
        (SERVERLESS + "price = {offer = 'modal/sandbox/cpu/auto/serverless', count = 2}", "price.count: is for nodes"),
        (SERVERLESS + "price = {provider = 'modal'}", "price.product: is required: there are: functions, sandbox"),
        (RAY + "price = {provider = 'modal'}", "pools.p.price.provider: prices serverless pools; name one offer for a"),
        (SERVERLESS + "price = {provider = 'modl'}", "no serverless offer has provider 'modl'; did you mean modal"),
        (
            SERVERLESS + "price = {provider = 'modal', product = 'x'}",
            "pools.p.price.product: no serverless offer has product 'x'; there are: functions, sandbox",
        ),
        (
            SERVERLESS + "emulated = true\naccelerators = 'H100'\nprice = {provider='modal', product='functions'}",
            "pools.p.price.provider: has no serverless price for H100; it has: L4, T4",
        ),
        (SERVERLESS + "price.own = {purchase_usd = 1, years = 1}", "pools.p.price.own: prices the nodes of a cluster"),
        (
            RAY + "price.own = {purchase_usd = 1, years = 0}",
            "price.own.years: must be between 0.1 and 30, not 0",
        ),
        (RAY + "price.own = {purchase_usd = 1, years = 1, residual_usd = 2}", "price.own.residual_usd: is more than"),
        (RAY + "price.own = {purchase_usd = 1, years = 1, pue = 0.5}", "price.own.pue: must be between 1 and 10"),
        (
            RAY + "price.own = {purchase_usd = 1, years = 1, utilization = 0}",
            "utilization: must be above 0 and at",
        ),
    ],
)
def test_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (line,) = refused(tmp_path, text)
    assert said in line


def test_a_plugin_that_can_not_be_used_does_not_stop_the_others(tmp_path: Path) -> None:
    def broken(executor: str) -> frozenset[Capability]:
        raise Misconfigured(f"no executor {executor!r} is installed")

    (tmp_path / "broker.toml").write_text(RAY)
    (pool,) = load_settings(tmp_path / "broker.toml", {}).pools(OFFERS, broken, MACHINE)
    assert pool.capabilities == frozenset()


def test_every_pool_is_looked_at(tmp_path: Path) -> None:
    text = RAY + "emulated = true\n" + SERVERLESS.replace("[pools.p]", "[pools.q]") + "max_nodes = 1\n"
    assert len(refused(tmp_path, text)) == 2


def test_real_gpus_need_not_be_emulated(tmp_path: Path) -> None:
    machine = Machine(cpus=4, memory_bytes=8 * GIB, gpu_count=2, gpu_model="L4")
    assert pools(tmp_path, RAY + "accelerators = 'L4:2'", machine)["p"].unit.gpus == 2
    (line,) = refused(tmp_path, RAY + "accelerators = 'L4:4'", machine)
    assert "this machine has 2 GPUs" in line


def test_this_machine_has_cpus_and_memory() -> None:
    machine = this_machine()
    assert machine.cpus >= 1 and machine.memory_bytes > 10**8


def test_a_machine_is_as_large_as_its_control_group(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal:       1000 kB\nMemFree: 1 kB\n",
        "sys/fs/cgroup/memory.max": "512000\n",
        "sys/fs/cgroup/cpu.max": "100000 100000\n",
        "dev/nvidia0": "",
        "dev/nvidia1": "",
        "dev/nvidiactl": "",
        "proc/driver/nvidia/gpus/0000/information": "Model: \t\t NVIDIA A100-SXM4-80GB\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert this_machine(tmp_path) == Machine(cpus=1, memory_bytes=512_000, gpu_count=2, gpu_model="A100-80GB")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert this_machine(tmp_path).memory_bytes == 1_024_000
