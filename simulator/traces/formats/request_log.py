"""Logs of requests with their tokens → jobs that hold a part of a GPU."""

from __future__ import annotations

import pandas as pd

from simulator.traces.formats.source import Source, jobs

NAMES = {"ContextTokens": "context_tokens", "GeneratedTokens": "generated_tokens"}


def request_log(source: Source) -> pd.DataFrame:
    """`arrival_s` (or `TIMESTAMP`), `context_tokens`, `generated_tokens`, or `service_s` instead of tokens.

    Each holds its part of a GPU while its tokens are read and written. Raises `InvalidInput` with the line.
    """
    serving, pieces = source.serving, []
    for piece in source.separated(",", ()):
        piece = piece.rename(columns=NAMES)
        measured = "service_s" in piece
        needed = ["service_s"] if measured else ["context_tokens", "generated_tokens"]
        if missing := [each for each in needed if each not in piece]:
            raise source.wrong(f"no column {', '.join(missing)}", line=1)
        if measured:
            served = source.numbers(piece, "service_s")
        else:
            read, written = (source.numbers(piece, column) for column in needed)
            served = read / serving.prefill_tokens_per_s + written / serving.decode_tokens_per_s
        user = piece.get("user", "")
        pieces.append(jobs(_arrivals(source, piece), served, 1 / serving.requests_per_gpu, user=user, kind="request"))
    return source.table(pieces)


def _arrivals(source: Source, piece: pd.DataFrame) -> object:
    if "TIMESTAMP" in piece:
        return source.seconds(piece, "TIMESTAMP")
    if "arrival_s" not in piece:
        raise source.wrong("no column arrival_s or TIMESTAMP", line=1)
    return source.numbers(piece, "arrival_s", least=-float("inf"))
