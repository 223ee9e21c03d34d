"""Ray Serve: an application that answers until its job is cancelled; `broker show` says where."""

import signal
import socket
import sys
import time

import ray
from ray import serve


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0.1})
class Echo:
    """Says what it was asked."""

    async def __call__(self, request) -> dict:
        """Answers one request."""
        return {"you said": request.query_params.get("text", "")}


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that a cancelled job leaves no application behind
ray.init()
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(Echo.bind())
print(f"endpoint: http://127.0.0.1:{port}/", flush=True)
try:
    while True:
        time.sleep(3600)
finally:
    serve.shutdown()
