"""The zygote: a payload of cloudpickle → its function called in a fork of the agent, and its outcome as cloudpickle.

The agent imports what functions are likely to need once; each call is a fork that finds it there.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any, TextIO


def preload(modules: Iterable[str]) -> None:
    """Imports modules; one that can't be imported is left to the function that wants it."""
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:
            traceback.print_exc()


def rehearse() -> None:
    """In the child, before its call is known: touches what a call needs, which gives it pages of its own."""
    import cloudpickle

    os.environ.clear()
    function, args, kwargs = cloudpickle.loads(cloudpickle.dumps((_outcome, (), {})))
    cloudpickle.dumps(("value", function is args and kwargs))


def call(payload_file: int, result_file: int, environment: dict[str, str]) -> int:
    """In the child: calls the function of a payload and writes the outcome; the exit code."""
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, os.getcwd())
    sys.argv = [environment.get("BROKER_JOB_ID", "function")]
    sys.stdout, sys.stderr = _text(1), _text(2)  # those of this process remember what their descriptors were before
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # or each fork would draw the same numbers
    outcome = _outcome(payload_file)
    code = 0 if outcome[0] == "value" else 1
    code = _write(result_file, outcome) or code
    threading._shutdown()  # type: ignore[attr-defined]  # as at the end of any program: waits for its threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def _text(file: int) -> TextIO:
    return open(file, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _outcome(payload_file: int) -> tuple[Any, ...]:
    try:
        import cloudpickle

        with open(payload_file, "rb") as file:
            function, args, kwargs = cloudpickle.load(file)
        return ("value", function(*args, **kwargs))
    except BaseException as error:
        traceback.print_exc()
        return ("error", error, traceback.format_exc())


def _write(result_file: int, outcome: tuple[Any, ...]) -> int:
    """Writes the outcome, or why it can't be pickled; 1 in that case."""
    import cloudpickle

    code = 0
    try:
        data = cloudpickle.dumps(outcome)
    except Exception as error:
        traceback.print_exc()
        said = outcome[2] if outcome[0] == "error" else traceback.format_exc()
        data = cloudpickle.dumps(("error", TypeError(f"what the function gave can't be pickled: {error}"), said))
        code = 1
    with open(result_file, "wb") as file:
        file.write(data)
    return code
