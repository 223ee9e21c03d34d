"""The part of the `Executor` port that is the same wherever attempts run: their reports and output are kept here."""

from __future__ import annotations

import asyncio
import shutil
import traceback
from collections.abc import Awaitable, Sequence
from typing import Generic, TypeVar

import structlog

from broker.model.errors import Misconfigured, NoCapacity, Rejected, Unreachable
from broker.ports import LogChunk, Poll, Stream
from executors.on_machine.attempt_dir import result_of, stream_piece
from executors.on_machine.environment import EnvironmentFailed
from executors.on_machine.outcome import Outcome, ended
from executors.on_machine.reporting import attempt_report
from executors.remote.site import RemoteSite

log = structlog.get_logger()

Site = TypeVar("Site", bound=RemoteSite)


class KeptHere(Generic[Site]):
    """Reports and output in the pool's folder; see `broker.ports.Executor` for what each method promises."""

    _site: Site

    async def poll(self, since: int = 0, wait_s: float = 0.0) -> Poll:
        """What changed."""
        version, reports = await self._site.reports.poll(since, wait_s)
        return Poll(version=version, reports=tuple(attempt_report(report) for report in reports))

    async def logs(self, attempt_id: str, stream: Stream, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Read from the attempt's folder, which its output is copied to as it comes."""
        return await stream_piece(self._site.folder(attempt_id), stream, offset, limit)

    async def result(self, attempt_id: str) -> bytes | None:
        """Read from the attempt's folder."""
        return await result_of(self._site.folder(attempt_id))

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops reports and folders; what was measured stays until it is charged."""
        for attempt_id in self._site.reports.forget(attempt_ids):
            await asyncio.to_thread(shutil.rmtree, self._site.folder(attempt_id).path, ignore_errors=True)

    def _now(self) -> int:
        return self._site.meter.clock.now_ns()

    async def _outcome(self, run: Awaitable[Outcome]) -> Outcome:
        """What following an attempt comes to; whatever happens becomes an outcome."""
        try:
            return await run
        except (NoCapacity, Misconfigured, Unreachable) as error:
            return ended("refused", reason=str(error))
        except Rejected as error:
            return ended("failed", reason=str(error))
        except (EnvironmentFailed, OSError) as error:
            return ended("failed", exit_code=125, reason=f"could not be set up: {error}")
        except Exception as error:
            # Without the variables of the frames, among which a secret might be.
            log.error("an attempt was lost by its pool", pool=self._site.pool.name, error=traceback.format_exc())
            return ended("failed", reason=f"the pool failed: {type(error).__name__}: {error}")
