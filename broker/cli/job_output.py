"""What a job writes → our stdout or stderr: byte for byte in a pipe, and with nothing harmful on a terminal.

Whoever writes to a terminal can clear it, name its window, fill its clipboard or type into it. Colours are kept, and
what progress bars do to their own line.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import Final, TextIO

from broker.cli.render import OBEYED

_COLOUR: Final = r"\x1b\[[0-9;:]*m"
_KEPT: Final = re.compile(rf"{_COLOUR}|\x1b\[[0-2]?K|[\r\b]")
_TOLD: Final = re.compile(f"({_KEPT.pattern})|{OBEYED.pattern}")
_BEGUN: Final = re.compile(r"\x1b(\[[0-9;:]{0,32})?\Z")  # of what may be kept once the rest has come
_RESET: Final = "\x1b[0m"


class JobOutput:
    """One stream of ours that a job's output goes to, piece by piece, as it comes."""

    def __init__(self, out: TextIO, *, raw: bool = False) -> None:
        """`raw` writes byte for byte to a terminal as well."""
        self._out = out
        self._harmless = out.isatty() and not raw
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._is_coloured = False

    def write(self, data: bytes) -> None:
        """Writes a piece of a stream to the terminal or the pipe."""
        self._out.flush()
        self._out.buffer.write(self._shown(self._decoder.decode(data)) if self._harmless else data)
        self._out.flush()

    def close(self) -> None:
        """Writes what was held back as half a sequence, and ends colours: the next line is ours."""
        if self._harmless:
            rest = self._shown(self._decoder.decode(b"", final=True), is_last=True)
            self._out.buffer.write(rest + (_RESET.encode() if self._is_coloured else b""))
            self._out.flush()

    def _shown(self, text: str, *, is_last: bool = False) -> bytes:
        text = self._begun + text
        begun = None if is_last else _BEGUN.search(text)
        self._begun = begun.group() if begun else ""
        text = _TOLD.sub(self._harmlessly, text.removesuffix(self._begun))
        return text.encode(self._out.encoding, "replace")

    def _harmlessly(self, found: re.Match[str]) -> str:
        kept: str | None = found.group(1)
        self._is_coloured |= kept is not None and kept.endswith("m")
        return "\N{REPLACEMENT CHARACTER}" if kept is None else kept
