"""Admission hooks while the broker runs: each job passes all of them, in order, or is not taken.

A hook is somebody else's code. It gets a limited time in a thread of its own; one that crashes or does not answer
refuses the job, and so does one whose answer is no job.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from types import MappingProxyType
from typing import Any, Final

import structlog

from broker.admission import AdmissionHook, AdmissionRefused, Admitting
from broker.model.errors import InvalidInput, Misconfigured, Problem
from broker.model.projects import DEFAULT_PROJECT
from broker.spec.build import dump
from broker.spec.check import World
from broker.spec.document import JobDocument
from broker.spec.read import from_mapping

log = structlog.get_logger()

MOST_AT_ONCE: Final = 64  # calls of hooks that have not returned; those that never do count for ever
_LONGEST: Final = 200


class Admission:
    """The hooks of a broker, by name, in the order in which they are asked."""

    def __init__(self, hooks: Sequence[tuple[str, AdmissionHook]] = (), timeout_s: float = 5.0) -> None:
        self._hooks, self._timeout_s = tuple(hooks), timeout_s
        self._running = 0

    async def admit(self, document: JobDocument, user: str, world: World) -> tuple[JobDocument, str]:
        """The job that is taken, and what was changed in it, in words.

        Raises `InvalidInput` where a hook refuses it or makes no job of it, `Misconfigured` for a hook that fails.
        """
        said: list[str] = []
        for name, hook in self._hooks:
            before = _fields(document)
            job = Admitting(document=_frozen(before), user=user, project=document.project or DEFAULT_PROJECT)
            answer = await self._ask(name, hook, job)
            if answer is None:
                continue
            document = _read(name, answer, world)
            if changes := list(_changes(before, _fields(document))):
                said.append(f"admission hook {name}: {', '.join(changes)}")
            if before.get("id") != document.id:
                raise Misconfigured(f"admission hook {name!r} changed the id of a job: it may change all but that")
        return document, "; ".join(said)

    async def _ask(self, name: str, hook: AdmissionHook, job: Admitting) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._called(name, hook, job)
        except AdmissionRefused as refused:
            message = f"{refused.message} (admission hook {name})"
            raise InvalidInput(Problem(field=refused.field, message=message)) from refused
        except TimeoutError as error:
            raise _failed(name, f"did not answer within {self._timeout_s:g} s") from error
        except Exception as error:
            # What it says may be of the job, secrets and all: it is for the log of the broker's owner alone.
            log.error("an admission hook failed", hook=name, exc_info=error)
            raise _failed(name, f"raised {type(error).__name__}; the broker's log has more") from error

    async def _called(self, name: str, hook: AdmissionHook, job: Admitting) -> Mapping[str, Any] | None:
        if self._running >= MOST_AT_ONCE:
            raise TimeoutError
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Mapping[str, Any] | None] = loop.create_future()

        def told(answer: Mapping[str, Any] | None, error: Exception | None) -> None:
            self._running -= 1
            if not answered.done():
                answered.set_result(answer) if error is None else answered.set_exception(error)

        def run() -> None:
            try:
                answer, error = hook(job), None
            except Exception as raised:
                answer, error = None, raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(told, answer, error)

        self._running += 1
        # Not of a pool: one that never returns must not keep the broker from ending.
        Thread(target=run, daemon=True, name=f"admission {name}").start()
        return await answered


@contextmanager
def judged_with(note: str) -> Iterator[None]:
    """Adds to what is wrong with a job what hooks had changed in it: who submitted it did not write that."""
    try:
        yield
    except InvalidInput as error:
        if not note:
            raise
        raise type(error)(*error.problems, Problem(field="admission", message=f"{note}: it is judged so")) from error


def _failed(name: str, what: str) -> Misconfigured:
    return Misconfigured(
        f"admission hook {name!r} {what}: the job is not taken; who runs the broker may mend the hook, or take it "
        "out of `admission.hooks`"
    )


def _fields(document: JobDocument) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dump(document))
    del found["format"]
    return found


def _read(name: str, answer: object, world: World) -> JobDocument:
    if not isinstance(answer, Mapping):
        raise _failed(name, f"returned {type(answer).__name__}, where a document or None is meant")
    try:
        return from_mapping(_thawed(answer), world=world).document
    except InvalidInput as error:
        message = f"{error} (as admission hook {name} made it)"
        raise InvalidInput(*(Problem(field=each.field, message=message) for each in error.problems[:1])) from error


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(inner) for key, inner in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _thawed(inner) for key, inner in value.items()}
    return [_thawed(inner) for inner in value] if isinstance(value, list | tuple) else value


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{place}{key}.")
        elif old != new:
            yield f"{place}{key} {_shown(old)} → {_shown(new)}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
