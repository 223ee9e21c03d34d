"""Launching: stored attempts → launches in their pools, many at a time; what a pool refuses becomes a report.

A pool that does not answer keeps its attempts stored: the follower launches them again, under the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from broker.decide.holding import MOST_WORDS
from broker.model.errors import (
    ExecutorError,
    InvalidInput,
    Misconfigured,
    NoCapacity,
    StoreError,
    Unreachable,
)
from broker.model.jobs import AttemptReport, AttemptState, LaunchRequest
from broker.ports import Executor, SecretSource
from broker.run.attempts.blobs import Blobs
from broker.run.attempts.launch import launch_request
from broker.run.attempts.live import Held
from broker.run.attempts.register import Register
from broker.run.pools import RunningPool
from broker.run.secrecy.secrets import check_project
from broker.run.volume_access import check_access

log = structlog.get_logger()

TOGETHER: Final = 16  # whose requests are made in one go, before the first of them is launched


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
            outcomes = await asyncio.gather(*(self._launch_some(some) for some in _pieces(fresh)))
        finally:
            self.launching.difference_update(held.attempt.id for held in fresh)
        await self._register.apply([outcome for some in outcomes for outcome in some if outcome])

    async def _launch_some(self, some: Sequence[Held]) -> Sequence[AttemptReport | None]:
        known = [held for held in some if self._executor(held) is not None]
        if all(map(self._at_hand, known)):
            asked = [self._asked(held) for held in known]
        else:
            asked = await asyncio.to_thread(lambda: [self._asked(held) for held in known])
        return await asyncio.gather(*(self._launch(held, each) for held, each in zip(known, asked, strict=True)))

    def _executor(self, held: Held) -> Executor | None:
        pool = self._pools.get(held.attempt.pool)
        return pool.executor if pool is not None else None

    async def _launch(self, held: Held, asked: LaunchRequest | Exception) -> AttemptReport | None:
        pool, executor = self._pools[held.attempt.pool], self._executor(held)
        try:
            if isinstance(asked, Exception):
                raise asked
            if executor is None or not self._may():
                return None
            await executor.launch(asked)
        except NoCapacity as error:
            return self._report(held, AttemptState.REFUSED, str(error))
        except Unreachable as error:
            pool.fails(error)
            return None
        except Misconfigured as error:
            pool.fails(error)
            return self._report(held, AttemptState.REFUSED, str(error))
        except (ExecutorError, InvalidInput) as error:
            return self._report(held, AttemptState.FAILED, str(error))
        except StoreError as error:
            log.warning("launch put off", attempt=held.attempt.id, error=str(error))
            return None
        except Exception as error:
            return await self._given_up(held, error)
        self._register.live.launched(held.attempt.id)
        return None

    async def _given_up(self, held: Held, error: Exception) -> AttemptReport | None:
        """The end of an attempt whose launch failed in a way that nobody foresaw, once it is sure that it won't run."""
        log.error("a launch failed", attempt=held.attempt.id, pool=held.attempt.pool, exc_info=error)
        try:
            if (executor := self._executor(held)) is not None:
                await executor.cancel(held.attempt.id)  # it may have been accepted all the same
        except Exception:
            log.exception("whether it runs is not known; it is launched again", attempt=held.attempt.id)
            return None
        said = f"{type(error).__name__}: {error}"[:MOST_WORDS]
        return self._report(held, AttemptState.FAILED, f"{held.attempt.pool} failed at launching it: {said}")

    def _at_hand(self, held: Held) -> bool:
        """Whether its request can be made of what is in memory: then no thread need be waited for."""
        spec = held.job.spec
        return not (spec.volumes or spec.named_secrets) and (
            spec.function is None or self._blobs.at_hand(spec.function)
        )

    def _asked(self, held: Held) -> LaunchRequest | Exception:
        """What is launched, or why it can't be."""
        try:
            return self._request(held)
        except Exception as error:
            return error

    def _request(self, held: Held) -> LaunchRequest:
        spec, store = held.job.spec, self._register.store
        if held.job.unread:
            raise LookupError(held.job.unread)
        for name in spec.volumes.values():
            check_access(spec, store.volume(name))  # removed, or not its project's any more, since it was submitted?
        if spec.named_secrets:
            check_project(store.sealed(spec.named_secrets), spec.project)
        return launch_request(held, self._blobs, self._secrets)

    def _report(self, held: Held, state: AttemptState, reason: str) -> AttemptReport:
        now = self._register.clock.now_ns()
        return AttemptReport(attempt_id=held.attempt.id, state=state, at_ns=now, ended_ns=now, reason=reason)


def _pieces(attempts: Sequence[Held]) -> Iterator[Sequence[Held]]:
    return (attempts[first : first + TOGETHER] for first in range(0, len(attempts), TOGETHER))
