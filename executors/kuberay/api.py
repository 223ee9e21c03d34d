"""The official Kubernetes client, connected: resources of one namespace made, read, changed, watched and ended.

Calls are made again, with growing pauses, while the server is away, overloaded or asks for patience; not for ever.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from broker.model.errors import Misconfigured, Unreachable
from executors.kuberay.api_errors import NotFound, Throttled, failure
from executors.kuberay.options import Options
from executors.remote.backoff import Backoff

Resource = dict[str, Any]

GROUPS: Final = {
    "rayclusters": "/apis/ray.io/v1",
    "rayjobs": "/apis/ray.io/v1",
    "jobs": "/apis/batch/v1",
    "pods": "/api/v1",
    "secrets": "/api/v1",
}
CALL_S: Final = 15.0  # one call; what was accepted meanwhile is found by its name
WATCH_S: Final = 240  # after which a watch is begun again
SILENCE_S: Final = 600.0  # of a stream, after which it is taken for broken and read again


class Api:
    """Calls of one pool to its namespace. The client's library is imported when it connects, not before."""

    def __init__(self, pool: str, options: Options) -> None:
        self._pool, self._options = pool, options
        self._client: Any = None

    @property
    def connected(self) -> bool:
        """Whether it was opened and not closed."""
        return self._client is not None

    async def open(self) -> None:
        """Reads the credentials and asks for the namespace's RayClusters. Raises `Misconfigured`, `Unreachable`."""
        await self.close()
        await self._connect()
        try:
            await self.all("rayclusters", {})
        except NotFound as error:
            await self.close()
            raise Misconfigured(str(error)) from error
        except BaseException:
            await self.close()
            raise

    async def _connect(self) -> None:
        from kubernetes.aio import client

        configuration = client.Configuration()
        await self._authorise(configuration)
        self._client = client.ApiClient(configuration)

    async def _authorise(self, configuration: Any) -> None:
        """Reads address and credentials, asking the kubeconfig's helper program for new ones where it names one."""
        from kubernetes.aio import config

        file, context = self._options.kubeconfig or None, self._options.context or None
        try:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=file, context=context, client_configuration=configuration
            )
        except (config.ConfigException, OSError) as error:
            if file or context:
                raise Misconfigured(f"pool {self._pool}: kubeconfig {file or ''}: {error}") from error
            self._in_cluster(configuration, error)

    def _in_cluster(self, configuration: Any, error: Exception) -> None:
        from kubernetes.aio import config

        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            raise Misconfigured(
                f"pool {self._pool}: no credentials: {error}; set KUBECONFIG or the option kubeconfig, or run the "
                "broker in a pod with a service account"
            ) from error

    async def close(self) -> None:
        """Closes its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def get(self, kind: str, name: str) -> Resource | None:
        """A resource; None where there is none."""
        try:
            return await self._patiently("GET", f"{self._path(kind)}/{name}")
        except NotFound:
            return None

    async def all(self, kind: str, labels: Mapping[str, str]) -> tuple[list[Resource], str]:
        """All with these labels, and the version that a watch goes on from."""
        found = await self._patiently("GET", self._path(kind), {"labelSelector": _selector(labels)})
        return found.get("items", []), found["metadata"]["resourceVersion"]

    async def create(self, kind: str, manifest: Resource) -> Resource:
        """Raises `AlreadyExists`. After an answer that was lost it is made again, and found to be there."""
        return await self._patiently("POST", self._path(kind), {"fieldValidation": "Strict"}, manifest)

    async def patch(self, kind: str, name: str, operations: list[dict[str, Any]]) -> Resource:
        """Changes a resource by a JSON patch. Raises `NotFound`."""
        return await self._patiently("PATCH", f"{self._path(kind)}/{name}", {}, operations)

    async def delete(self, kind: str, name: str, *, dependents: str = "Background") -> None:
        """Ends a resource if it is there; what it owns goes with it, unless `dependents` is Orphan."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": dependents}
        try:
            await self._patiently("DELETE", f"{self._path(kind)}/{name}", {}, options)
        except NotFound:
            return

    async def watch(self, kind: str, labels: Mapping[str, str], version: str) -> AsyncIterator[Resource]:
        """Changes since a version, until the server ends the watch. Raises `Expired` when it is too old."""
        query = {"watch": "true", "resourceVersion": version, "labelSelector": _selector(labels)}
        query |= {"allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S)}
        async for line in self._lines(self._path(kind), query):
            event = json.loads(line)
            if event["type"] == "ERROR":
                told = event["object"]
                raise failure(self._pool, f"watching {kind}", told.get("code", 500), json.dumps(told).encode(), {})
            yield event

    async def log(self, pod: str) -> AsyncIterator[bytes]:
        """Whole lines of a pod's log from its start, as they come, until its container ends."""
        async for line in self._lines(f"{self._path('pods')}/{pod}/log", {"follow": "true"}):
            yield line

    def _path(self, kind: str) -> str:
        return f"{GROUPS[kind]}/namespaces/{self._options.namespace}/{kind}"

    async def _patiently(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None
    ) -> Resource:
        """One call, made again while the server is away, for as long as patience lasts."""
        until, backoff = time.monotonic() + self._options.patience_s, Backoff()
        while True:
            try:
                return await self._answered(method, path, query or {}, body)
            except Unreachable as error:
                pause_s = backoff.next_s()
                if isinstance(error, Throttled) and error.after_s is not None:
                    pause_s += error.after_s
                if not self.connected or time.monotonic() + pause_s > until:
                    raise
                await asyncio.sleep(pause_s)

    async def _answered(self, method: str, path: str, query: dict[str, str], body: Any) -> Resource:
        response = await self._called(method, path, query, body, {"total": CALL_S})
        data = await self._read(response, _doing(method, path))
        answer: Resource = json.loads(data)
        return answer

    async def _called(self, method: str, path: str, query: dict[str, str], body: Any, limits: dict[str, Any]) -> Any:
        """An answer of any kind; asked for once more, with credentials read anew, where they had expired."""
        response = await self._sent(method, path, query, body, limits)
        if response.status == 401 and self._client is not None:
            response.close()
            await self._authorise(self._client.configuration)
            response = await self._sent(method, path, query, body, limits)
        return response

    async def _sent(self, method: str, path: str, query: dict[str, str], body: Any, limits: dict[str, Any]) -> Any:
        import aiohttp
        from kubernetes.aio.client.exceptions import ApiException

        doing = _doing(method, path)
        client = self._client
        if client is None:
            raise Unreachable(f"pool {self._pool} is closed")
        kind = "application/json-patch+json" if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json, */*", "Content-Type": kind}
        timeout = aiohttp.ClientTimeout(sock_connect=CALL_S, **limits)
        try:
            asked = await client.param_serialize(
                method, path, query_params=list(query.items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            return (await client.call_api(*asked, _request_timeout=timeout)).response
        except (aiohttp.ClientError, ApiException, TimeoutError, OSError) as error:
            raise Unreachable(f"pool {self._pool}: {doing}: {_text(error)}") from error

    async def _read(self, response: Any, doing: str) -> bytes:
        import aiohttp

        try:
            data: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"pool {self._pool}: {doing}: {_text(error)}") from error
        if response.status >= 400:
            raise failure(self._pool, doing, response.status, data, dict(response.headers))
        return data

    async def _lines(self, path: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        """Whole lines of a stream as they come; one that is cut off at its end is left out. Raises `Unreachable`."""
        import aiohttp

        response = await self._called("GET", path, query, None, {"total": None, "sock_read": SILENCE_S})
        try:
            if response.status >= 400:
                await self._read(response, _doing("GET", path))
            rest = b""
            async for data in response.content.iter_any():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"pool {self._pool}: reading {path}: {_text(error)}") from error
        finally:
            response.close()


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _doing(method: str, path: str) -> str:
    what = {"POST": "making", "GET": "reading", "PATCH": "changing", "DELETE": "ending"}[method]
    return f"{what} {path.partition('/namespaces/')[2].partition('/')[2]}"
