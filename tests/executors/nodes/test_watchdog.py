"""The watchdog: its judgement for any node, and itself as a process that watches real ones."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.testing.executor_watch import PATIENCE_S
from executors.nodes import watchdog
from executors.nodes.watchdog import Limits, Memory, Seen, judge, remember
from tests.serving import serving

LIMITS = Limits(max_lifetime_s=1000, drain_s=100, idle_s=60, boot_s=300, lost_s=30)
seen = st.builds(
    Seen,
    up_s=st.floats(0, 2000),
    ray=st.booleans(),
    work=st.booleans(),
    deadline_s=st.none() | st.floats(0, 2000),
)


@given(st.lists(seen, max_size=30))
def test_no_node_is_up_for_longer_than_its_lifetime(history: list[Seen]) -> None:
    memory = Memory()
    for each in sorted(history, key=lambda one: one.up_s):
        memory = remember(memory, each)
        verdict = judge(LIMITS, memory, each)
        assert verdict.act == "end" or each.up_s < LIMITS.max_lifetime_s


@given(st.lists(seen, min_size=1, max_size=30))
def test_a_node_that_works_is_ended_only_by_its_age_or_without_ray(history: list[Seen]) -> None:
    memory = Memory()
    for each in sorted(history, key=lambda one: one.up_s):
        memory = remember(memory, each._replace(ray=True, work=True))
        verdict = judge(LIMITS, memory, each._replace(ray=True, work=True, deadline_s=None))
        assert verdict.act in ("", "drain") or each.up_s >= LIMITS.max_lifetime_s


def test_each_limit_ends_a_node_at_its_time() -> None:
    def act(up_s: float, joined: float | None, worked: float | None, deadline: float | None = None) -> str:
        return judge(LIMITS, Memory(joined, worked), Seen(up_s, joined == up_s, False, deadline)).act

    assert (act(299, None, None), act(300, None, None)) == ("", "end"), "Ray did not start"
    assert (act(229, 200, 200), act(230, 200, 200)) == ("", "end"), "Ray is gone"
    assert (act(459, 459, 400), act(460, 460, 400)) == ("", "idle")
    assert (act(899, 899, 899), act(900, 900, 900)) == ("", "drain"), "near the end of its life"
    assert act(500, 500, 500, 600) == "drain", "the provider takes it away"


class Node:
    """A node of its own folder of processes, with a watchdog that runs."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.proc = folder / "proc"
        (self.proc / "net").mkdir(parents=True)
        (self.proc / "uptime").symlink_to("/proc/uptime")
        self.add("raylet", "raylet\0--node_id=abc")
        up = float(Path("/proc/uptime").read_text().split()[0])
        limits = {"max_lifetime_s": 600, "drain_s": 0, "idle_s": 600, "boot_s": 600, "lost_s": 600, "every_s": 0.02}
        end = [sys.executable, "-c", f"open({str(folder / 'ended')!r}, 'x')"]
        fixed = {"proc": str(self.proc), "booted_s": up, "notice": "", "metadata": "", "drain": [], "end": end}
        self.config = {**limits, **fixed, "state": str(folder / "run" / "node.json"), **config}

    def add(self, comm: str, title: str = "", environ: bytes = b"") -> Path:
        path = self.proc / str(1000 + len(list(self.proc.iterdir())))
        path.mkdir()
        (path / "comm").write_text(f"{comm}\n")
        (path / "cmdline").write_text(f"{title or comm}\0")
        (path / "environ").write_bytes(environ)
        return path

    def adopt(self, pid: int) -> None:
        (self.proc / str(pid)).symlink_to(f"/proc/{pid}")

    def watch(self) -> subprocess.Popen[str]:
        config = self.folder / "config.json"
        config.write_text(json.dumps(self.config))
        command = [sys.executable, "-I", watchdog.__file__, str(config)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @property
    def said(self) -> dict[str, Any]:
        return json.loads((self.folder / "run" / "node.json").read_text())


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., Node]:
    return lambda **config: Node(tmp_path, **config)


def until(true: Callable[[], Any]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)


def ended(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return said


def test_an_idle_node_ends_itself_with_nobody_there(node: Callable[..., Node]) -> None:
    here = node(idle_s=0.2)
    ended(here.watch())
    assert (here.folder / "ended").exists() and "idle for" in here.said["reason"]


def test_a_node_with_an_attempt_of_ours_is_busy_until_it_ends(node: Callable[..., Node]) -> None:
    here = node(idle_s=0.3)
    with subprocess.Popen(["sleep", "600"], env={**os.environ, "BROKER_ATTEMPT_ID": "a"}) as attempt:
        here.adopt(attempt.pid)
        watching = here.watch()
        with pytest.raises(subprocess.TimeoutExpired):
            watching.wait(1.5)
        attempt.kill()
        attempt.wait()
        ended(watching)


@pytest.mark.parametrize(
    ("title", "busy"),
    [("ray::IDLE", False), ("ray::Supervisor", False), ("ray::train", True), ("ray::DashboardAgent", False)],
)
def test_workers_of_ray_count_by_what_they_do(node: Callable[..., Node], title: str, busy: bool) -> None:
    here = node()
    here.add("python", title, b"BROKER_ATTEMPT_ID=a\0" if title == "ray::IDLE" else b"")
    assert watchdog.works(here.proc) is busy


def test_an_old_node_ends_whatever_it_does(node: Callable[..., Node]) -> None:
    here = node(max_lifetime_s=0.3)
    here.add("python", "ray::train")
    ended(here.watch())
    assert "at most 0 s are allowed" in here.said["reason"]


def test_a_node_whose_ray_never_comes_ends(node: Callable[..., Node]) -> None:
    here = node(boot_s=0.2)
    (next(here.proc.glob("1*")) / "comm").write_text("python\n")
    ended(here.watch())
    assert "Ray did not start" in here.said["reason"]


def test_a_node_is_drained_first_and_stays_when_ray_says_that_it_has_work(node: Callable[..., Node]) -> None:
    here = node(idle_s=0.1)
    asked = here.folder / "asked"
    code = f"import sys; n=len(open({str(asked)!r},'a+').read()); open({str(asked)!r},'a').write('x'); "
    code += f"t=open({str(asked)!r}).read(); print('is not accepted: busy'); sys.exit(len(t) < 5)"
    here.config["drain"] = [sys.executable, "-c", code]
    said = ended(here.watch())
    assert asked.read_text() == "xxxxx" and said.count("not accepted") == 4, "four refusals, then it agreed"


def test_a_drain_that_can_not_be_asked_for_does_not_keep_an_idle_node_alive(node: Callable[..., Node]) -> None:
    here = node(idle_s=0.1, drain=["/no/such/program"])
    assert ended(here.watch()).count("/no/such/program: ") == watchdog.DRAIN_TRIES


def test_an_end_that_fails_is_tried_again(node: Callable[..., Node]) -> None:
    here = node(idle_s=0.1)
    path = str(here.folder / "tries")
    code = f"import sys; open({path!r},'a').write('x'); sys.exit(len(open({path!r}).read()) < 3)"
    here.config["end"] = [sys.executable, "-c", code]
    ended(here.watch())
    assert Path(path).read_text() == "xxx"


def test_other_machines_that_are_connected_keep_a_head(node: Callable[..., Node]) -> None:
    """As the kernel writes it: addresses and ports in hexadecimal, 01 for established."""
    here = node()
    head = "  sl  local_address rem_address   st\n"
    own = "   0: 0500000A:18EB 0500000A:C350 01\n"
    (here.proc / "net" / "tcp").write_text(head + own)
    (here.proc / "net" / "tcp6").write_text(head)
    assert not watchdog.connected(here.proc, 6379)
    (here.proc / "net" / "tcp").write_text(head + own + "   1: 0500000A:18EB 0700000A:C351 01\n")
    assert watchdog.connected(here.proc, 6379) and not watchdog.connected(here.proc, 6380)


@contextmanager
def metadata(answers: dict[str, str], asked: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked.append(self.path)
            known = self.headers.get("X-aws-ec2-metadata-token") == "t" or self.headers.get("Metadata-Flavor")
            text = answers.get(self.path) if known or self.path.endswith("/token") else None
            self.send_response(404 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stop = serving(server)
    yield f"http://127.0.0.1:{server.server_port}"
    stop()


TOKEN, ACTION = "/latest/api/token", "/latest/meta-data/spot/instance-action"
PREEMPTED = "/computeMetadata/v1/instance/preempted"


@pytest.mark.parametrize("provider", ["ec2", "gce"])
def test_a_notice_of_the_provider_drains_the_node_and_is_passed_on(node: Callable[..., Node], provider: str) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=120)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answers = {TOKEN: "t", PREEMPTED: "FALSE"}
    asked: list[str] = []
    with metadata(answers, asked) as url:
        here = node(notice=provider, metadata=url)
        told = here.folder / "told"
        code = f"import sys; open({str(told)!r}, 'w').write(' '.join(sys.argv[1:]))"
        here.config["drain"] = [sys.executable, "-c", code]
        busy = here.add("python", "ray::train")
        watching = here.watch()
        until(lambda: len(asked) > 4)  # it has looked more than once
        assert not told.exists()
        answers |= {ACTION: json.dumps({"action": "terminate", "time": soon}), PREEMPTED: "TRUE"}
        until(lambda: told.exists() and told.read_text())
        with pytest.raises(subprocess.TimeoutExpired):
            watching.wait(0.5)
        assert here.said["state"] == "draining" and not (here.folder / "ended").exists(), "it may finish what it does"
        words = told.read_text().split()
        assert "DRAIN_NODE_REASON_PREEMPTION" in words and words[:2] == ["--node-id", "abc"]
        assert 20 <= int(words[words.index("--deadline-remaining-seconds") + 1]) <= 120
        (busy / "cmdline").write_text("ray::IDLE\0")
        ended(watching)


def test_it_needs_the_standard_library_alone() -> None:
    code = f"import runpy, sys; runpy.run_path({watchdog.__file__!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    outside = {name.split(".")[0] for name in loaded.stdout.split()} - sys.stdlib_module_names - {"__main__"}
    assert not outside
