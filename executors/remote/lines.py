"""Lines of a container's streams → the bytes that the command wrote, and what the agent tells between them."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from executors.remote.agent import ESCAPED, FRAME, SOFT

Frame = dict[str, Any]

_ESCAPES: Final = re.compile(f"[{chr(ESCAPED)}-{chr(ESCAPED + 0xFF)}]+")


def decoded(line: str) -> bytes:
    """The bytes of one line that is no frame."""
    text = line.removesuffix("\n")
    text = text[:-1] if text.endswith(SOFT) else line
    pieces = []
    end = 0
    for found in _ESCAPES.finditer(text):
        pieces += [text[end : found.start()].encode(), bytes(ord(each) - ESCAPED for each in found[0])]
        end = found.end()
    return b"".join([*pieces, text[end:].encode()])


def frame(line: str) -> Frame | None:
    """What the agent tells by a line; None for a line of output. Raises ValueError for a frame that was cut."""
    if not line.startswith(FRAME):
        return None
    told: Frame = json.loads(line[1:])
    return told
