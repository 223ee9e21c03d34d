"""A server of the tests, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from socketserver import BaseServer


def serving(server: BaseServer) -> Callable[[], None]:
    """Serves from now on; call what it returns to stop."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return stop
