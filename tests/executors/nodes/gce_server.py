"""Google's Compute Engine as far as the broker asks for it, over HTTP on loopback; strict about what it is asked.

Requests are read by Google's own message types, which refuse what they do not know. Operations end when they are asked
for a second time, machines come and go as a managed instance group's do, and faults can be laid over any call.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.cloud import compute_v1 as compute
from google.protobuf.json_format import ParseError

from tests.serving import serving

PROJECT, ZONE = "research", "us-central1-a"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
TOKEN = "ya29.test"
GLOBAL = f"/compute/v1/projects/{PROJECT}/global"
ZONAL = f"/compute/v1/projects/{PROJECT}/zones/{ZONE}"


class Refused(Exception):
    def __init__(self, status: int, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.status, self.message, self.reason = status, message, reason


@dataclass
class Machine:
    name: str
    group: str
    status: str  # "" while there is no place for it
    properties: dict[str, Any]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    error: str = ""


@dataclass
class Fault:
    action: str
    times: int
    status: int = 403
    message: str = "no"
    lost: bool = False


@dataclass
class Google:
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_request: dict[str, dict[str, Any]] = field(default_factory=dict)
    room: int | None = None
    token_error: str = ""
    made: int = 0

    def fail(self, action: str, times: int = 1, **what: Any) -> None:
        self.faults.append(Fault(action, times, **what))

    def take(self, action: str) -> Fault | None:
        fault = next((each for each in self.faults if each.action == action and each.times), None)
        if fault is not None:
            fault.times -= 1
        return fault

    def left(self) -> dict[str, int]:
        return {"groups": len(self.groups), "templates": len(self.templates), "machines": len(self.machines)}

    # what machines do

    def fill(self, group: dict[str, Any]) -> None:
        """A group gets as many machines as it wants and there is room for; the others wait."""
        name, template = group["name"], self.templates[group["instanceTemplate"].rpartition("/")[2]]
        mine = [each for each in self.machines.values() if each.group == name]
        for _ in range(group["targetSize"] - len(mine)):
            self.made += 1
            one = Machine(f"{group['baseInstanceName']}-{self.made:04x}", name, "", template["properties"])
            self.machines[one.name] = one
            if self.room == 0:
                one.error = f"ZONE_RESOURCE_POOL_EXHAUSTED: the zone '{ZONE}' does not have enough resources"
                continue
            one.status = "RUNNING"
            self.room = None if self.room is None else self.room - 1

    def operation(self, request_id: str, where: str, done: Callable[[], None]) -> dict[str, Any]:
        if str(uuid.UUID(request_id)) != request_id:
            raise Refused(400, f"Invalid value for field 'requestId': '{request_id}'")
        if request_id not in self.by_request:
            done()
            name = f"operation-{len(self.by_request) + 1}"
            link = f"{self.url}{where}/operations/{name}"
            made = {"name": name, "status": "RUNNING", "selfLink": link, "kind": "compute#operation"}
            made |= {"zone": f"{self.url}{ZONAL}"} if where == ZONAL else {}
            self.by_request[request_id] = self.operations[name] = made
        return self.by_request[request_id]


class Calls:
    """What each call does; a method's name is what it is counted and failed by."""

    def __init__(self, google: Google) -> None:
        self._google = google

    def insert_template(self, query: dict[str, str], body: bytes) -> Any:
        asked = _read(compute.InstanceTemplate, body)
        properties = asked["properties"]
        _check_properties(properties)

        def done() -> None:
            if asked["name"] in self._google.templates:
                raise Refused(409, f"The resource '{asked['name']}' already exists", "alreadyExists")
            link = f"{self._google.url}{GLOBAL}/instanceTemplates/{asked['name']}"
            now = datetime.now(UTC).isoformat()
            self._google.templates[asked["name"]] = {**asked, "selfLink": link, "creationTimestamp": now}

        return self._google.operation(query["requestId"], GLOBAL, done)

    def list_templates(self, query: dict[str, str], _: bytes) -> Any:
        return {"items": _filtered(self._google.templates.values(), query)}

    def get_template(self, query: dict[str, str], _: bytes) -> Any:
        return _of(self._google.templates, query["name"])

    def delete_template(self, query: dict[str, str], _: bytes) -> Any:
        def done() -> None:
            _of(self._google.templates, query["name"])
            if any(each["instanceTemplate"].endswith("/" + query["name"]) for each in self._google.groups.values()):
                raise Refused(400, f"The template '{query['name']}' is already being used by a group")
            del self._google.templates[query["name"]]

        return self._google.operation(query["requestId"], GLOBAL, done)

    def insert_group(self, query: dict[str, str], body: bytes) -> Any:
        asked = _read(compute.InstanceGroupManager, body)
        if asked["instanceLifecyclePolicy"]["defaultActionOnFailure"] != "DO_NOTHING":
            raise Refused(400, "test: a group that repairs would start again what ended itself")

        def done() -> None:
            if asked["name"] in self._google.groups:
                raise Refused(409, f"The resource '{asked['name']}' already exists", "alreadyExists")
            _of(self._google.templates, asked["instanceTemplate"].rpartition("/")[2])
            self._google.groups[asked["name"]] = {"targetSize": 0, **asked}
            self._google.fill(self._google.groups[asked["name"]])

        return self._google.operation(query["requestId"], ZONAL, done)

    def get_group(self, query: dict[str, str], _: bytes) -> Any:
        return _of(self._google.groups, query["name"])

    def delete_group(self, query: dict[str, str], _: bytes) -> Any:
        def done() -> None:
            _of(self._google.groups, query["name"])
            del self._google.groups[query["name"]]
            for name in [each.name for each in self._google.machines.values() if each.group == query["name"]]:
                del self._google.machines[name]

        return self._google.operation(query["requestId"], ZONAL, done)

    def resize(self, query: dict[str, str], _: bytes) -> Any:
        group, size = _of(self._google.groups, query["name"]), int(query["size"])

        def done() -> None:
            if size < group["targetSize"]:
                raise Refused(400, "test: a group that is made smaller chooses which machines end")
            group["targetSize"] = size
            self._google.fill(group)

        return self._google.operation(query["requestId"], ZONAL, done)

    def setInstanceTemplate(self, query: dict[str, str], body: bytes) -> Any:
        asked = _read(compute.InstanceGroupManagersSetInstanceTemplateRequest, body)
        group = _of(self._google.groups, query["name"])

        def done() -> None:
            _of(self._google.templates, asked["instanceTemplate"].rpartition("/")[2])
            group["instanceTemplate"] = asked["instanceTemplate"]

        return self._google.operation(query["requestId"], ZONAL, done)

    def deleteInstances(self, query: dict[str, str], body: bytes) -> Any:
        asked = _read(compute.InstanceGroupManagersDeleteInstancesRequest, body)
        group = _of(self._google.groups, query["name"])

        def done() -> None:
            for link in asked["instances"]:
                one = self._google.machines.get(link.rpartition("/")[2])
                if one is None or one.group != query["name"]:
                    if not asked.get("skipInstancesOnValidationError"):
                        raise Refused(400, f"The instance {link} is not a member of {query['name']}")
                    continue
                del self._google.machines[one.name]
                group["targetSize"] -= 1

        return self._google.operation(query["requestId"], ZONAL, done)

    def listManagedInstances(self, query: dict[str, str], _: bytes) -> Any:
        _of(self._google.groups, query["name"])
        return {
            "managedInstances": [
                {
                    "instance": f"{self._google.url}{ZONAL}/instances/{each.name}",
                    "currentAction": "NONE" if each.status else "CREATING",
                    **({"instanceStatus": each.status} if each.status else {}),
                }
                for each in self._google.machines.values()
                if each.group == query["name"]
            ]
        }

    def listErrors(self, query: dict[str, str], _: bytes) -> Any:
        return {
            "items": [
                {
                    "error": dict(zip(("code", "message"), each.error.split(": ", 1), strict=True)),
                    "timestamp": each.created,
                }
                for each in self._google.machines.values()
                if each.group == query["name"] and each.error
            ]
        }

    def list_instances(self, query: dict[str, str], _: bytes) -> Any:
        found = [
            {
                "name": each.name,
                "status": each.status,
                "labels": each.properties["labels"],
                "machineType": f"{self._google.url}{ZONAL}/machineTypes/{each.properties['machineType']}",
                "zone": f"{self._google.url}{ZONAL}",
                "creationTimestamp": each.created,
                "networkInterfaces": [{"networkIP": f"10.0.0.{int(each.name[-2:], 16)}"}],
                "scheduling": {"provisioningModel": each.properties["scheduling"]["provisioningModel"]},
            }
            for each in self._google.machines.values()
            if each.status
        ]
        return {"items": _filtered(found, query)}

    def operations(self, query: dict[str, str], _: bytes) -> Any:
        said = _of(self._google.operations, query["name"])
        waited = dict(said)
        said["status"] = "DONE"
        return waited


def _read(kind: Any, body: bytes) -> Any:
    try:
        message = kind.from_json(body.decode(), ignore_unknown_fields=False)
    except ParseError as error:
        raise Refused(400, f"Invalid JSON payload received: {error}") from None
    name = getattr(message, "name", "")
    if "name" in kind.meta.fields and not NAME.fullmatch(name):
        raise Refused(400, f"Invalid value for field 'resource.name': '{name}'")
    return json.loads(body)


def _check_properties(properties: dict[str, Any]) -> None:
    for key, value in properties["labels"].items():
        if not LABEL.fullmatch(value) or not LABEL.fullmatch(key):
            raise Refused(400, f"Invalid value for field 'labels': '{key}={value}'")
    scheduling = properties["scheduling"]
    if scheduling["provisioningModel"] == "SPOT" and scheduling.get("automaticRestart"):
        raise Refused(400, "Automatic restart must be false for spot instances")
    if int(scheduling["maxRunDuration"]["seconds"]) > 120 * 86_400:
        raise Refused(400, "maxRunDuration is too long")
    for each in properties["networkInterfaces"]:
        if not re.fullmatch(r"projects/[\w-]+/regions/[\w-]+/subnetworks/[\w-]+", each["subnetwork"]):
            raise Refused(400, f"Invalid value for field 'subnetwork': '{each['subnetwork']}'")


def _of(things: dict[str, Any], name: str) -> Any:
    if name not in things:
        raise Refused(404, f"The resource '{name}' was not found", "notFound")
    return things[name]


def _filtered(things: Any, query: dict[str, str]) -> list[Any]:
    """`name eq REGEX`, or several in brackets with OR between."""
    wanted = query.get("filter", 'name eq ".*"').split(" OR ")
    patterns = [re.fullmatch(r'\(?name eq "(.*?)"\)?', each) for each in wanted]
    if not all(patterns):
        raise Refused(400, f"Invalid value for field 'filter': '{query['filter']}'")
    return [each for each in things if any(found and re.fullmatch(found[1], each["name"]) for found in patterns)]


ROUTES = [
    ("POST", f"{GLOBAL}/instanceTemplates", "insert_template"),
    ("GET", f"{GLOBAL}/instanceTemplates", "list_templates"),
    ("GET", f"{GLOBAL}/instanceTemplates/NAME", "get_template"),
    ("DELETE", f"{GLOBAL}/instanceTemplates/NAME", "delete_template"),
    ("POST", f"{ZONAL}/instanceGroupManagers", "insert_group"),
    ("GET", f"{ZONAL}/instanceGroupManagers/NAME", "get_group"),
    ("DELETE", f"{ZONAL}/instanceGroupManagers/NAME", "delete_group"),
    ("POST", f"{ZONAL}/instanceGroupManagers/NAME/resize", "resize"),
    ("POST", f"{ZONAL}/instanceGroupManagers/NAME/setInstanceTemplate", "setInstanceTemplate"),
    ("POST", f"{ZONAL}/instanceGroupManagers/NAME/deleteInstances", "deleteInstances"),
    ("POST", f"{ZONAL}/instanceGroupManagers/NAME/listManagedInstances", "listManagedInstances"),
    ("GET", f"{ZONAL}/instanceGroupManagers/NAME/listErrors", "listErrors"),
    ("GET", f"{ZONAL}/instances", "list_instances"),
    ("POST", f"{GLOBAL}/operations/NAME/wait", "operations"),
    ("POST", f"{ZONAL}/operations/NAME/wait", "operations"),
]


def _route(method: str, path: str) -> tuple[str, dict[str, str]]:
    for verb, pattern, name in ROUTES:
        found = re.fullmatch(pattern.replace("NAME", "(?P<name>[^/]+)"), path)
        if verb == method and found:
            return name, found.groupdict()
    raise Refused(404, f"{method} {path}: there is no such call", "notFound")


def credentials(folder: Path, url: str) -> Path:
    """A file of credentials that the server at `url` takes: those of a workload with an identity elsewhere."""
    (folder / "subject").write_text("who I am elsewhere")
    known = {
        "type": "external_account",
        "audience": "//broker.test/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/token",
        "credential_source": {"file": str(folder / "subject")},
    }
    file = folder / "credentials.json"
    file.write_text(json.dumps(known))
    return file


def serve() -> tuple[Google, Callable[[], None]]:
    """Starts a server; gives it and what stops it."""
    google, lock = Google(), threading.Lock()
    calls = Calls(google)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body at once: in two parts, each would wait 40 ms for the client's acknowledgement

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            if url.path == "/token":
                granted = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600, "issued_token_type": "t"}
                refused = {"error": google.token_error}
                return self._say(400, refused) if google.token_error else self._say(200, granted)
            with lock:
                self._answer(url, body)

        do_POST = do_DELETE = do_GET

        def _answer(self, url: Any, body: bytes) -> None:
            fault = None
            try:
                name, found = _route(self.command, url.path)
                google.calls[name] += 1
                fault = google.take(name)
                if fault is not None and not fault.lost:
                    raise Refused(fault.status, fault.message, "forbidden")
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise Refused(401, "Request had invalid authentication credentials", "authError")
                query = {key: values[0] for key, values in parse_qs(url.query).items()} | found
                said, status = getattr(calls, name)(query, body), 200
            except Refused as error:
                status = error.status
                said = {
                    "error": {"code": status, "message": error.message, "errors": [{"reason": error.reason}]},
                }
            if fault is not None and fault.lost:
                self.connection.shutdown(2)
                self.close_connection = True
                return
            self._say(status, said)

        def _say(self, status: int, said: Any) -> None:
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    google.url = f"http://127.0.0.1:{server.server_port}"
    return google, serving(server)
