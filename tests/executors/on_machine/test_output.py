"""What a command writes is kept up to the limit, and never holds it up."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.output import Output

NOTE = b"\n[broker: output beyond 1000 bytes was dropped]\n"


@pytest.fixture
def folder(tmp_path: Path) -> AttemptDir:
    made = AttemptDir(tmp_path / "attempt")
    made.make()
    return made


def kept(file: Path) -> bytes:
    """What was kept of a stream, of which there is no file before it is written to."""
    return file.read_bytes() if file.exists() else b""


def shell(folder: AttemptDir, script: str, limit: int = 1000, meanwhile: Callable[[], object] = lambda: None) -> int:
    with Output(folder, limit) as output:
        out, err = output.writers
        process = subprocess.Popen(["sh", "-c", script], stdout=out, stderr=err)
        output.started()
        meanwhile()
        return process.wait()


def test_streams_are_kept_apart_whole_and_after_what_was_there(folder: AttemptDir) -> None:
    folder.stderr.write_bytes(b"setup\n")
    assert shell(folder, r"printf 'a\377\000'; echo oh >&2; exit 3") == 3
    assert folder.stdout.read_bytes() == b"a\xff\x00"
    assert folder.stderr.read_bytes() == b"setup\noh\n"


@given(sizes=st.lists(st.integers(0, 700), max_size=5))
@settings(max_examples=20)
def test_at_most_the_limit_is_kept_and_the_rest_named(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = AttemptDir(tmp_path_factory.mktemp("out") / "attempt")
    folder.make()
    with Output(folder, 1000) as output:
        out, _ = output.writers
        for size in sizes:
            os.write(out, b"x" * size)
        output.started()
    total = sum(sizes)
    assert kept(folder.stdout) == b"x" * min(total, 1000) + (NOTE if total > 1000 else b"")


def test_two_that_share_a_file_share_its_limit(folder: AttemptDir) -> None:
    for _ in range(2):
        shell(folder, "head -c 700 /dev/zero")
    assert folder.stdout.read_bytes() == bytes(1000) + NOTE


def test_what_goes_on_writing_after_the_end_is_not_waited_for(folder: AttemptDir) -> None:
    assert shell(folder, "(exec yes 2>/dev/null) & echo $! >&2") == 0
    os.kill(int(folder.stderr.read_bytes()), 0)  # its pipe is gone; it ends by itself
    assert len(kept(folder.stdout)) <= 1000 + len(NOTE)


def test_it_is_there_while_the_command_runs(folder: AttemptDir, tmp_path: Path) -> None:
    os.mkfifo(gate := tmp_path / "gate")

    def look() -> None:
        with gate.open("wb"):  # opened by the command once it has written
            while not kept(folder.stdout):
                continue

    assert shell(folder, f"echo on; read x < {gate}; exit 4", meanwhile=look) == 4
    assert folder.stdout.read_bytes() == b"on\n"


@pytest.mark.parametrize("lines", [3, 300_000])
async def test_an_event_loop_copies_what_is_little_and_no_more(folder: AttemptDir, lines: int) -> None:
    with Output(folder, 1 << 22, asyncio.get_running_loop()) as output:
        out, err = output.writers
        script = f"seq {lines}; echo oh >&2; read x"
        process = await asyncio.create_subprocess_exec("sh", "-c", script, stdin=-1, stdout=out, stderr=err)
        output.started()
        async with asyncio.timeout(60):
            while not kept(folder.stderr):
                await asyncio.sleep(0.01)
        copying = [thread for thread in threading.enumerate() if thread.name == "output"]
        assert len(copying) == (lines == 300_000)
        await process.communicate(b"\n")
    assert folder.stdout.read_bytes() == b"".join(b"%d\n" % number for number in range(1, lines + 1))
    assert folder.stderr.read_bytes() == b"oh\n"


async def test_what_is_written_last_is_there_at_the_end(folder: AttemptDir) -> None:
    """Nobody waits for the loop to have seen it."""
    with Output(folder, 1000, asyncio.get_running_loop()) as output:
        os.write(output.writers[0], b"last")
        output.started()
    assert folder.stdout.read_bytes() == b"last"


@pytest.mark.parametrize("looped", [False, True])
async def test_a_command_fails_when_the_disk_has_no_room(folder: AttemptDir, looped: bool) -> None:
    folder.stdout.symlink_to("/dev/full")
    with Output(folder, 1000, asyncio.get_running_loop() if looped else None) as output:
        out, err = output.writers
        process = await asyncio.create_subprocess_exec("head", "-c", "10000000", "/dev/zero", stdout=out, stderr=err)
        output.started()
        assert await process.wait() != 0
    assert output.lost == "its output could not be written: No space left on device"
