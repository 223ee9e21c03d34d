"""`@broker.function`: a Python function → an object that calls it where it costs least, as if it were here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from broker.model.errors import InvalidInput, Problem
from broker.sdk.call import Call
from broker.sdk.call_requests import submit_calls
from broker.sdk.chunks import Arguments, chunks, one_by_one, repeats
from broker.sdk.flow import DualCall, Flow
from broker.sdk.image import Image
from broker.sdk.mapping import Mapped, Pickled
from broker.sdk.pickling import PYTHON, PickledFunction, name_of, pickled_arguments, pickled_function
from broker.spec.check import World
from broker.spec.read import from_python

P = ParamSpec("P")
R = TypeVar("R")

_ANY_MODEL = World()  # the daemon knows which models its pools have
_NO_CALL = {"blob": "0" * 64, "name": "f", "python": PYTHON}


@overload
def function(call: Callable[P, R], /) -> Function[P, R]: ...
@overload
def function(*, image: Image | None = None, **fields: Any) -> Callable[[Callable[P, R]], Function[P, R]]: ...
def function(
    call: Callable[P, R] | None = None, /, *, image: Image | None = None, **fields: Any
) -> Function[P, R] | Callable[[Callable[P, R]], Function[P, R]]:
    """Makes a function one that the broker can call: `@broker.function(gpu="H100", timeout="1h", retries=2)`.

    `fields` are those of the job specification, each call being a job: `gpu`, `cpu`, `memory`, `timeout`, `retries`,
    `max_cost`, `pools`, `secrets`, `tags`, … Raises `InvalidInput` with all that is wrong with them, here and now.
    """
    if call is not None:
        return Function(call, fields, image)
    return lambda call: Function(call, fields, image)


class Function(Generic[P, R]):
    """A function of yours that the broker can call. Called as it is, `f(x)`, it runs here, as ever.

    What it refers to (its globals, your own modules) is taken as it is when it is called remotely for the first time.
    """

    def __init__(self, call: Callable[P, R], fields: Mapping[str, Any], image: Image | None = None) -> None:
        _check(call)
        self._call = call
        self._fields, self._image = dict(fields), image
        given = {"function": _NO_CALL, "name": _job_name(call), **_with_image(image, fields)}
        parsed = from_python(world=_ANY_MODEL, **given)
        self._document = parsed.document.model_dump(mode="json", exclude_none=True)
        _no_array(self._document)
        self._pickled: PickledFunction | None = None
        update_wrapper(self, call)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs it here."""
        return self._call(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs it here; the same as calling it."""
        return self._call(*args, **kwargs)

    @property
    def remote(self) -> DualCall[P, R]:
        """`f.remote(x)`: calls it in a pool, waits, and returns what it returned; what it raised is raised here.

        Who stops waiting, by Ctrl-C for instance, cancels the job. `await f.remote.aio(x)` is the same for asyncio.
        """
        return DualCall(self._remote, self._client)

    @property
    def spawn(self) -> DualCall[P, Call[R]]:
        """`f.spawn(x)`: calls it in a pool and returns at once: a job whose `result()` is what it returned."""
        return DualCall(self._spawn, self._client)

    def map(
        self,
        *iterables: Iterable[Any],
        kwargs: Mapping[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        chunksize: int = 1,
    ) -> Mapped[R]:
        """Calls it for each element (of several iterables: for what stands together), and iterates over the results.

        They come in the order of the elements, or, without `order_outputs`, as they are ready. An exception ends it,
        unless `return_exceptions` asks for it as a result. Elements are taken as there is room, so that there may be
        infinitely many. Who leaves early, by `break` for instance, cancels what is left. Both `for` and `async for`.

        With `chunksize` one job calls it for so many elements, one after the other: for calls that take less than a
        job costs.
        """
        more = dict(kwargs or {})
        if not iterables:
            raise InvalidInput(Problem(field="map", message="takes at least one iterable"))
        calls = ((args, more) for args in zip(*iterables, strict=False))
        return self._mapped(calls, order_outputs, return_exceptions, chunksize)

    def starmap(
        self,
        iterable: Iterable[Iterable[Any]],
        *,
        kwargs: Mapping[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        chunksize: int = 1,
    ) -> Mapped[R]:
        """As `map`, but each element is all positional arguments of a call: `f.starmap([(1, 2), (3, 4)])`."""
        more = dict(kwargs or {})
        calls = ((tuple(args), more) for args in iterable)
        return self._mapped(calls, order_outputs, return_exceptions, chunksize)

    def with_options(self, *, image: Image | None = None, **fields: Any) -> Function[P, R]:
        """The same function with other fields, or another image: `f.with_options(gpu="A100").remote(x)`."""
        return Function(self._call, {**self._fields, **fields}, image or self._image)

    def __repr__(self) -> str:
        return f"<broker.Function {name_of(self._call)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """In a job, where no broker is, it is the function that it was made of: `f(x)` and `f.local(x)` run there."""
        return partial, (self._call,), (self._call, (), {}, {"local": self._call})

    def _client(self) -> Any:
        from broker.sdk.default_client import default_client

        return default_client(start=True)

    def _spawn(self, *args: P.args, **kwargs: P.kwargs) -> Flow[Call[R]]:
        return (yield from self._called(args, kwargs, awaited=False))

    def _remote(self, *args: P.args, **kwargs: P.kwargs) -> Flow[R]:
        call = yield from self._called(args, kwargs, awaited=True)
        return (yield from call.or_cancelled())

    def _called(self, args: Any, kwargs: Any, *, awaited: bool) -> Flow[Call[R]]:
        arguments = [pickled_arguments(self._call, args, kwargs)]
        client, name = self._client(), name_of(self._call)
        found = yield from submit_calls(
            self._document, name, self._function(), arguments, client.known_functions, awaited=awaited
        )
        return Call(client, found["id"])

    def _mapped(self, calls: Iterable[Arguments], ordered: bool, exceptions: bool, chunksize: int) -> Mapped[R]:
        some_each = chunks(calls, chunksize)
        name, function = name_of(self._call), self._function
        if chunksize == 1:
            pickled = (Pickled(pickled_arguments(self._call, *call)) for (call,) in some_each)
        else:
            pickled = (Pickled(pickled_arguments(self._call, each, {}), len(each)) for each in some_each)
            function = cache(lambda: pickled_function(one_by_one(self._call, repeats(self._document))))

        def submit(client: Any, some: list[bytes]) -> Flow[str]:
            document = {**self._document, "array": len(some)}
            found = yield from submit_calls(document, name, function(), some, client.known_functions)
            return str(found["id"])

        return Mapped(self._client, pickled, submit, ordered=ordered, exceptions=exceptions)

    def _function(self) -> PickledFunction:
        if self._pickled is None:
            self._pickled = pickled_function(self._call)
        return self._pickled


def _with_image(image: Image | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given, with an image's: what is a list or a map is added to, the rest is said once."""
    if image is None:
        return dict(fields)
    found = image.fields
    for name in found.keys() & fields.keys():
        if name == "envs":
            found[name] |= fields[name]
        elif name in ("requirements", "system_packages") and not isinstance(fields[name], str):
            found[name] += list(fields[name])
        else:
            raise InvalidInput(Problem(field=name, message="is said by the image, too: keep one"))
    return {**fields, **found}


def _check(call: Callable[..., Any]) -> None:
    name = name_of(call)
    if isinstance(call, Function) or not callable(call):
        raise InvalidInput(Problem(field="function", message=f"{call!r} is no plain function"))
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        message = (
            f"{name} is async: make it a plain function that calls asyncio.run; `await {name}.remote.aio(…)` waits"
        )
        raise InvalidInput(Problem(field="function", message=message))
    if inspect.isgeneratorfunction(call):
        message = f"{name} is a generator, which can't be sent back: return a list, or map over pieces"
        raise InvalidInput(Problem(field="function", message=message))


def _no_array(document: Mapping[str, Any]) -> None:
    for field in ("array", "matrix", "id"):
        if document.get(field):
            raise InvalidInput(Problem(field=field, message="is for jobs: map a function over its arguments instead"))


def _job_name(call: Callable[..., Any]) -> str:
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name_of(call)).strip("-.")[:100] or "f"
