"""The console script: the command line, which an interrupt ends without a traceback while it still loads as well."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    try:
        from broker.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
