"""What runs in a container elsewhere: an order → a command run to its end; what it wrote and how it ended, as text.

It travels as text, `python3 -c AGENT ORDER BUNDLE`, and runs where nothing else of the project is, on Python 3.8 too.
Streams at Modal carry text only, and whole lines only. So each line that comes out of here is a line of the command's
output, or ends with `SOFT` where it had no end yet, or begins with `FRAME` and tells what happens; bytes that are no
text are written as characters from `ESCAPED` on. What people read in Modal's dashboard is nearly what was written.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import ctypes
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from typing import Any, BinaryIO

ESCAPED = 0xF500  # and the byte, for bytes that are no text
SOFT = "\uf600"  # before the end of a line that is none
FRAME = "\uf601"  # begins a line that tells what happens
CHUNK = 1 << 16
BURST = 200  # lines in a chunk, from which on they travel as one: each line costs its reader a tenth of a millisecond
RESULT_CHUNK = 3 << 13
DRAIN_S = 10.0
UNTOLD = re.compile("[\x00\udc80-\udcff\uf500-\uf6ff]")
CALL = """
import sys, traceback, cloudpickle
payload, result = sys.argv[1:]
try:
    with open(payload, "rb") as file:
        function, args, kwargs = cloudpickle.load(file)
    outcome = ("value", function(*args, **kwargs))
except BaseException as error:
    traceback.print_exc()
    outcome = ("error", error, traceback.format_exc())
try:
    data = cloudpickle.dumps(outcome)
except Exception as error:
    traceback.print_exc()
    outcome = ("error", TypeError(f"the result can't be pickled: {error}"), traceback.format_exc())
    data = cloudpickle.dumps(outcome)
with open(result, "wb") as file:
    file.write(data)
sys.exit(0 if outcome[0] == "value" else 1)
"""


def _escape(found: re.Match[str]) -> str:
    byte = ord(found[0])
    if 0xDC80 <= byte <= 0xDCFF:
        return chr(ESCAPED + byte - 0xDC00)
    return "".join(chr(ESCAPED + each) for each in found[0].encode())


class Voice:
    """One stream on its way out: bytes in, lines of text out, at most `limit` bytes of it."""

    def __init__(self, out: BinaryIO, limit: int) -> None:
        self._out, self._left, self._limit, self._lock = out, limit, limit, threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._dropped = False

    def say(self, data: bytes, final: bool = False) -> None:
        """Passes on a piece of output."""
        self._dropped = self._dropped or len(data) > self._left
        data = data[: self._left]
        self._left -= len(data)
        text = UNTOLD.sub(_escape, self._decoder.decode(data, final))
        if text.count("\n") > BURST:
            text = text.replace("\n", chr(ESCAPED + ord("\n")))
        if text:
            self._write(text if text.endswith("\n") else text + SOFT + "\n")

    def close(self) -> None:
        """Passes on what is left, and says what was dropped."""
        self.say(b"", final=True)
        if self._dropped:
            self._write(f"\n[broker: output beyond {self._limit} bytes was dropped]\n")

    def _write(self, text: str) -> None:
        with self._lock:
            self._out.write(text.encode())
            self._out.flush()

    def tell(self, kind: str, **more: Any) -> None:
        """Tells what happens."""
        self._write(FRAME + json.dumps({"kind": kind, "at_ns": time.time_ns(), **more}) + "\n")


def _descendants(root: int) -> list[int]:
    """Ids of all processes below one."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    left = [root]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def _signal_all(signum: int) -> None:
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, signum)


def _end_all() -> None:
    """Kills whatever is below this process, until nothing is."""
    until = time.monotonic() + DRAIN_S
    while _descendants(os.getpid()) and time.monotonic() < until:
        _signal_all(signal.SIGKILL)
        time.sleep(0.01)


class Agent:
    """Runs one order."""

    def __init__(self, order: dict[str, Any], bundle: str) -> None:
        self._order, self._bundle = order, bundle
        self.out = Voice(sys.stdout.buffer, order["max_bytes"])
        self.err = Voice(sys.stderr.buffer, order["max_bytes"])
        self._home = tempfile.mkdtemp(prefix="broker-")
        self._work = os.path.join(self._home, "work")
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._kill_at: float | None = None  # set once its end was asked for
        self._cancelled = self._late = False

    def run(self) -> int:
        """Runs it to its end; what to exit with."""
        ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)  # what its children leave behind becomes its child
        threading.Thread(target=self._listen, daemon=True).start()
        grace_s = self._order.get("stop_grace_s", self._order["grace_s"])
        signal.signal(signal.SIGTERM, lambda *_: self._events.put(("cancel", grace_s)))
        container = self._order.get("container") or os.environ.get("MODAL_TASK_ID", "")
        self.out.tell("open")
        self.err.tell("ready", container=container, up_s=self._order.get("up_s", 0.0), key=self._order.get("key", ""))
        try:
            end = self._prepared() or self._run()
        except OSError as error:
            end = {"state": "failed", "exit_code": 125, "reason": f"could not be set up: {error}"}
        _end_all()
        self.out.close()
        self.out.tell("closed")
        self.err.close()
        self._tell_result()
        # First the secrets: who hears of the end may kill this process before all is removed.
        shutil.rmtree(os.path.join(self._home, "secrets"), ignore_errors=True)
        self.err.tell("end", **end)
        shutil.rmtree(self._home, ignore_errors=True)
        return int(end["exit_code"])

    def _listen(self) -> None:
        """Takes what is asked over stdin: `cancel SECONDS`."""
        for line in sys.stdin:
            word, _, seconds = line.partition(" ")
            if word == "cancel":
                self._events.put((word, float(seconds)))

    def _prepared(self) -> dict[str, Any] | None:
        """Unpacks what came along and runs the setup; how it ended where that failed."""
        os.mkdir(self._work)
        if self._bundle:
            with tarfile.open(self._bundle) as bundle:
                bundle.extractall(self._home)
        for path, folder, variable in self._order.get("volumes", []):
            self._link(os.path.join(self._work, path), folder)
            os.environ[variable] = folder
        for name in self._order.get("secret_files", []):
            os.environ[name] = self._secret(name, os.environ[name])
        os.environ.setdefault("HOME", self._home)
        if not self._order["setup"]:
            return None
        said: list[bytes] = []
        code, reason = self._command(["bash", "-c", self._order["setup"]], setup=said)
        if self._cancelled:
            return {"state": "cancelled", "exit_code": 143, "reason": "cancelled before it ran"}
        if code == 0:
            return None
        lines = b"".join(said).decode(errors="replace").strip().splitlines()
        reason = reason or (lines[0] if lines else "no output")
        text = f"could not be set up: setup failed (exit code {_shell(code)}): {reason}"
        return {"state": "failed", "exit_code": 125, "reason": text}

    def _secret(self, name: str, value: str) -> str:
        """Puts a secret into a file that is removed at the end; its path."""
        folder = os.path.join(self._home, "secrets")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="utf-8") as file:
            file.write(value)
        return path

    @staticmethod
    def _link(place: str, folder: str) -> None:
        """Lets a volume be where the job wants it."""
        os.makedirs(folder, exist_ok=True)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(folder, place)

    def _run(self) -> dict[str, Any]:
        argv = self._order["argv"]
        if self._order["call"]:
            argv = [sys.executable, "-c", CALL, os.path.join(self._home, "payload"), os.path.join(self._home, "result")]
        code, reason = self._command(argv)
        end = {"state": "failed", "exit_code": _shell(code), "signal": -code if code < 0 else None, "reason": reason}
        if self._cancelled:
            return {**end, "state": "cancelled", "reason": "cancelled"}
        if self._late:
            reason = f"ran longer than {self._order['limit_s']:g} s"
            return {**end, "state": "timed_out", "exit_code": 124, "reason": reason}
        if code == 0:
            return {**end, "state": "succeeded", "reason": ""}
        if not reason and code < 0:
            end["reason"] = f"ended by signal {signal.Signals(-code).name}"
        return {**end, "reason": end["reason"] or f"exit code {code}"}

    def _command(self, argv: list[str], setup: list[bytes] | None = None) -> tuple[int, str]:
        """Runs one command; its exit code, or minus the signal that ended it, and why it could not be started."""
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(
                argv, cwd=self._work, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            return (127 if isinstance(error, FileNotFoundError) else 126), f"{argv[0]}: {error.strerror}"
        if setup is None:
            self.err.tell("started")
        ways = ((child.stdout, self.err if setup is not None else self.out), (child.stderr, self.err))
        pumps = [threading.Thread(target=_pump, args=(*way, setup), daemon=True) for way in ways]
        for pump in pumps:
            pump.start()
        threading.Thread(target=lambda: self._events.put(("exit", child.wait())), daemon=True).start()
        code = self._watch(None if setup is not None else self._order["limit_s"])
        _end_all()
        for pump in pumps:
            pump.join(DRAIN_S)
        return code, ""

    def _watch(self, limit_s: float | None) -> int:
        """Waits for the end of the command; ends it when it is cancelled or late."""
        late_at = None if limit_s is None else time.monotonic() + limit_s
        while True:
            due = self._kill_at if self._kill_at is not None else late_at
            try:
                what, value = self._events.get(timeout=None if due is None else max(due - time.monotonic(), 0.0))
            except queue.Empty:
                if self._kill_at is not None:
                    _signal_all(signal.SIGKILL)
                    self._kill_at = time.monotonic() + 0.2
                else:
                    self._late = True
                    self._ask(self._order["grace_s"])
                continue
            if what == "exit":
                return int(value)
            self._cancelled = True
            self._ask(value)

    def _ask(self, grace_s: float) -> None:
        """SIGTERM to all of it, and when SIGKILL is due."""
        until = time.monotonic() + grace_s
        self._kill_at = until if self._kill_at is None else min(until, self._kill_at)
        if grace_s:
            _signal_all(signal.SIGTERM)

    def _tell_result(self) -> None:
        """What a function returned or raised; nothing where it ended before it could write that."""
        if not self._order["call"] or not os.path.exists(os.path.join(self._home, "result")):
            return
        with open(os.path.join(self._home, "result"), "rb") as file:
            while data := file.read(RESULT_CHUNK):
                self.err.tell("result", data=base64.b64encode(data).decode())


def _pump(pipe: Any, voice: Voice, copy: list[bytes] | None) -> None:
    """Copies a stream until it ends."""
    while data := os.read(pipe.fileno(), CHUNK):
        voice.say(data)
        if copy is not None:
            copy.append(data)


def _shell(code: int) -> int:
    """As a shell tells it."""
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    text, bundle = sys.argv[1:]
    if text.startswith("@"):
        with open(text[1:]) as order_file:
            text = order_file.read()
    code = Agent(json.loads(text), bundle).run()
    sys.stdout.flush()
    os._exit(code)
