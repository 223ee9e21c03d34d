"""The sandbox: which folders a container sees → the command line that starts its agent, as isolated as can be here.

bubblewrap where it works; else new namespaces by `unshare`; else a plain process. `strongest` finds out by trying.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

AGENT = Path(__file__).with_name("agent.py")

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


@cache
def strongest() -> str:
    """The strongest isolation that works on this machine: bubblewrap, namespaces or process."""
    for kind in ("bubblewrap", "namespaces"):
        try:
            tried = subprocess.run(
                [*_prefix(kind, (), ()), "true"], capture_output=True, check=False, timeout=10, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if tried.returncode == 0:
            return kind
    return "process"


def agent_argv(kind: str, fd: int, writable: Sequence[Path], readable: Sequence[Path]) -> list[str]:
    """The command line of a container's agent, which talks on `fd`."""
    return [*_prefix(kind, writable, readable), sys.executable, "-I", "-S", str(AGENT), str(fd)]


def _prefix(kind: str, writable: Sequence[Path], readable: Sequence[Path]) -> list[str]:
    if kind == "bubblewrap":
        return _bubblewrap(writable, readable)
    if kind == "namespaces":
        return [
            shutil.which("unshare") or "unshare",
            *("--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--ipc", "--uts"),
        ]
    return []


def _bubblewrap(writable: Sequence[Path], readable: Sequence[Path]) -> list[str]:
    argv = [shutil.which("bwrap") or "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
    argv += ["--die-with-parent", "--cap-drop", "ALL", "--hostname", "container"]
    for folder in _SYSTEM:
        argv += ["--ro-bind-try", folder, folder]
    for name in _ETC:
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    argv += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--tmpfs", "/run"]
    for seen in dict.fromkeys([sys.base_prefix, sys.prefix, str(AGENT.parent.parent), *map(str, readable)]):
        argv += ["--ro-bind-try", seen, seen]
    for folder in map(str, writable):
        argv += ["--bind", folder, folder]
    for device in sorted(Path("/dev").glob("nvidia*")):
        argv += ["--dev-bind-try", str(device), str(device)]
    return argv
