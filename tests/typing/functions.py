"""What a type checker sees of functions; `make check` has mypy read it, and an ignored error that is none is one."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import broker


@broker.function(gpu="H100", image=broker.Image().pip_install("torch"), timeout="1h", retries=2)
def train(lr: float, *, epochs: int = 1) -> str:
    return f"{lr} {epochs}"


@broker.function
def plain() -> None: ...


def waiting() -> None:
    assert_type(train(0.1), str)
    assert_type(train.local(0.1, epochs=2), str)
    assert_type(train.remote(0.1, epochs=2), str)
    assert_type(train.with_options(gpu="A100").remote(0.1), str)
    call = train.spawn(0.1)
    assert_type(call, broker.Call[str])
    assert_type(call.result(timeout=3), str)
    assert_type(call.wait(), broker.Job)
    assert_type(call.logs("stderr"), str)
    assert_type(list(train.map([0.1, 0.2])), list[str])
    assert_type(iter(train.starmap([(0.1,)])), Iterator[str])
    assert_type(broker.submit("true", gpu="H100"), broker.Job)
    with train.map([0.1]) as results:
        assert_type(results, broker.Mapped[str])
    with broker.client() as client:
        assert_type(client, broker.Client)


async def twins() -> None:
    assert_type(await train.remote.aio(0.1, epochs=2), str)
    call = await train.spawn.aio(0.1)
    assert_type(await call.result.aio(), str)
    assert_type(await call.wait.aio(timeout=1.0), broker.Job)
    assert_type(await (await broker.submit.aio("true")).logs.aio(), str)
    assert_type(aiter(train.map([0.1])), AsyncIterator[str])
    async for value in train.map([0.1]):
        assert_type(value, str)


def refused() -> None:
    train.remote("0.1")  # type: ignore[arg-type]
    train.remote(0.1, epoch=2)  # type: ignore[call-arg]
    train.spawn()  # type: ignore[call-arg]
    train.remote.aio(0.1, epochs="2")  # type: ignore[arg-type, unused-coroutine]
    plain.remote(1)  # type: ignore[call-arg]
