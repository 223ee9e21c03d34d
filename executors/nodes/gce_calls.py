"""Calls of Google's Compute Engine, each idempotent: what is there already, or gone already, is what was wanted.

A call that changes something has a request id, so that Google takes a repeat for what it is.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeVar

from broker.model.errors import Conflict
from broker.model.money import NS_PER_S
from broker.model.nodes import Node, NodeState
from broker.model.offers import Tier
from executors.nodes.gce_requests import group_request, template_name
from executors.nodes.gcp_errors import translated
from executors.nodes.groups import Group, Member
from executors.nodes.naming import HEAD, POOL_TAG, ROLE_TAG
from executors.nodes.waiting import again

Answer = TypeVar("Answer")

CALL_S: Final = 30.0
OPERATION_S: Final = 300.0
WAIT_S: Final = 150.0  # of one wait for an operation, which Google answers within two minutes
STATES: Final = {
    "PROVISIONING": NodeState.STARTING,
    "STAGING": NodeState.STARTING,
    "RUNNING": NodeState.RUNNING,
    "REPAIRING": NodeState.RUNNING,
    "STOPPING": NodeState.ENDING,
    "PENDING_STOP": NodeState.ENDING,
    "SUSPENDING": NodeState.ENDING,
}
LEAVING: Final = ("DELETING", "ABANDONING", "STOPPING")


class GceCalls:
    """The calls for one pool in one zone."""

    def __init__(self, pool: str, project: str, zone: str, endpoint_url: str) -> None:
        self._pool = pool
        self._place = {"project": project, "zone": zone}
        self._project = project
        self._endpoint = endpoint_url
        self._pools: dict[str, str] = {}  # of templates, by their names

    def _client(self, kind: str) -> Any:
        from google.api_core.client_options import ClientOptions
        from google.cloud import compute_v1

        with translated(self._pool, "connecting"):
            return getattr(compute_v1, kind)(client_options=ClientOptions(api_endpoint=self._endpoint or None))

    @cached_property
    def _groups(self) -> Any:
        return self._client("InstanceGroupManagersClient")

    @cached_property
    def _templates(self) -> Any:
        return self._client("InstanceTemplatesClient")

    @cached_property
    def _instances(self) -> Any:
        return self._client("InstancesClient")

    @cached_property
    def _zonal(self) -> Any:
        return self._client("ZoneOperationsClient")

    @cached_property
    def _global(self) -> Any:
        return self._client("GlobalOperationsClient")

    def _ask(self, doing: str, call: Callable[[], Answer]) -> Answer:
        """An answer; asked for again when it fails for a moment."""
        for attempt in again():
            with attempt, translated(self._pool, doing):
                return call()
        raise AssertionError("the last attempt raises")

    def _find(self, doing: str, call: Callable[[], Answer]) -> Answer | None:
        """An answer; None for what is not there."""
        from google.api_core.exceptions import NotFound

        def found() -> Answer | None:
            try:
                return call()
            except NotFound:
                return None

        return self._ask(doing, found)

    def _do(self, doing: str, method: Callable[..., Any], request: dict[str, Any], *, there: bool = False) -> None:
        """Has something done, and waits for it; `there`: that it is there already is as good."""
        from google.api_core.exceptions import Conflict as AlreadyThere

        named = {**request, "request_id": str(uuid.uuid4())}

        def done() -> None:
            try:
                self._finish(method(request=named, timeout=CALL_S))
            except AlreadyThere:
                if not there:
                    raise

        self._ask(doing, done)

    def _finish(self, operation: Any) -> None:
        """Waits for an operation. Not by the client's own way, which asks Google's address whatever it was given."""
        from google.api_core.exceptions import from_http_status

        until = time.monotonic() + OPERATION_S
        while operation.status.name != "DONE" and time.monotonic() < until:
            asked = {"project": self._project, "operation": operation.name}
            if operation.zone:
                operation = self._zonal.wait(request={**asked, "zone": self._place["zone"]}, timeout=WAIT_S)
            else:
                operation = self._global.wait(request=asked, timeout=WAIT_S)
        if operation.status.name != "DONE":
            raise TimeoutError(f"{operation.name} did not end within {OPERATION_S:g} s")
        if operation.error.errors:
            said = "; ".join(f"{each.code}: {each.message}" for each in operation.error.errors)
            raise from_http_status(operation.http_error_status_code or 400, said)

    def groups(self, names: Iterable[str]) -> dict[str, Group]:
        """Those of these groups that there are."""
        found = {name: self._group(name) for name in names}
        return {name: group for name, group in found.items() if group is not None}

    def _group(self, name: str) -> Group | None:
        place = {**self._place, "instance_group_manager": name}
        said = self._find(f"looking for {name}", lambda: self._groups.get(request=place, timeout=CALL_S))
        if said is None:
            return None
        listed = self._find(
            f"listing {name}",
            lambda: list(self._groups.list_managed_instances(request=place, timeout=CALL_S)),
        )
        members = tuple(
            Member(_last(each.instance), _goes_on(each), bool(each.instance_status)) for each in listed or ()
        )
        return Group(name, self._pool_of(_last(said.instance_template)), said.target_size, members)

    def _pool_of(self, template_name: str) -> str:
        """Whose a template is, "" for none of ours; it never changes, as the name has what is in it."""
        if template_name not in self._pools:
            template = self._template(template_name)
            if template is None:
                return ""
            self._pools[template_name] = dict(template.properties.labels).get(POOL_TAG) or ""
        return self._pools[template_name]

    def _template(self, name: str) -> Any:
        asked = {"project": self._project, "instance_template": name}
        return self._find(f"looking for {name}", lambda: self._templates.get(request=asked, timeout=CALL_S))

    def _templates_of(self, group: str) -> list[Any]:
        """All that machines of a group have been made from, newest last."""
        asked = {"project": self._project, "filter": f'name eq "{group}-[0-9a-f]{{8}}"'}
        found = self._ask("listing templates", lambda: list(self._templates.list(request=asked, timeout=CALL_S)))
        return sorted(found, key=lambda each: each.creation_timestamp)

    def machines(self, groups: Iterable[str]) -> tuple[Node, ...]:
        """All machines of groups; those that Google deleted are not told any more."""
        names = [f'name eq "{group}-[0-9a-z]{{4}}"' for group in groups]
        asked = {**self._place, "filter": " OR ".join(f"({each})" for each in names)}
        found = self._ask("listing machines", lambda: list(self._instances.list(request=asked, timeout=CALL_S)))
        nodes = [_node(each) for each in found]
        return tuple(sorted(nodes, key=lambda node: (not node.head, node.started_ns, node.node_id)))

    def script(self, name: str) -> str | None:
        """From the metadata of the newest template."""
        for template in reversed(self._templates_of(name)):
            for item in template.properties.metadata.items:
                if item.key == "startup-script" and self._ours(template):
                    return str(item.value)
        return None

    def _ours(self, template: Any) -> bool:
        return dict(template.properties.labels).get(POOL_TAG) == self._pool

    def make_template(self, group: str, properties: Mapping[str, Any]) -> str:
        """A template of this content; its link."""
        name = template_name(group, properties)
        body = {"name": name, "properties": dict(properties)}
        asked = {"project": self._project, "instance_template_resource": body}
        self._do(f"making the template {name}", self._templates.insert_unary, asked, there=True)
        made = self._template(name)
        if made is None or not self._ours(made):
            raise Conflict(f"Google has a template {name} that is not of pool {self._pool}")
        return str(made.self_link)

    def make_group(self, name: str, template_link: str) -> None:
        """A group that repairs nothing, empty at first."""
        asked = {**self._place, "instance_group_manager_resource": group_request(name, template_link)}
        self._do(f"making the group {name}", self._groups.insert_unary, asked, there=True)

    def change_group(self, name: str, template_link: str) -> None:
        """New machines of a group are made from this template."""
        body = {"instance_template": template_link}
        asked = {
            **self._place,
            "instance_group_manager": name,
            "instance_group_managers_set_instance_template_request_resource": body,
        }
        self._do(f"changing the group {name}", self._groups.set_instance_template_unary, asked)

    def want(self, name: str, machines: int) -> None:
        """Has a group want so many, never fewer than it has: it would choose which end."""
        asked = {**self._place, "instance_group_manager": name, "size": machines}
        self._do(f"resizing {name}", self._groups.resize_unary, asked)

    def give_up(self, name: str) -> None:
        """Takes back those that were never started, by name."""
        group = self._group(name)
        for one in group.members if group else ():
            if not one.started:
                self.end(one.node_id, name)

    def problems(self, name: str) -> dict[str, str]:
        """Machines of a group that could not be made lately."""
        asked = {**self._place, "instance_group_manager": name}
        found = self._ask(f"asking {name}", lambda: list(self._groups.list_errors(request=asked, timeout=CALL_S)))
        return {f"{each.timestamp} {each.error.code}": f"{each.error.code}: {each.error.message}" for each in found}

    def end(self, node_id: str, group: str) -> None:
        """Deletes a machine, its group wanting one fewer."""
        body = {"instances": [self._link(node_id)], "skip_instances_on_validation_error": True}
        asked = {
            **self._place,
            "instance_group_manager": group,
            "instance_group_managers_delete_instances_request_resource": body,
        }
        self._do(f"ending {node_id}", self._groups.delete_instances_unary, asked)

    def _link(self, node_id: str) -> str:
        return f"projects/{self._place['project']}/zones/{self._place['zone']}/instances/{node_id}"

    def delete_group(self, group: Group) -> None:
        """Deletes a group with all its machines."""
        self._gone(
            f"deleting {group.name}", self._groups.delete_unary, {**self._place, "instance_group_manager": group.name}
        )

    def delete_template(self, name: str) -> None:
        """Deletes all that machines of a group were made from."""
        for template in self._templates_of(name):
            if self._ours(template):
                asked = {"project": self._project, "instance_template": template.name}
                self._gone(f"deleting {template.name}", self._templates.delete_unary, asked)

    def _gone(self, doing: str, method: Callable[..., Any], request: dict[str, Any]) -> None:
        named = {**request, "request_id": str(uuid.uuid4())}
        self._find(doing, lambda: self._finish(method(request=named, timeout=CALL_S)))


def _last(link: str) -> str:
    """The name at the end of a link."""
    return link.rpartition("/")[2]


def _goes_on(managed: Any) -> bool:
    """Whether a machine is there, or is to be made."""
    if managed.current_action in LEAVING:
        return False
    state = STATES.get(managed.instance_status, NodeState.ENDED)
    return not managed.instance_status or state in (NodeState.STARTING, NodeState.RUNNING)


def _node(said: Any) -> Node:
    labels = dict(said.labels)
    started = datetime.fromisoformat(said.last_start_timestamp or said.creation_timestamp)
    return Node(
        node_id=said.name,
        state=STATES.get(said.status, NodeState.ENDED),
        head=labels.get(ROLE_TAG) == HEAD,
        sku=_last(said.machine_type),
        tier=Tier.SPOT if said.scheduling.provisioning_model == "SPOT" else Tier.ON_DEMAND,
        zone=_last(said.zone),
        address=next((each.network_i_p for each in said.network_interfaces), ""),
        started_ns=int(started.timestamp()) * NS_PER_S,
        note=said.status_message,
    )
