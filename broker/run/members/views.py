"""A pool's state ↔ text, so that brokers that don't drive the pool decide with it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from broker.decide.pool_state import PoolState
from broker.model.errors import StoreError

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@cache
def _adapter() -> TypeAdapter[PoolState]:
    from pydantic import TypeAdapter

    return TypeAdapter(PoolState)


def dump_view(state: PoolState) -> str:
    """The text of a state, without the executor's own settings, which are nobody else's."""
    told = replace(state, pool=replace(state.pool, options={}, nodes={}))
    return json.dumps(_adapter().dump_python(told, mode="json"))  # which knows infinity, as JSON proper does not


def load_view(text: str) -> PoolState:
    """The state of a text. Raises `StoreError` for what another version of the broker wrote."""
    try:
        return _adapter().validate_python(json.loads(text))
    except ValueError as error:
        raise StoreError(f"what another broker says of a pool can't be read; is it another version? {error}") from error
