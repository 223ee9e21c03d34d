"""Calls of a function, with their arguments → jobs: stored, placed and begun in one step where there is room."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from broker.decide.expand import task_count
from broker.model import calls
from broker.model.errors import Conflict, InvalidInput, OverBudget, OverQuota, Problem
from broker.model.jobs import Job, JobSpec
from broker.run.attempts.blobs import SMALL
from broker.run.broker import Broker
from broker.run.lately import Lately
from broker.run.service.answers import Submission
from broker.run.service.ids import Ids
from broker.run.service.submissions import Ready, Submissions, entry, expanded, submission
from broker.spec.document import JobDocument
from broker.spec.read import Parsed

_TRIES: Final = 100
_KEPT: Final = 256  # descriptions of functions that were read last
_KEPT_CHARACTERS: Final = 1 << 14  # of each, at most


class Calling:
    """Takes calls in: a job that is a function, and a file of arguments that comes with it."""

    def __init__(self, broker: Broker, submissions: Submissions) -> None:
        self._broker, self._submissions = broker, submissions
        self._ids = Ids()
        self._read: Lately[tuple[str, ...], Parsed] = Lately(_KEPT)

    async def submit(self, fields: Mapping[str, Any], inputs: bytes, user: str) -> Submission:
        """Accepts a call, or an array of calls with one of the arguments each. Raises as `Submissions.submit`.

        What is read of a function's description is kept: the next call differs in its arguments alone.
        """
        parsed, note = await self._submissions.admitted(_with(self._parsed(fields), inputs), user)
        now_ns = self._broker.clock.now_ns()
        ready = await self._submissions.ready(_without(parsed.document), user, now_ns, note)
        _check(inputs, ready.spec)
        for _ in range(_TRIES):
            try:
                created, jobs = await self._stored(parsed.document, ready, inputs, user, note)
            except (OverBudget, OverQuota):
                raise
            except Conflict:
                if parsed.document.id is not None:
                    raise
                continue
            if created or parsed.document.id is not None:
                return submission(jobs, parsed, created=created, warnings=ready.warnings)
        raise Conflict(f"no id was free in {_TRIES} tries: call again")

    def _parsed(self, fields: Mapping[str, Any]) -> Parsed:
        pools = self._broker.pools.values()
        known = (*(each.pool.name for each in pools), *(model for each in pools for model in each.pool.gpu_models))
        key = (json.dumps(fields, sort_keys=True), *known)
        if (found := self._read.get(key)) is None:
            found = _of_a_function(self._submissions.parsed(fields, None))
            if len(key[0]) <= _KEPT_CHARACTERS:
                self._read.put({key: found})
        return found

    async def _stored(
        self, document: JobDocument, ready: Ready, inputs: bytes, user: str, note: str
    ) -> tuple[bool, tuple[Job, ...]]:
        """Whether jobs were stored, and the jobs of this submission."""
        now_ns, blobs = self._broker.clock.now_ns(), ((_hash(inputs), inputs),)
        await self._room(*blobs[0])
        new = await expanded(_calling(ready.spec, inputs), document.id or self._ids.new(now_ns), user, now_ns)
        wanted = replace(entry(document, new, ready, note), blobs=blobs)
        self._broker.blobs.hold(blobs)  # it may be launched before `begin` returns
        jobs = await self._broker.begin(wanted)
        if jobs is None:
            jobs = await self._submissions.store(wanted)
            self._broker.wake()
        self._broker.blobs.came(blobs)
        return jobs[0].submitted_ns == now_ns, jobs

    async def _room(self, sha256: str, inputs: bytes) -> None:
        """Raises `StoreFull` where there is none for what is not here already."""
        kept = self._broker.blobs
        if kept.lately_wanted(sha256):
            return
        if not kept.room.take_at_hand(len(inputs)):
            await asyncio.to_thread(kept.room.take, len(inputs))
        kept.room.came(len(inputs), new=True)


def _of_a_function(parsed: Parsed) -> Parsed:
    """Raises `InvalidInput` where it is none, or its arguments are elsewhere."""
    call = parsed.document.function
    if call is None:
        raise InvalidInput(Problem(field="function", message="is missing: a call is one of a function"))
    if call.inputs is not None:
        raise InvalidInput(Problem(field="function.inputs", message="is what comes after the line: leave it out"))
    return parsed


def _with(parsed: Parsed, inputs: bytes) -> Parsed:
    return replace(parsed, document=_naming(parsed.document, _hash(inputs)))


def _without(document: JobDocument) -> JobDocument:
    return _naming(document, None)


def _naming(document: JobDocument, inputs: str | None) -> JobDocument:
    if document.function is None:  # an admission hook has made a command of it
        raise InvalidInput(Problem(field="function", message="was taken out by an admission hook: it can't be called"))
    return document.model_copy(update={"function": document.function.model_copy(update={"inputs": inputs})})


def _calling(spec: JobSpec, inputs: bytes) -> JobSpec:
    return replace(spec, function=replace(spec.function, inputs=_hash(inputs))) if spec.function else spec


def _check(inputs: bytes, spec: JobSpec) -> None:
    """Raises `InvalidInput` for what is no file of arguments, or not one for each task."""
    try:
        if len(inputs) > SMALL:
            raise ValueError(f"are {len(inputs):,} bytes, over {SMALL:,}: send them first, to PUT /v1/blobs")
        if (number := calls.checked(inputs, len(inputs))) != task_count(spec):
            raise ValueError(f"are for {number} calls, but there are {task_count(spec)}: one for each task")
    except ValueError as error:
        raise InvalidInput(Problem(field="function.inputs", message=str(error))) from None


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
