"""A program: runs one pickled Python call, `call.py PAYLOAD RESULT`; exit code 1 when it raised."""

import sys
import traceback
from typing import Any

import cloudpickle


def main(payload: str, result: str) -> int:
    """Calls it and writes what came of it."""
    outcome: tuple[Any, ...]
    try:
        with open(payload, "rb") as file:
            function, args, kwargs = cloudpickle.load(file)
        outcome = ("value", function(*args, **kwargs))
    except BaseException as error:
        traceback.print_exc()
        outcome = ("error", error, traceback.format_exc())
    with open(result, "wb") as file:
        try:
            file.write(cloudpickle.dumps(outcome))
        except Exception as error:
            traceback.print_exc()
            outcome = ("error", TypeError(f"the result can't be pickled: {error}"), traceback.format_exc())
            file.write(cloudpickle.dumps(outcome))
    return 0 if outcome[0] == "value" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
