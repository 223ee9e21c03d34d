"""The script of a node, run in a sandbox, with stubs for the programs that change a machine."""

import base64
import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from executors.nodes import watchdog
from executors.nodes.ec2 import Ec2Settings
from executors.nodes.settings import checked
from executors.nodes.startup import Role, script, token_of
from tests.executors.nodes.conftest import pool

TOKEN = "t" * 64
NODES = {"provider": "ec2", "image": "ami-1", "instance_type": "g6.xlarge", "subnets": ["s"], "security_groups": ["g"]}
STUBS = {
    "curl": 'case "$*" in *instance-id*) echo i-1;; *name*) echo vm-1;; *ip*) echo 10.0.0.7;; *) echo token;; esac',
    "shutdown": 'echo "shutdown $*" >> /out/calls',
    "systemctl": 'echo "systemctl $*" >> /out/calls',
    "iptables": 'echo "iptables $*" >> /out/calls',
    "useradd": "mkdir -p /home/ray",
    "id": "exit 1",
    "install": 'for last; do :; done; case "$*" in *-d*) mkdir -p "$last";; *) cat "${@: -2:1}" > "$last";; esac',
}


def text(*, head: bool = False, works: bool = True, metadata: Literal["ec2", "gce"] = "ec2", **settings: object) -> str:
    given = checked(Ec2Settings, "gpus", {**NODES, **settings})
    role = Role(head=head, works=works, head_address="" if head else "10.0.0.5", token=TOKEN)
    return script(pool("gpus", {}), given, role, metadata)


def boot(folder: Path, source: str, **more: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs a script in a sandbox where folders of the system are empty and writable; what it called."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    for name in ("bin", "opt/broker/venv/bin", "etc/systemd/system", "home", "out"):
        (folder / name).mkdir(parents=True)
    for name, body in {**STUBS, **more}.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / "bin" / name).chmod(0o755)
    (folder / "opt/broker/venv/bin/ray").write_text("#!/bin/sh\n")
    (folder / "opt/broker/venv/bin/ray").chmod(0o755)
    (folder / "script").write_text(source)
    binds = [("bin", "/stubs"), ("opt", "/opt"), ("etc/systemd", "/etc/systemd"), ("home", "/home"), ("out", "/out")]
    words = ["bwrap", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64"):
        words += ["--symlink", f"usr{name}", name] if Path(name).is_symlink() else ["--ro-bind-try", name, name]
    words += ["--ro-bind", str(folder / "script"), "/tmp/script"]
    for here, there in binds:
        words += ["--bind", str(folder / here), there]
    path = "/stubs:/usr/local/bin:/usr/bin:/bin"
    words += ["--setenv", "PATH", path, "bash", "/tmp/script"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    calls = folder / "out" / "calls"
    return done, calls.read_text() if calls.exists() else ""


def test_a_node_boots_watched_and_joins(tmp_path: Path) -> None:
    done, calls = boot(tmp_path, text(setup=["echo ready > /out/setup"]))
    assert done.returncode == 0, done.stderr
    there = tmp_path / "opt" / "broker"
    assert (there / "watchdog.py").read_bytes() == Path(watchdog.__file__).read_bytes()
    assert json.loads((there / "watchdog.json").read_text())["idle_s"] == 900
    assert (tmp_path / "home/ray/.ray/auth_token").read_text() == TOKEN
    started = (there / "start-ray").read_text()
    assert "--address=10.0.0.5:6379" in started and "--node-ip-address=10.0.0.7" in started
    assert "--labels=broker-node=i-1" in started and "--num-gpus=1" in started
    assert """--resources='{"accelerator_type:L4": 1""" in started and TOKEN not in started
    assert (tmp_path / "out/setup").read_text() == "ready\n"
    lines = calls.splitlines()
    assert lines[0].startswith("shutdown -P +1440"), "before anything else: the end of its life"
    assert lines.index("systemctl enable --now broker-watchdog.service") < lines.index(
        "systemctl start broker-ray.service"
    )
    assert "iptables -w -I OUTPUT -d 169.254.169.254 -m owner --uid-owner ray -j REJECT" in lines
    assert "poweroff" not in calls


def test_what_fails_ends_the_machine(tmp_path: Path) -> None:
    done, calls = boot(tmp_path, text(setup=["false"]))
    assert done.returncode != 0 and calls.endswith("systemctl poweroff\n") and "broker-ray" not in calls


def test_a_head_that_runs_no_jobs_offers_nothing(tmp_path: Path) -> None:
    done, _ = boot(tmp_path, text(head=True, works=False, metadata="gce"))
    assert done.returncode == 0, done.stderr
    started = (tmp_path / "opt/broker/start-ray").read_text()
    assert "--head --port=6379" in started and "--num-cpus=0 --num-gpus=0" in started and "=vm-1" in started
    config = json.loads((tmp_path / "opt/broker/watchdog.json").read_text())
    assert (config["head_port"], config["drain"], config["notice"], config["idle_s"]) == (6379, [], "gce", 3600)


def test_the_token_is_found_again_in_the_script() -> None:
    assert token_of(text()) == TOKEN and token_of("#!/bin/sh\n") is None


def test_the_same_settings_give_the_same_script() -> None:
    assert text() == text() and len(text().encode()) < 12_000
    packed = text().partition("<<'PROGRAM' | gunzip")[2].partition("\n")[2].partition("PROGRAM\n")[0]
    assert gzip.decompress(base64.b64decode(packed)) == Path(watchdog.__file__).read_bytes()
