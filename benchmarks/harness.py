"""What the benchmarks share: a broker of their own for as long as one runs, and a table at its end."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from broker.run.lifecycle import is_running, start_daemon
from broker.sdk.client import Client
from broker.sdk.connect import connect

RAY = """
[pools.ray]
executor = "ray"
kind = "cluster"
cpus = 2
memory = "4GiB"
max_nodes = 1
price = { usd_per_hour = 1.0, source = "benchmark" }
"""
SERVERLESS = """
[pools.serverless]
executor = "local_serverless"
kind = "serverless"
cpus = 1
memory = "1GiB"
max_containers = 2
scaledown_window = "30s"
price = { provider = "modal", product = "sandbox" }
"""


@contextmanager
def broker(config: str) -> Iterator[tuple[Client, Path]]:
    """A client of a broker that is started for this and ended after it, and its state folder."""
    state = Path(tempfile.mkdtemp(prefix="bb-"))
    (state / "broker.toml").write_text(config)
    with _sigterm() as may_end:
        try:
            start_daemon(state, state / "broker.toml")
            with may_end():
                yield connect(state), state
        finally:  # a benchmark that fails, or is ended, leaves nothing running
            if is_running(state):
                connect(state).shutdown(drain=False)
            while is_running(state):
                time.sleep(0.1)
            shutil.rmtree(state, ignore_errors=True)


@contextmanager
def _sigterm() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Makes SIGTERM an exception like Ctrl-C's, in the part that is given; what comes outside of it waits for that."""
    asked = inside = False

    def end(signum: int, _: object) -> None:
        nonlocal asked
        asked = True
        if inside:
            raise SystemExit(128 + signum)

    @contextmanager
    def may_end() -> Iterator[None]:
        nonlocal inside
        inside = True
        try:
            if asked:
                raise SystemExit(128 + signal.SIGTERM)
            yield
        finally:
            inside = False

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield may_end
    finally:
        signal.signal(signal.SIGTERM, before)


def timed(runs: int, action: Callable[[], object]) -> list[float]:
    """Seconds that each of several runs took."""
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return taken


def p50(values: list[float]) -> float:
    return statistics.median(values)


def p99(values: list[float]) -> float:
    return sorted(values)[min(int(len(values) * 0.99), len(values) - 1)]


def report(title: str, rows: dict[str, str], figures: dict[str, float]) -> None:
    """Prints a table for people and a line of JSON for programs."""
    width = max(map(len, rows))
    print(f"\n{title}")
    for name, value in rows.items():
        print(f"  {name:{width}}  {value}")
    print(json.dumps({"benchmark": title, **figures}))
