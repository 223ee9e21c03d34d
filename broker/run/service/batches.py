"""Many jobs of one request → all of them stored in one transaction, or none and everything that is wrong.

So a batch can be sent again as it is: what was stored is found, and of a batch that was refused there is nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from broker.decide.expand import expand
from broker.model.errors import Conflict, InvalidInput, OverBudget, OverQuota, Problem
from broker.run.broker import Broker
from broker.run.service.answers import Submission
from broker.run.service.ids import Ids
from broker.run.service.submissions import Ready, Submissions, entry, submission
from broker.spec.footprint import Footprint, excess, footprint
from broker.spec.read import Parsed

MOST_JOBS: Final = 1_000
_MOST_PROBLEMS: Final = 100  # that are said at once
_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of a batch."""

    key: str  # jobs without an id of their own are KEY-0, KEY-1, by their place
    submissions: tuple[Submission, ...]  # in the order of the request


class Batches:
    """Takes many jobs in at once."""

    def __init__(self, broker: Broker, submissions: Submissions) -> None:
        self._broker = broker
        self._submissions = submissions
        self._ids = Ids()

    async def submit(self, jobs: Sequence[Mapping[str, Any]], user: str, key: str | None = None) -> Batch:
        """Accepts all these jobs, each as `Submissions.submit` does one, or none of them.

        Raises `InvalidInput` with all that is wrong (`jobs[3].resources.cpus`), `Conflict` and `OverBudget`.
        """
        for left in reversed(range(_TRIES)):
            now_ns = self._broker.clock.now_ns()
            name = key or self._ids.new(now_ns)
            read = await asyncio.to_thread(self._parsed, jobs, name)
            parsed, notes = await self._admitted(read, user)
            ready = await self._ready(parsed, notes, user, now_ns)
            try:
                found = await asyncio.to_thread(self._keep, parsed, ready, notes, user, now_ns)
            except (OverBudget, OverQuota):
                raise
            except Conflict:
                # Another broker may have made the same key at the same moment.
                if key is not None or not left:
                    raise
                continue
            if key is not None or all(each.created for each, of in zip(found, jobs, strict=True) if not of.get("id")):
                self._broker.wake()
                return Batch(key=name, submissions=found)
        raise Conflict(f"no key was free in {_TRIES} tries: submit again, or send an Idempotency-Key")

    def _keep(
        self, parsed: Sequence[Parsed], ready: Sequence[Ready], notes: Sequence[str], user: str, now_ns: int
    ) -> tuple[Submission, ...]:
        entries = [
            entry(each.document, expand(of.spec, each.document.id or "", user, now_ns), of, note)
            for each, of, note in zip(parsed, ready, notes, strict=True)
        ]
        stored = self._broker.store.add_batch(entries)
        return tuple(
            submission(jobs, each, created=jobs[0].submitted_ns == now_ns, warnings=of.warnings)
            for jobs, each, of in zip(stored, parsed, ready, strict=True)
        )

    def _parsed(self, jobs: Sequence[Mapping[str, Any]], name: str) -> list[Parsed]:
        wrong, found = _Wrong(), []
        for place, fields in enumerate(jobs):
            try:
                found.append(self._submissions.parsed(fields, None if fields.get("id") else f"{name}-{place}"))
            except InvalidInput as error:
                wrong.add(place, error)
        seen: dict[str | None, int] = {}
        for place, each in enumerate(found if not wrong.problems else ()):
            if (first := seen.setdefault(each.document.id, place)) != place:
                wrong.add(place, InvalidInput(Problem(field="id", message=f"is that of jobs[{first}], too: keep one")))
        wrong.check()
        return found

    async def _admitted(self, parsed: Sequence[Parsed], user: str) -> tuple[list[Parsed], list[str]]:
        wrong, found = _Wrong(), []
        for place, each in enumerate(parsed):
            try:
                found.append(await self._submissions.admitted(each, user))
            except InvalidInput as error:
                wrong.add(place, error)
        wrong.check()
        return [each for each, _ in found], [note for _, note in found]

    async def _ready(self, parsed: Sequence[Parsed], notes: Sequence[str], user: str, now_ns: int) -> list[Ready]:
        wrong, found = _Wrong(), []
        for place, (each, note) in enumerate(zip(parsed, notes, strict=True)):
            try:
                found.append(await self._submissions.ready(each.document, user, now_ns, note))
            except InvalidInput as error:
                # What was taken before is found again, even where it would not be taken now.
                if earlier := await asyncio.to_thread(self._submissions.earlier, each.document):
                    found.append(Ready(spec=earlier[0].spec, reserving=None, warnings=()))
                else:
                    wrong.add(place, error)
        wrong.check()
        whole = Footprint.total(footprint(each.document) for each in parsed)
        for field, message in excess(whole):
            said = f"are too much together, split them: {field} {message} of one batch"
            raise InvalidInput(Problem(field="jobs", message=said))
        return found


class _Wrong:
    """What is wrong with the jobs of a batch, each with its place."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, place: int, error: InvalidInput) -> None:
        """Takes note of what is wrong with one job."""
        for each in error.problems or (Problem(message=str(error)),):
            field = f"jobs[{place}].{each.field}" if each.field else f"jobs[{place}]"
            self.problems.append(Problem(field=field, message=each.message))

    def check(self) -> None:
        """Raises `InvalidInput` where something is."""
        if self.problems:
            raise InvalidInput(*self.problems[:_MOST_PROBLEMS])
