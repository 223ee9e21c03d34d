"""`f.remote()` on warm pools, by turns with a bare Ray task on the same cluster; and `f.map` of many calls."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import broker as sdk
from benchmarks.harness import RAY, SERVERLESS, broker, p50, p99, report, timed

ROUNDS, CALLS, MAPPED = 5, 20, 1_000
TOGETHER = 100  # calls in a chunk
POOLS = ("ray", "serverless")
BARE = "a bare Ray task"


def same(x: int) -> int:
    """The least that a function can do."""
    return x


def main() -> None:
    """Takes turns, so that what else the machine does falls on all alike, and reports the ratios."""
    with broker(RAY + SERVERLESS) as (_, state):
        os.environ |= {"BROKER_STATE_DIR": str(state), "BROKER_CONFIG": str(state / "broker.toml")}
        actions: dict[str, Callable[[], object]] = {pool: _remote(pool) for pool in POOLS} | {BARE: _bare(state)}
        rounds = [{name: timed(CALLS, action) for name, action in actions.items()} for _ in range(ROUNDS)]
        mapped = {f"f.map of {MAPPED}, {pool}": _mapped(pool, 1) for pool in POOLS}
        mapped |= {f"the same in chunks of {TOGETHER}, {pool}": _mapped(pool, TOGETHER) for pool in POOLS}
        mapped[f"ray.get of {MAPPED} bare tasks"] = _bare_map()
    found = {name: [taken for each in rounds for taken in each[name]] for name in actions}
    best = {name: min(p50(each[name]) for each in rounds) for name in actions}
    rows = {name if name == BARE else f"f.remote(), {name}": _times(found[name], best[name]) for name in actions}
    rows |= {f"ratio of the best rounds, {pool}": f"{best[pool] / best[BARE]:.1f}" for pool in POOLS}
    rows |= {f"ratio at p50, {pool}": f"{p50(found[pool]) / p50(found[BARE]):.1f}" for pool in POOLS}
    rows |= {name: f"{rate:.0f} calls/s" for name, rate in mapped.items()}
    figures = {f"{name.split()[-1]}_p50_s": p50(taken) for name, taken in found.items()}
    report("a function on a warm pool, called to returned", rows, figures)


def _times(found: list[float], best: float) -> str:
    return f"p50 {p50(found) * 1e3:.1f} ms, p99 {p99(found) * 1e3:.1f} ms, p50 of the best round {best * 1e3:.2f} ms"


def _remote(pool: str) -> Callable[[], int]:
    there = sdk.function(cpu=1, pools=[pool])(same)
    timed(10, lambda: there.remote(0))
    return lambda: there.remote(1)


def _mapped(pool: str, chunksize: int) -> float:
    there = sdk.function(cpu=1, pools=[pool])(same)
    begun = time.perf_counter()
    assert sum(there.map(range(MAPPED), chunksize=chunksize)) == sum(range(MAPPED))
    return MAPPED / (time.perf_counter() - begun)


def _bare_map() -> float:
    import ray

    task = ray.remote(same)
    begun = time.perf_counter()
    assert sum(ray.get([task.remote(x) for x in range(MAPPED)])) == sum(range(MAPPED))
    return MAPPED / (time.perf_counter() - begun)


def _bare(state: Path) -> Callable[[], int]:
    cluster = json.loads((state / "pools" / "ray" / "cluster.json").read_text())
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": cluster["token"]}
    import ray

    ray.init(address=f"127.0.0.2:{cluster['port']}", log_to_driver=False, logging_level="ERROR")
    task = ray.remote(same)
    timed(20, lambda: ray.get(task.remote(1)))
    return lambda: int(ray.get(task.remote(1)))


if __name__ == "__main__":
    main()
