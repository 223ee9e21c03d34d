"""What is kept of attempts, and for how long."""

from pathlib import Path

import pytest

from broker.model.jobs import AttemptState
from broker.ports import ExecutorContext
from broker.run.attempts.archive import Archive
from broker.run.clock import SystemClock
from broker.testing.builders import launch_request, pool
from broker.testing.fakes import FakeExecutor

DAY_NS = 86_400 * 10**9


@pytest.fixture
async def kept(tmp_path: Path) -> Archive:
    executor = FakeExecutor(ExecutorContext(pool=pool("fake"), state_dir=tmp_path, clock=SystemClock()))
    await executor.open()
    await executor.launch(launch_request(attempt_id="j-a1"))
    executor.runs["j-a1"].stdout = b"hello\xff"
    await executor.move("j-a1", AttemptState.SUCCEEDED)
    archive = Archive(tmp_path / "archive")
    draft = tmp_path / "archive" / ".j-a1"  # of a broker that died when it had copied a part
    draft.mkdir()
    (draft / "result").write_bytes(b"a part")
    await archive.keep(executor, "j-a1")
    return archive


async def test_output_is_kept_byte_by_byte(kept: Archive) -> None:
    assert kept.logs("j-a1", "stdout", 0, 100).data == b"hello\xff"
    piece = kept.logs("j-a1", "stdout", 2, 2)
    assert (piece.data, piece.next_offset, piece.complete) == (b"ll", 4, False)
    assert kept.logs("j-a1", "stderr", 0, 100).complete
    assert kept.result("j-a1") is None


async def test_what_was_kept_long_enough_is_dropped_and_said_to_be(kept: Archive, tmp_path: Path) -> None:
    now = (tmp_path / "archive" / "j-a1").stat().st_mtime_ns
    assert kept.expire(now - DAY_NS) == 0
    assert not kept.expired("j-a1")
    assert kept.expire(now + DAY_NS) == 1
    assert kept.expired("j-a1") and kept.holds("j-a1")
    assert kept.expire(now + 2 * DAY_NS) == 0
    with pytest.raises(KeyError):
        kept.logs("j-a1", "stdout", 0, 100)
