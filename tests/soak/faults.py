"""What happens to the broker and its pools, one thing at a time, and what it may have interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from executors.on_machine.processes import session_members
from executors.ray_cluster.local_nodes import load
from tests.soak.plan import DAEMON_FAULTS, POOL_FAULTS, Fault
from tests.soak.processes import Process, kill, of, running_attempts
from tests.soak.world import World

HOST: Final = "executors.local_serverless.host"
GATEWAY: Final = "executors.ray_cluster.gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A fault that was done, or why it could not be."""

    kind: str
    pool: str  # whose attempts it may have interrupted: a pool, * for any, "" for none
    at_ns: int
    over_ns: int
    note: str = ""


def happen(fault: Fault, here: World) -> Happened:
    """Does it, and waits until what a person would do about it is done: the daemon or the node is up again."""
    at_ns = time.time_ns()
    note = _DO[fault.kind](fault, here)
    pool = {**DAEMON_FAULTS, **POOL_FAULTS}[fault.kind]
    return Happened(kind=fault.kind, pool=pool, at_ns=at_ns, over_ns=time.time_ns(), note=note)


def _daemon_killed(fault: Fault, here: World) -> str:
    here.end(signal.SIGKILL)
    time.sleep(fault.length_s / 10)
    here.up()
    return ""


def _daemon_ended(fault: Fault, here: World) -> str:
    here.end(signal.SIGTERM)
    time.sleep(fault.length_s / 5)
    here.up()
    return ""


def _daemon_stopped(fault: Fault, here: World) -> str:
    assert here.process is not None
    here.process.send_signal(signal.SIGSTOP)
    time.sleep(fault.length_s)
    here.process.send_signal(signal.SIGCONT)
    return f"{fault.length_s:.1f} s"


def _store_away(fault: Fault, here: World) -> str:
    with here.store_away():
        time.sleep(fault.length_s)
    return f"{fault.length_s:.1f} s"


def _ray_worker(fault: Fault, here: World) -> str:
    workers = [each for each in running_attempts(of(here.folder)).values() if each.command.startswith("ray::")]
    return _one(fault, workers, "no attempt runs on Ray")


def _ray_node(fault: Fault, here: World) -> str:
    alive = [node for node in here.cluster.nodes[1:] if node.alive]
    node = alive[fault.draw % len(alive)]
    kill(session_members(node.pid))
    node.end()
    time.sleep(fault.length_s / 3)
    here.cluster.add({})
    return ""


def _ray_head(fault: Fault, here: World) -> str:
    cluster = load(here.state / "pools" / "ray")
    if cluster is None or not cluster.alive:
        return "there is none"
    kill(session_members(cluster.nodes[0].pid))
    return ""


def _named(part: str) -> Callable[[Fault, World], str]:
    def hit(fault: Fault, here: World) -> str:
        found = [each for each in of(here.folder).values() if part in each.command]
        return _one(fault, found, "there is none")

    return hit


def _container(fault: Fault, here: World) -> str:
    everything = of(here.folder)
    hosts = {pid for pid, each in everything.items() if HOST in each.command}
    return _one(fault, [each for each in everything.values() if each.parent in hosts], "no container is up")


def _one(fault: Fault, found: list[Process], otherwise: str) -> str:
    if not found:
        return otherwise
    hit = sorted(found, key=lambda each: each.pid)[fault.draw % len(found)]
    kill([hit.pid])
    return f"{hit.command.split(' --')[0][:40]} ({hit.pid})"


_DO: Final[dict[str, Callable[[Fault, World], str]]] = {
    "daemon killed": _daemon_killed,
    "daemon ended": _daemon_ended,
    "daemon stopped": _daemon_stopped,
    "store away": _store_away,
    "ray worker killed": _ray_worker,
    "ray node killed": _ray_node,
    "ray head killed": _ray_head,
    "ray gateway killed": _named(GATEWAY),
    "ray supervisor killed": _named("ray::Supervisor"),
    "container killed": _container,
    "container host killed": _named(HOST),
}
