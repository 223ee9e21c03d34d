"""The sandbox: what a container sees → the command line that starts its agent, isolated as well as can be here.

bubblewrap where it works; else new namespaces by `unshare`; else a plain process. `strongest` finds out by trying.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from executors.on_machine import agent

AGENT: Final = Path(str(agent.__file__))

# What of /etc a command needs to find names, certificates and libraries; nothing with secrets in it.
_ETC = (
    "alternatives",
    "ca-certificates",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "passwd",
    "pip.conf",
    "resolv.conf",
    "ssl",
)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt")
_GPU_CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps")
_TOPOLOGY = ("/sys/bus", "/sys/class", "/sys/devices")  # from which NCCL reads how GPUs are connected


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a container sees beyond the system."""

    kind: str  # bubblewrap, namespaces or process
    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    gpus: tuple[int, ...] = ()  # real ones, by number
    python: str = sys.executable  # that runs the agent, and functions in forks of it
    modules: tuple[str, ...] = ()  # for functions; none: it runs commands only

    @property
    def visible_gpus(self) -> str:
        """Its GPUs as CUDA counts them: where the others' device files are hidden, from 0 on."""
        numbers = range(len(self.gpus)) if self.kind == "bubblewrap" else self.gpus
        return ",".join(map(str, numbers))


@cache
def strongest() -> str:
    """The strongest isolation that works on this machine: bubblewrap, namespaces or process."""
    for kind in ("bubblewrap", "namespaces"):
        try:
            tried = subprocess.run(
                [*_prefix(View(kind=kind)), "true"],
                capture_output=True,
                check=False,
                timeout=10,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if tried.returncode == 0:
            return kind
    return "process"


def agent_argv(view: View, fd: int) -> list[str]:
    """The command line of a container's agent, which talks on `fd`."""
    flags = ["-I"] if view.modules else ["-I", "-S"]  # without site-packages it is up in half the time
    return [*_prefix(view), view.python, *flags, str(AGENT), str(fd), *view.modules]


def _prefix(view: View) -> list[str]:
    if view.kind == "bubblewrap":
        return _bubblewrap(view)
    if view.kind == "namespaces":
        return [
            shutil.which("unshare") or "unshare",
            *("--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--ipc", "--uts"),
        ]
    return []


def _bubblewrap(view: View) -> list[str]:
    argv = [shutil.which("bwrap") or "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
    argv += ["--die-with-parent", "--cap-drop", "ALL", "--hostname", "container"]
    for folder in _SYSTEM:
        argv += ["--ro-bind-try", folder, folder]
    for name in _ETC:
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    argv += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--tmpfs", "/run"]
    for seen in dict.fromkeys([sys.base_prefix, sys.prefix, str(AGENT.parent.parent), *map(str, view.readable)]):
        argv += ["--ro-bind-try", seen, seen]
    for folder in map(str, view.writable):
        argv += ["--bind", folder, folder]
    return argv + _devices(view.gpus)


def _devices(gpus: Sequence[int]) -> list[str]:
    if not gpus:
        return []
    files = [*_GPU_CONTROL, *(f"nvidia{index}" for index in gpus)]
    argv = [word for name in files for word in ("--dev-bind-try", f"/dev/{name}", f"/dev/{name}")]
    return argv + [word for folder in _TOPOLOGY for word in ("--ro-bind-try", folder, folder)]
