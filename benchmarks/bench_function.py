"""`f.remote()` on warm pools of this machine, against a bare Ray task on the same cluster; and `f.map` of many."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import broker as sdk
from benchmarks.harness import RAY, SERVERLESS, broker, p50, p99, report, timed

CALLS, MAPPED = 60, 200
POOLS = ("ray", "serverless")


def same(x: int) -> int:
    """The least that a function can do."""
    return x


def main() -> None:
    """Runs all three, one after the other, and reports the ratios."""
    with broker(RAY + SERVERLESS) as (_, state):
        os.environ |= {"BROKER_STATE_DIR": str(state), "BROKER_CONFIG": str(state / "broker.toml")}
        ours = {pool: _remote(pool) for pool in POOLS}
        mapped = {pool: _mapped(pool) for pool in POOLS}
        bare = _bare(state)
    rows = {
        f"f.remote(), {pool}": f"p50 {p50(found) * 1e3:.1f} ms, p99 {p99(found) * 1e3:.1f} ms"
        for pool, found in ours.items()
    }
    rows |= {f"f.map of {MAPPED}, {pool}": f"{rate:.0f} calls/s" for pool, rate in mapped.items()}
    rows["a bare Ray task"] = _times(bare)
    rows |= {f"ratio at p50, {pool}": f"{p50(found) / p50(bare):.1f}" for pool, found in ours.items()}
    figures = {f"{pool}_p50_s": p50(found) for pool, found in ours.items()} | {"bare_p50_s": p50(bare)}
    report("a function on a warm pool, called to returned", rows, figures)


def _times(found: list[float]) -> str:
    return f"p50 {p50(found) * 1e3:.2f} ms, p99 {p99(found) * 1e3:.2f} ms"


def _remote(pool: str) -> list[float]:
    there = sdk.function(cpu=1, pools=[pool])(same)
    timed(10, lambda: there.remote(0))
    return timed(CALLS, lambda: there.remote(1))


def _mapped(pool: str) -> float:
    there = sdk.function(cpu=1, pools=[pool])(same)
    begun = time.perf_counter()
    assert sum(there.map(range(MAPPED))) == sum(range(MAPPED))
    return MAPPED / (time.perf_counter() - begun)


def _bare(state: Path) -> list[float]:
    cluster = json.loads((state / "pools" / "ray" / "cluster.json").read_text())
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": cluster["token"]}
    import ray

    ray.init(address=f"127.0.0.1:{cluster['port']}", log_to_driver=False)
    task = ray.remote(same)
    timed(20, lambda: ray.get(task.remote(1)))
    found = timed(10 * CALLS, lambda: ray.get(task.remote(1)))
    ray.shutdown()
    return found


if __name__ == "__main__":
    main()
