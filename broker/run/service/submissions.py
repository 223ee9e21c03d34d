"""What people ask to run → stored jobs, or every reason why not; the same again finds the first; failed ones again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from broker.decide.constraints import resolve
from broker.decide.expand import expand, task_count
from broker.decide.quotas import impossible, waiting
from broker.model.acting import ACTING
from broker.model.budgets import Reservation
from broker.model.errors import Conflict, InvalidInput, OverBudget, OverQuota, Problem, StoreFull, UnknownName
from broker.model.jobs import FunctionCall, Job, JobSpec
from broker.model.placement import Placement, Refusal, Verdict
from broker.model.projects import Waiting
from broker.model.submissions import Entry
from broker.run.attempts.payloads import check_inputs
from broker.run.broker import Broker
from broker.run.rights.admitting import judged_with
from broker.run.secrecy.secrets import check_project
from broker.run.service.again import what_to_retry
from broker.run.service.answers import Submission
from broker.run.service.beside import beside, is_large
from broker.run.service.ids import Ids
from broker.run.service.intake import Intake
from broker.run.service.owned import owned
from broker.run.volume_access import with_volumes
from broker.spec.build import dump, fingerprint, to_spec
from broker.spec.check import World
from broker.spec.document import JobDocument
from broker.spec.read import Parsed, from_mapping

_FIELDS: Final = {  # of a job's document, by what a refusal is about
    "gpu_model": "resources.accelerators",
    "gpus": "resources.accelerators",
    "cpus": "resources.cpus",
    "memory": "resources.memory",
    "disk": "resources.disk",
    "nodes": "resources.num_nodes",
    "spot": "resources.spot_policy",
    "extra": "resources.extra",
    "pools": "placement.pools",
    "region": "placement.regions",
    "isolation": "placement.isolation",
    "runtime": "placement.runtime",
    "price": "max_cost",
}
_TRIES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A job that was looked at and may be stored."""

    spec: JobSpec
    reserving: Reservation | None  # in the budgets that are for it
    warnings: tuple[str, ...]  # of budgets that have no room for it
    room: tuple[Waiting, ...] = ()  # how many jobs of its project may wait


class Submissions:
    """Takes jobs in."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._ids = Ids()
        self._intake = Intake(broker.store)

    async def submit(self, fields: Mapping[str, Any], user: str, key: str | None = None) -> Submission:
        """Accepts a job as `broker.spec` describes it. `key` is its id where the document says none.

        The same document under the same id finds the first job. Raises `InvalidInput` with all that is wrong, also
        when no pool could ever run it, and `Conflict` for another document under a known id; nothing is stored then.
        """
        parsed, note = await self.admitted(await self.read(fields, key), user)
        now_ns = self._broker.clock.now_ns()
        try:
            ready = await self.ready(parsed.document, user, now_ns, note)
        except InvalidInput:
            # What was taken before is found again, even where it would not be taken now.
            if earlier := await asyncio.to_thread(self.earlier, parsed.document):
                return submission(earlier, parsed, created=False)
            raise
        return await self._keep(parsed, ready, user, now_ns, note)

    async def store(self, entry: Entry) -> tuple[Job, ...]:
        """Stores it together with what others submit at the same time. Raises as `Store.add_batch` does for it."""
        return await self._intake.add(entry)

    async def ready(self, document: JobDocument, user: str, now_ns: int, note: str) -> Ready:
        """A job that some pool could run and budgets allow, about to be stored; `note` is what hooks changed in it.

        Raises as `submit`.
        """
        with judged_with(note):
            spec = await self._spec(document, now_ns)
            await self._check(spec, user)
        reserving = await self._reserving(spec, user)
        warnings = await self._broker.budgets.warnings(reserving, task_count(spec)) if reserving else []
        room = waiting(await self._broker.projects.named(spec.project), user)
        return Ready(spec=spec, reserving=reserving, warnings=tuple(warnings), room=room)

    async def check(self, fields: Mapping[str, Any], user: str) -> Parsed:
        """What would be submitted, where it would be taken; nothing is stored or started. Raises as `submit`."""
        parsed, note = await self.admitted(await self.read(fields, None), user)
        with judged_with(note):
            await self._check(await self._spec(parsed.document, self._broker.clock.now_ns()), user)
        return parsed

    async def offers(self, fields: Mapping[str, Any], user: str) -> Placement:
        """What would be decided for such a job now; nothing is stored or started.

        Raises `InvalidInput` as `submit` does, but where no pool can run it: that is the answer.
        """
        parsed, note = await self.admitted(await self.read(fields, None), user)
        with judged_with(note):
            spec = await self._spec(parsed.document, self._broker.clock.now_ns())
            await self._check_rights(spec)
        return await self._broker.preview(spec, user)

    async def retry(self, job_id: str, user: str, only_of: str | None = None) -> Submission:
        """Submits a failed or cancelled job again, or those tasks of an array, tagged `retry_of`.

        Raises `UnknownName`, `Conflict` when there is nothing to retry, and `Forbidden` where it is not of `only_of`.
        """
        if only_of is not None:
            await asyncio.to_thread(owned, self._broker.store, job_id, only_of)
        again = await asyncio.to_thread(what_to_retry, self._broker.store, job_id)
        admitted, note = await self.admitted(Parsed(document=again.document), user)
        again = replace(again, document=admitted.document)
        now_ns = self._broker.clock.now_ns()
        ready = await self.ready(again.document, user, now_ns, note)
        return await self._keep(Parsed(document=again.document), ready, user, now_ns, note, again.tasks)

    async def admitted(self, parsed: Parsed, user: str) -> tuple[Parsed, str]:
        """The job that admission hooks let pass, and what they changed, in words. Raises as `Admission.admit`."""
        document, note = await self._broker.admission.admit(parsed.document, user, self._world())
        told = (Problem(field="admission", message=f"{note}: the job is taken so"),) if note else ()
        return replace(parsed, document=document, ignored=parsed.ignored + told), note

    async def put_blob(self, sha256: str, pieces: AsyncIterable[bytes]) -> int:
        """Keeps a function or arguments under their hash; how many bytes.

        Raises `InvalidInput` for another hash, `StoreFull`.
        """
        with self._broker.blobs.draft(sha256) as draft:
            try:
                async for piece in pieces:
                    await asyncio.to_thread(draft.write, piece)
            except StoreFull:
                async for _ in pieces:
                    pass  # whoever is still sending would not see why it is refused
                raise
            await asyncio.to_thread(draft.commit)
        return draft.size

    async def blob_size(self, sha256: str) -> int:
        """How many bytes a function or arguments have that are here. Raises `UnknownName` where they are not."""
        blobs = self._broker.blobs
        if not await asyncio.to_thread(blobs.has, sha256):
            raise UnknownName(f"there is no blob {sha256!r}")
        return await asyncio.to_thread(blobs.size, sha256)

    async def read(self, fields: Mapping[str, Any], key: str | None) -> Parsed:
        """As `parsed`; nobody waits for a large one."""
        return await beside(is_large(fields), partial(self.parsed, fields, key))

    def parsed(self, fields: Mapping[str, Any], key: str | None) -> Parsed:
        """The job that a request describes, under the id `key` where it says none. Raises `InvalidInput`."""
        given = fields.get("id")
        if key is not None and given not in (None, key):
            raise InvalidInput(Problem(field="id", message=f"is {given!r}, but the Idempotency-Key is {key!r}"))
        wanted = {**fields, "id": key} if key is not None else fields
        return from_mapping(wanted, world=self._world())

    def _world(self) -> World:
        pools = self._broker.pools
        models = {model for running in pools.values() for model in running.pool.gpu_models}
        return World(gpu_models=models, pools=tuple(pools))

    async def _spec(self, document: JobDocument, now_ns: int) -> JobSpec:
        """The value that is placed and run, with where its volumes are. Raises `InvalidInput`."""
        spec = to_spec(document, now_ns)
        if not spec.volumes:
            return spec
        return with_volumes(spec, await asyncio.to_thread(self._broker.store.volumes))

    def earlier(self, document: JobDocument) -> tuple[Job, ...]:
        """The jobs that this very document was before. Raises `Conflict` when its id is another document's."""
        if document.id is None:
            return ()
        store = self._broker.store
        for first in (document.id, f"{document.id}.0"):
            try:
                recorded = store.recorded(first)
            except UnknownName:
                continue
            dumped = dump(document)
            return store.add_jobs([recorded.job], dumped, fingerprint(dumped))
        return ()

    async def _check(self, spec: JobSpec, user: str) -> None:
        await self._check_rights(spec)
        if spec.function is not None and not self._is_known(spec.function):
            await asyncio.to_thread(self._check_call, spec.function, spec)
        refused: list[Refusal] = []
        for running in self._broker.pools.values():
            ways, refusals = resolve(spec, running.pool)
            if ways:
                await self._check_limits(spec, user)
                return
            refused += refusals
        raise _impossible(refused)

    async def _check_rights(self, spec: JobSpec) -> None:
        """What no pool is asked about: its project's quota, and the secrets that it names."""
        if problems := impossible(spec, await self._broker.projects.named(spec.project)):
            raise InvalidInput(*problems)
        if spec.named_secrets and (problems := await asyncio.to_thread(self._without_value, spec)):
            raise InvalidInput(*problems)

    def _without_value(self, spec: JobSpec) -> list[Problem]:
        """What is wrong with the secrets that it names: else it would be told so when it is launched."""
        found: list[Problem] = []
        for name in spec.named_secrets:
            try:
                check_project(self._broker.store.sealed([name]), spec.project)
                self._broker.secrets.values([name])
            except InvalidInput as error:
                found += error.problems
        return found

    async def _check_limits(self, spec: JobSpec, user: str) -> None:
        """Money and time: what they forbid depends on prices and history, which only a decision looks up."""
        if spec.max_cost_usd or spec.resources.max_hourly_cost or spec.deadline_ns:
            placement = await self._broker.preview(spec, user)
            if placement.verdict is Verdict.FAIL:
                raise _impossible(placement.refusals)

    async def _reserving(self, spec: JobSpec, user: str) -> Reservation | None:
        """What one of these jobs may cost, to be reserved in the budgets that are for it; None where none is."""
        if await self._broker.budgets.reservation(spec, user, None) is None:
            return None
        placement = await self._broker.preview(spec, user, budgets=False)
        quotes = [placement.chosen] if placement.chosen else list(placement.others)
        amounts = [quote.p90_full for quote in quotes]
        known = [amount for amount in amounts if amount is not None]
        return await self._broker.budgets.reservation(spec, user, max(known, default=None))

    def _is_known(self, call: FunctionCall) -> bool:
        """Whether its function is here for certain, and has no arguments to be looked at."""
        return call.inputs is None and self._broker.blobs.lately_wanted(call.blob)

    def _check_call(self, call: FunctionCall, spec: JobSpec) -> None:
        for field, sha256 in (("blob", call.blob), ("inputs", call.inputs)):
            if sha256 is not None and not self._broker.blobs.has(sha256):
                message = f"{sha256} is not here: send its content first, to PUT /v1/blobs/{sha256}"
                raise InvalidInput(Problem(field=f"function.{field}", message=message))
        if call.inputs is not None:
            check_inputs(call.inputs, task_count(spec), self._broker.blobs)

    async def _keep(
        self, parsed: Parsed, ready: Ready, user: str, now_ns: int, note: str, tasks: Sequence[int] | None = None
    ) -> Submission:
        """Stores the job, or these tasks of the array, and says what became of it."""
        document, large = parsed.document, is_large(vars(parsed.document))
        for _ in range(_TRIES):
            jobs = await expanded(ready.spec, document.id or self._ids.new(now_ns), user, now_ns)
            wanted = jobs if tasks is None else tuple(jobs[index] for index in tasks)
            try:
                stored = await self.store(await beside(large, partial(entry, document, wanted, ready, note)))
            except (OverBudget, OverQuota):
                raise
            except Conflict:
                if document.id is not None:
                    raise
                continue
            if created := stored[0].submitted_ns == now_ns:
                self._broker.wake()
            if created or document.id is not None:
                warnings = ready.warnings if created else ()
                return submission(stored, parsed, created=created, warnings=warnings)
        raise Conflict(f"no id was free in {_TRIES} tries: submit again, or choose one with `id`")


async def expanded(spec: JobSpec, id: str, user: str, now_ns: int) -> tuple[Job, ...]:
    """The jobs of a submission; nobody waits for those of a long array."""
    if spec.array_size is None and not spec.matrix:
        return expand(spec, id, user, now_ns)
    return await asyncio.to_thread(expand, spec, id, user, now_ns)


def entry(document: JobDocument, jobs: tuple[Job, ...], ready: Ready, note: str) -> Entry:
    """What is stored of a submission, and of the request under way."""
    dumped = dump(document)
    return Entry(
        jobs=jobs,
        document=dumped,
        document_hash=fingerprint(dumped),
        reserving=ready.reserving,
        room=ready.room,
        note=note,
        act=ACTING.get(),
    )


def submission(jobs: Sequence[Job], parsed: Parsed, *, created: bool, warnings: tuple[str, ...] = ()) -> Submission:
    """What became of a submission, from its jobs as they are stored."""
    first = jobs[0]
    return Submission(
        id=first.array_id or first.id,
        name=first.spec.name,
        tasks=len(jobs) if first.array_id is not None else None,
        created=created,
        ignored=parsed.ignored,
        warnings=warnings,
    )


def _impossible(refusals: Sequence[Refusal]) -> InvalidInput:
    """One problem for each field that keeps the job out of pools, and which pools."""
    by_field: dict[str, list[str]] = {}
    for refusal in refusals:
        field = _FIELDS.get(refusal.constraint, refusal.constraint)
        by_field.setdefault(field, []).append(f"{refusal.pool}: {refusal.message}")
    problems = [
        Problem(field=field, message=f"no pool can ever run this job as it is: {'; '.join(said)}; change it here")
        for field, said in by_field.items()
    ]
    if not problems:
        return InvalidInput("no pool is configured: add one under `pools` of the configuration")
    return InvalidInput(*problems)
