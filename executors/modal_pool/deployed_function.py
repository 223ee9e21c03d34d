"""The function that is deployed at Modal: a call claims its attempt, and runs the attempt's agent as a subprocess.

It travels pickled by value, with the functions in it: they import what they need themselves, and nothing of the project
is where they run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CLAIMS = "gpu-broker-claims"  # the Dict in which an attempt is claimed, once
ORDERS = "gpu-broker-orders"  # the Queue by which an agent is told to end, in a partition of its attempt's


def function(agent: str, frame: str) -> Callable[[str, str, bytes, dict[str, str]], None]:
    """The function; `agent` is the text of the agent's program, `frame` begins a line that tells what happens."""
    claims, run, container = CLAIMS, _running(agent, _listening(ORDERS)), _container()

    def attempt(key: str, order: str, bundle: bytes, env: dict[str, str]) -> None:
        import json
        import sys

        import modal

        if not modal.Dict.from_name(claims, create_if_missing=True).put(key, True, skip_if_exists=True):
            # Modal calls again when a container is lost, and a broker whose call got no answer does so too.
            print(frame + json.dumps({"kind": "taken", "key": key}), file=sys.stderr, flush=True)
            return
        run(key, {**json.loads(order), "key": key, **container()}, bundle, env)

    return attempt


def _container() -> Callable[[], dict[str, Any]]:
    """What tells in which container it is, and for how many seconds that has been up."""

    def container() -> dict[str, Any]:
        import os
        import time

        with open("/proc/self/stat") as stat:
            ticks = int(stat.read().rpartition(")")[2].split()[19])
        up_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return {"container": os.environ.get("MODAL_TASK_ID", ""), "up_s": max(up_s, 0.0)}

    return container


def _listening(orders: str) -> Callable[[str, Any, Any], None]:
    """What passes on to an agent's stdin what is asked of an attempt, until it is over."""

    def listen(key: str, stdin: Any, over: Any) -> None:
        import queue
        import time

        import modal

        asked = modal.Queue.from_name(orders, create_if_missing=True)
        while not over.is_set():
            try:
                said = asked.get(timeout=5.0, partition=key)
                stdin.write(said + "\n")
                stdin.flush()
            except queue.Empty:
                continue
            except (OSError, ValueError):  # it has ended
                return
            except modal.exception.Error:
                time.sleep(1.0)

    return listen


def _running(
    agent: str, listen: Callable[[str, Any, Any], None]
) -> Callable[[str, dict[str, Any], bytes, dict[str, str]], None]:
    """What runs the agent to its end."""

    def run(key: str, order: dict[str, Any], bundle: bytes, env: dict[str, str]) -> None:
        import json
        import os
        import subprocess
        import sys
        import tempfile
        import threading

        outer = {name: value for name, value in os.environ.items() if not name.startswith("MODAL_")}
        over = threading.Event()
        with tempfile.TemporaryDirectory(prefix="broker-call-") as folder:
            places = [os.path.join(folder, name) for name in ("order.json", "bundle.tar")]
            for place, data in ((places[0], json.dumps(order).encode()), (places[1], bundle)):
                with open(place, "wb") as file:
                    file.write(data)
            child = subprocess.Popen(
                [sys.executable, "-c", agent, "@" + places[0], places[1] if bundle else ""],
                stdin=subprocess.PIPE,
                text=True,
                env={**outer, "MODAL_TASK_ID": order["container"], **env},
            )
            threading.Thread(target=listen, args=(key, child.stdin, over), daemon=True).start()
            try:
                child.wait()
            finally:
                over.set()
                if child.poll() is None:  # the call was cancelled
                    child.terminate()
                    child.wait()

    return run
