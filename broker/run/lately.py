"""What was looked up last, by its key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Lately(Generic[Key, Value]):
    """So many values, for all threads."""

    def __init__(self, size: int = 1_024) -> None:
        self._size = size
        self._lock = Lock()
        self._found: OrderedDict[Key, Value] = OrderedDict()

    def of(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """Those of these keys that are remembered."""
        with self._lock:
            return {key: self._found[key] for key in keys if key in self._found}

    def get(self, key: Key) -> Value | None:
        """The one of a key; None where it is not remembered."""
        return self.of((key,)).get(key)

    def put(self, found: Mapping[Key, Value]) -> None:
        """Remembers them, and forgets what was put in longest ago."""
        with self._lock:
            for key, value in found.items():
                self._found[key] = value
                self._found.move_to_end(key)  # a value that replaces another is as new
            while len(self._found) > self._size:
                self._found.popitem(last=False)

    def clear(self) -> None:
        """Remembers nothing."""
        with self._lock:
            self._found.clear()
