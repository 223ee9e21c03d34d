"""The API server over HTTP: who may do what, verbs and paths, watches and logs, as Kubernetes has them."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml
from aiohttp import web

from tests.executors.kuberay.server.operator import Operator
from tests.executors.kuberay.server.world import KINDS, NAMESPACE, Refused, World, matches

TOKEN = "the-broker's-own-token"
PAGE = Path(__file__).parents[4] / "docs" / "pools-kuberay.md"
PATH = re.compile(r"(/api/v1|/apis/[a-z.]+/v1)/namespaces/([^/]+)/([a-z]+)(?:/([^/]+))?(/log)?")
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}


def granted() -> set[tuple[str, str, str]]:
    """Group, resource and verb that the Role in the documentation grants: the server lets nothing else through."""
    (text,) = re.findall(r"```yaml\n( *apiVersion: rbac.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (role,) = [one for one in yaml.safe_load_all(dedent(text)) if one["kind"] == "Role"]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


class Front:
    """Answers requests."""

    def __init__(self, world: World, operator: Operator) -> None:
        self._world, self._operator = world, operator
        self._granted = granted()
        self.token = TOKEN
        self.streaming: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answered(request)
        except Refused as refused:
            return web.json_response(refused.body(), status=refused.status)

    def cut(self) -> None:
        """Breaks all connections that stream something."""
        for request in list(self.streaming):
            if request.transport is not None:
                request.transport.abort()

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if given != f"Bearer {self.token}":
            raise Refused(401, "Unauthorized", "Unauthorized")
        found = PATH.fullmatch(request.path)
        if found is None or found[3] not in KINDS or self._group(found[1]) != self._group_of(found[3]):
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        _, namespace, kind, name, log = found.groups()
        self._authorise(request, namespace, kind, name, log)
        body = json.loads(await request.read() or b"null")
        self._world.calls.append((request.method, kind, body))
        if broken := self._faulty(request, f"{kind}/log" if log else kind, after=False):
            return broken
        if log:
            return await self._log(request, name)
        if request.method == "GET" and request.query.get("watch") == "true":
            return await self._watch(request, kind)
        answer = await self._done(request, kind, name, body)
        return self._faulty(request, kind, after=True) or web.json_response(answer)

    @staticmethod
    def _group(prefix: str) -> str:
        return prefix.removeprefix("/apis/").removesuffix("/v1") if prefix.startswith("/apis/") else ""

    @staticmethod
    def _group_of(kind: str) -> str:
        return KINDS[kind][0].rpartition("/")[0]

    def _authorise(self, request: web.Request, namespace: str, kind: str, name: str | None, log: str | None) -> None:
        verb = VERBS.get(request.method) or ("get" if name else "list")
        if request.query.get("watch") == "true":
            verb = "watch"
        resource = f"{kind}/log" if log else kind
        wanted = (self._group_of(kind), resource, verb)
        if namespace != NAMESPACE or wanted not in self._granted or (verb, kind) in self._world.faults.forbidden:
            group = self._group_of(kind)
            raise Refused(
                403,
                "Forbidden",
                f'{resource}{"." if group else ""}{group} is forbidden: User "broker" cannot {verb} resource '
                f'"{resource}" in API group "{group}" in the namespace "{namespace}"',
            )

    def _faulty(self, request: web.Request, kind: str, after: bool) -> web.Response | None:
        fault = self._world.faults.due(request.method, kind, after)
        if fault is None:
            return None
        if not fault.status:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        body = Refused(fault.status, "TooManyRequests", fault.message).body()
        return web.json_response(body, status=fault.status, headers=headers)

    async def _done(self, request: web.Request, kind: str, name: str | None, body: Any) -> Any:
        world = self._world
        if request.method == "POST":
            return await world.create(kind, body)
        if request.method == "GET" and name is None:
            items = list(world.select(kind, labels_of(request)))
            return {
                "kind": f"{KINDS[kind][1]}List",
                "metadata": {"resourceVersion": str(world.version)},
                "items": items,
            }
        assert name is not None
        if request.method == "GET":
            return world.find(kind, name)
        if request.method == "DELETE":
            return await world.delete(kind, name, (body or {}).get("propagationPolicy", "Background"))
        return await self._patched(request, kind, name, body)

    async def _patched(self, request: web.Request, kind: str, name: str, operations: Any) -> Any:
        if request.content_type != "application/json-patch+json":
            raise Refused(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {request}")
        resource = copy.deepcopy(self._world.find(kind, name))
        for one in operations:
            *path, last = one["path"].strip("/").split("/")
            place: Any = resource
            for part in path:
                place = place[int(part) if isinstance(place, list) else part]
            if one["op"] == "replace" and last not in place:
                raise Refused(422, "Invalid", f"the server rejected our request: {one['path']} is missing", name)
            place[last] = one["value"]
        await self._world.replace(kind, resource)
        return resource

    async def _watch(self, request: web.Request, kind: str) -> web.StreamResponse:
        world = self._world
        since = int(request.query.get("resourceVersion", world.version))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if since < world.oldest:
            gone = Refused(410, "Expired", f"too old resource version: {since} ({world.oldest})").body()
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        self.streaming.append(request)
        try:
            for resource in [] if "resourceVersion" in request.query else world.select(kind, labels_of(request)):
                await response.write(json.dumps({"type": "ADDED", "object": resource}).encode() + b"\n")
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 1800))):
                while True:
                    fresh = [one for one in world.changes if one[0] > since]
                    for version, of, what, resource in fresh:
                        since = version
                        if of == kind and matches(resource, labels_of(request)):
                            await response.write(json.dumps({"type": what, "object": resource}).encode() + b"\n")
                    await world.beyond(since)
        except TimeoutError:
            return response
        finally:
            self.streaming.remove(request)

    async def _log(self, request: web.Request, name: str) -> web.StreamResponse:
        pod = self._world.find("pods", name)
        statuses = pod.get("status", {}).get("containerStatuses", [{"state": {}}])
        if not {"running", "terminated"} & statuses[0]["state"].keys():
            raise Refused(400, "BadRequest", f'container in pod "{name}" is waiting to start: ContainerCreating')
        log = self._operator.log_of(pod)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        self.streaming.append(request)
        offset = 0
        try:
            while (data := await log.beyond(offset)) is not None:
                await response.write(data)
                offset += len(data)
        finally:
            self.streaming.remove(request)
        return response


def labels_of(request: web.Request) -> dict[str, str]:
    text = request.query.get("labelSelector", "")
    return dict(part.split("=", 1) for part in text.split(",")) if text else {}
