"""How requests are served: tokens → seconds of a part of a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A rough model of a server that batches; to be replaced by measured numbers where there are any."""

    prefill_tokens_per_s: float = 8_000.0  # read, of one request
    decode_tokens_per_s: float = 40.0  # written, of one request
    requests_per_gpu: float = 16.0  # that share one
