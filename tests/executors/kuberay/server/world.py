"""What the API server keeps: resources with versions, the changes between them, and what it was told to do wrong."""

from __future__ import annotations

import asyncio
import base64
import binascii
import copy
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.executors.kuberay.server.schemas import check_schema

Resource = dict[str, Any]
NAMESPACE = "team"
KINDS = {
    "rayclusters": ("ray.io/v1", "RayCluster"),
    "rayjobs": ("ray.io/v1", "RayJob"),
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
}
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LARGEST_SECRET = 1 << 20


class Refused(Exception):
    """An answer that is no success, as Kubernetes words it."""

    def __init__(self, status: int, reason: str, message: str, name: str = "") -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.name = status, reason, message, name

    def body(self) -> Resource:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": {"name": self.name} if self.name else {},
            "code": self.status,
        }


@dataclass
class Fault:
    """One thing that goes wrong, so many times."""

    method: str
    kind: str
    status: int  # 0: the connection breaks
    message: str
    times: int
    after: bool  # once it was carried out
    retry_after: str = ""


@dataclass
class Faults:
    """What goes wrong, until it is set back."""

    planned: list[Fault] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)  # verb, kind
    boot_s: float = 0.0  # from when a pod is made until it is on a node
    pull_s: float = 0.0  # from then until it is ready
    ttl_s: float = 0.0  # a RayCluster is kept after its RayJob; 0: as long as was asked for
    no_nodes: bool = False  # pods stay pending
    no_submitters: bool = False  # their image can't be pulled

    def fail(self, method: str, kind: str, status: int, message: str = "told to fail", **more: Any) -> None:
        values = {"times": 1_000_000, "after": False, **more}
        self.planned.append(Fault(method, kind, status, message, **values))

    def due(self, method: str, kind: str, after: bool) -> Fault | None:
        for fault in self.planned:
            if (fault.method, fault.kind, fault.after) == (method, kind, after):
                fault.times -= 1
                if not fault.times:
                    self.planned.remove(fault)
                return fault
        return None


class World:
    """Resources of one namespace by kind and name."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, Resource]] = {kind: {} for kind in KINDS}
        self.changes: list[tuple[int, str, str, Resource]] = []  # version, kind, ADDED and so on, resource
        self.version = 1
        self.oldest = 0  # changes up to here are forgotten
        self.news = asyncio.Condition()
        self.faults = Faults()
        self.calls: list[tuple[str, str, Any]] = []  # method, kind, body

    def made(self, kind: str) -> list[Any]:
        """What was asked to be made."""
        return [body for method, of, body in self.calls if (method, of) == ("POST", kind)]

    def find(self, kind: str, name: str) -> Resource:
        if name not in self.kinds[kind]:
            raise Refused(404, "NotFound", f'{kind} "{name}" not found', name)
        return self.kinds[kind][name]

    def select(self, kind: str, labels: dict[str, str]) -> Iterator[Resource]:
        for one in self.kinds[kind].values():
            if matches(one, labels):
                yield one

    async def create(self, kind: str, manifest: Resource) -> Resource:
        version, name_of_kind = KINDS[kind]
        if (manifest.get("apiVersion"), manifest.get("kind")) != (version, name_of_kind):
            raise Refused(400, "BadRequest", f"the object is no {version} {name_of_kind}")
        resource = copy.deepcopy(manifest)
        metadata = resource["metadata"]
        name = metadata.get("name", "")
        check_metadata(kind, metadata)
        check_schema(kind, resource, name)
        check_secret(kind, resource)
        if name in self.kinds[kind]:
            raise Refused(409, "AlreadyExists", f'{kind} "{name}" already exists', name)
        metadata |= {"namespace": NAMESPACE, "uid": uid(), "creationTimestamp": timestamp(), "generation": 1}
        await self._keep(kind, "ADDED", resource)
        return resource

    async def change(self, kind: str, name: str, **parts: Any) -> Resource:
        """Puts parts of a resource in place of others; a watcher sees a copy of its own."""
        resource = copy.deepcopy(self.find(kind, name))
        for part, value in parts.items():
            resource[part] = {**resource.get(part, {}), **value}
        if "spec" in parts:
            check_schema(kind, resource, name)
            resource["metadata"]["generation"] += 1
        await self._keep(kind, "MODIFIED", resource)
        return resource

    async def replace(self, kind: str, resource: Resource) -> None:
        check_schema(kind, resource, resource["metadata"]["name"])
        await self._keep(kind, "MODIFIED", resource)

    async def delete(self, kind: str, name: str, policy: str = "Background") -> Resource:
        """Marks it where something has to be done first, otherwise removes it and what it owns."""
        resource = copy.deepcopy(self.find(kind, name))
        metadata = resource["metadata"]
        if metadata.get("finalizers"):
            if "deletionTimestamp" not in metadata:
                metadata["deletionTimestamp"] = timestamp()
                metadata["annotations"] = {**metadata.get("annotations", {}), "test/policy": policy}
                await self._keep(kind, "MODIFIED", resource)
            return resource
        await self.remove(kind, name, policy)
        return resource

    async def remove(self, kind: str, name: str, policy: str) -> None:
        resource = self.kinds[kind].pop(name, None)
        if resource is None:
            return
        await self._announce(kind, "DELETED", resource)
        for other in KINDS:
            for dependent in list(self.kinds[other].values()):
                owners = dependent["metadata"].get("ownerReferences", [])
                rest = [one for one in owners if one["uid"] != resource["metadata"]["uid"]]
                if rest == owners:
                    continue
                if policy == "Orphan":
                    changed = copy.deepcopy(dependent)
                    changed["metadata"]["ownerReferences"] = rest
                    await self._keep(other, "MODIFIED", changed)
                else:
                    await self.delete(other, dependent["metadata"]["name"])

    async def _keep(self, kind: str, what: str, resource: Resource) -> None:
        self.kinds[kind][resource["metadata"]["name"]] = resource
        await self._announce(kind, what, resource)

    async def _announce(self, kind: str, what: str, resource: Resource) -> None:
        self.version += 1
        resource["metadata"]["resourceVersion"] = str(self.version)
        async with self.news:
            self.changes.append((self.version, kind, what, copy.deepcopy(resource)))
            self.news.notify_all()

    def forget_changes(self) -> None:
        """As etcd does, which keeps them for five minutes."""
        self.oldest = self.version
        self.changes.clear()

    async def until(self, wanted: Any) -> None:
        async with self.news:
            await self.news.wait_for(wanted)

    async def beyond(self, version: int) -> None:
        """Waits for a change after a version."""
        await self.until(lambda: self.version > version)

    async def stir(self) -> None:
        """What waits looks again."""
        async with self.news:
            self.news.notify_all()


def matches(resource: Resource, labels: dict[str, str]) -> bool:
    return labels.items() <= resource["metadata"].get("labels", {}).items()


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def uid() -> str:
    digits = secrets.token_hex(16)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def check_metadata(kind: str, metadata: Resource) -> None:
    name = metadata.get("name", "")
    if not NAME.fullmatch(name):
        raise Refused(
            422, "Invalid", f'{kind} "{name}" is invalid: metadata.name: a lowercase RFC 1123 subdomain', name
        )
    if metadata.get("namespace", NAMESPACE) != NAMESPACE:
        raise Refused(400, "BadRequest", "the namespace of the object does not match the namespace of the request")
    for key, value in metadata.get("labels", {}).items():
        if not isinstance(value, str) or not VALUE.fullmatch(value) or not VALUE.fullmatch(key.rpartition("/")[2]):
            raise Refused(422, "Invalid", f'{kind} "{name}" is invalid: metadata.labels: {key}: {value!r}', name)
    for owner in metadata.get("ownerReferences", []):
        if not {"apiVersion", "kind", "name", "uid"} <= owner.keys():
            raise Refused(422, "Invalid", f'{kind} "{name}" is invalid: metadata.ownerReferences', name)


def check_secret(kind: str, resource: Resource) -> None:
    if kind != "secrets":
        return
    name = resource["metadata"]["name"]
    try:
        size = sum(len(base64.b64decode(value, validate=True)) for value in resource["data"].values())
    except (binascii.Error, ValueError):
        raise Refused(400, "BadRequest", "illegal base64 data") from None
    if size > LARGEST_SECRET:
        raise Refused(422, "Invalid", f'Secret "{name}" is invalid: data: Too long: at most {LARGEST_SECRET}', name)
