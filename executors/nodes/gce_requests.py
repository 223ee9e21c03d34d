"""Settings → what Google is asked for: an instance template and a managed instance group, as its API words them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from executors.nodes.gce import GceSettings


def template_request(
    settings: GceSettings, machine: str, text: str, labels: Mapping[str, str], *, spot: bool, lifetime_s: float
) -> dict[str, Any]:
    """The properties of an instance template."""
    network: dict[str, Any] = {"subnetwork": settings.subnetwork}
    if settings.public_ip:
        network["access_configs"] = [{"name": "External NAT", "type_": "ONE_TO_ONE_NAT"}]
    scheduling: dict[str, Any] = {
        "automatic_restart": False,
        "on_host_maintenance": "TERMINATE",  # machines with GPUs, and spot ones, can't be moved
        "provisioning_model": "SPOT" if spot else "STANDARD",
        # What the watchdog does first; should it fail, Google deletes the machine a little later.
        "instance_termination_action": "DELETE",
        "max_run_duration": {"seconds": int(lifetime_s) + 600},
    }
    disk = {"source_image": settings.image, "disk_size_gb": settings.disk_gib, "labels": dict(labels)}
    properties: dict[str, Any] = {
        "machine_type": machine or settings.machine_type,
        "labels": dict(labels),
        "metadata": {"items": [{"key": "startup-script", "value": text}]},
        "disks": [{"boot": True, "auto_delete": True, "initialize_params": disk}],
        "network_interfaces": [network],
        "scheduling": scheduling,
        "tags": {"items": list(settings.network_tags)},
    }
    if settings.accelerator_type and not (machine and machine == settings.head_type):
        properties["guest_accelerators"] = [
            {"accelerator_type": settings.accelerator_type, "accelerator_count": settings.accelerator_count}
        ]
    return properties


def template_name(group: str, properties: Mapping[str, Any]) -> str:
    """Templates can't be changed: another content has another name."""
    content = json.dumps(properties, sort_keys=True).encode()
    return f"{group}-{hashlib.sha256(content).hexdigest()[:8]}"


def group_request(name: str, template_link: str) -> dict[str, Any]:
    """A managed instance group that begins empty and repairs nothing."""
    return {
        "name": name,
        "base_instance_name": name,
        "instance_template": template_link,
        "target_size": 0,
        "instance_lifecycle_policy": {"default_action_on_failure": "DO_NOTHING"},
        # New machines are made from a new template; those that are there stay.
        "update_policy": {"type_": "OPPORTUNISTIC", "minimal_action": "REPLACE"},
    }
