"""Launching: stored attempts → launches in their pools, many at a time; what a pool refuses becomes a report.

A pool that does not answer keeps its attempts stored: the follower launches them again, under the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from broker.model.errors import ExecutorError, InvalidInput, Misconfigured, NoCapacity, StoreError, Unreachable
from broker.model.jobs import AttemptReport, AttemptState, LaunchRequest
from broker.ports import SecretSource
from broker.run.attempts.blobs import Blobs
from broker.run.attempts.launch import launch_request
from broker.run.attempts.live import Held
from broker.run.attempts.register import Register
from broker.run.pools import RunningPool
from broker.run.secrecy.secrets import check_project

log = structlog.get_logger()


class Launcher:
    """Launches held attempts."""

    def __init__(
        self,
        pools: Mapping[str, RunningPool],
        register: Register,
        secrets: SecretSource,
        blobs: Blobs,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may`: whether this broker is sure that no other has taken over."""
        self._may = may
        self._pools = pools
        self._register = register
        self._secrets = secrets
        self._blobs = blobs
        self.launching: set[str] = set()

    async def launch(self, attempts: Sequence[Held]) -> None:
        """Launches all at once; returns when each was accepted, refused, or put off."""
        fresh = [held for held in attempts if held.attempt.id not in self.launching]
        self.launching.update(held.attempt.id for held in fresh)
        try:
            outcomes = await asyncio.gather(*(self._launch(held) for held in fresh))
        finally:
            self.launching.difference_update(held.attempt.id for held in fresh)
        await self._register.apply([outcome for outcome in outcomes if outcome])

    async def _launch(self, held: Held) -> AttemptReport | None:
        pool = self._pools.get(held.attempt.pool)
        if pool is None or pool.executor is None:
            return None
        try:
            request = await asyncio.to_thread(self._request, held)
            if not self._may():
                return None
            await pool.executor.launch(request)
        except NoCapacity as error:
            return self._report(held, AttemptState.REFUSED, str(error))
        except Unreachable as error:
            pool.problem = str(error)
            return None
        except Misconfigured as error:
            pool.problem = str(error)
            return self._report(held, AttemptState.REFUSED, str(error))
        except (ExecutorError, InvalidInput) as error:
            return self._report(held, AttemptState.FAILED, str(error))
        except StoreError as error:
            log.warning("launch put off", attempt=held.attempt.id, error=str(error))
            return None
        self._register.live.launched(held.attempt.id)
        return None

    def _request(self, held: Held) -> LaunchRequest:
        spec, store = held.job.spec, self._register.store
        for name in spec.volumes.values():
            store.volume(name)  # removed since it was submitted?
        if spec.secrets:
            check_project(store.sealed(spec.secrets), spec.project)
        return launch_request(held, self._blobs, self._secrets)

    def _report(self, held: Held, state: AttemptState, reason: str) -> AttemptReport:
        now = self._register.clock.now_ns()
        return AttemptReport(attempt_id=held.attempt.id, state=state, at_ns=now, ended_ns=now, reason=reason)
