"""Where the price history is kept: in the broker's state folder, which the environment names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def prices_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The file of the price history, in the broker's state folder; it may not exist yet.

    The broker names the folder in BROKER_STATE_DIR wherever it was configured; without it, the usual one is meant.
    """
    if named := environment.get("BROKER_STATE_DIR"):
        return Path(named).expanduser() / "prices.db"
    home = environment.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home) / "broker" / "prices.db"
