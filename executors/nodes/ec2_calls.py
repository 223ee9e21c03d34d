"""Calls of AWS, each idempotent: what is there already, or gone already, is what was wanted.

The client tries again what was throttled or failed for a moment (its standard mode: bounded, growing pauses, jitter).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from broker.model.errors import Conflict
from broker.model.money import NS_PER_S
from broker.model.nodes import Node, NodeState
from broker.model.offers import Tier
from executors.nodes.aws_errors import code_of, translated
from executors.nodes.ec2_requests import tag_list
from executors.nodes.groups import Group, Member
from executors.nodes.naming import HEAD, POOL_TAG, ROLE_TAG
from executors.nodes.waiting import again

ATTEMPTS: Final = 5
PROTECT_AT_ONCE: Final = 50  # instances that one call may name
SUSPENDED: Final = ("AZRebalance", "InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions", "AlarmNotification")
STATES: Final = {
    "pending": NodeState.STARTING,
    "running": NodeState.RUNNING,
    "shutting-down": NodeState.ENDING,
    "stopping": NodeState.ENDING,
    "stopped": NodeState.ENDED,
    "terminated": NodeState.ENDED,
}


class Ec2Calls:
    """The calls for one pool in one region."""

    def __init__(self, pool: str, region: str, profile: str, endpoint_url: str) -> None:
        self._pool = pool
        self._where = {"region_name": region, "endpoint_url": endpoint_url or None}
        self._profile = profile or None

    def _client(self, service: str, attempts: int = ATTEMPTS) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=5, read_timeout=30
        )
        with translated(self._pool):
            return boto3.Session(profile_name=self._profile).client(service, config=config, **self._where)

    @cached_property
    def _ec2(self) -> Any:
        return self._client("ec2")

    @cached_property
    def _scaling(self) -> Any:
        return self._client("autoscaling")

    @cached_property
    def _scaling_once(self) -> Any:
        """For calls whose repeat would do more than they did."""
        return self._client("autoscaling", attempts=1)

    def groups(self, names: Iterable[str]) -> dict[str, Group]:
        """Those of these groups that there are, and are not being deleted."""
        with translated(self._pool):
            found = self._scaling.describe_auto_scaling_groups(AutoScalingGroupNames=list(names))["AutoScalingGroups"]
        return {each["AutoScalingGroupName"]: _group(each) for each in found if not each.get("Status")}

    def machines(self, groups: Iterable[str]) -> tuple[Node, ...]:
        """All machines of groups, with those that ended within about an hour."""
        filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": list(groups)}]
        with translated(self._pool):
            pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)
            found = [_node(one) for page in pages for each in page["Reservations"] for one in each["Instances"]]
        return tuple(sorted(found, key=lambda node: (not node.head, node.started_ns, node.node_id)))

    def make_template(self, name: str, data: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """A launch template; one of that name which is there already gets a new version."""
        from botocore.exceptions import ClientError

        specification = [{"ResourceType": "launch-template", "Tags": tag_list(tags)}]
        with translated(self._pool):
            try:
                self._ec2.create_launch_template(
                    LaunchTemplateName=name,
                    LaunchTemplateData=data,
                    TagSpecifications=specification,
                    ClientToken=_client_token(name, data),
                )
            except ClientError as error:
                if code_of(error) != "InvalidLaunchTemplateName.AlreadyExistsException":
                    raise
        if (pool := self.template_pool(name)) != self._pool:
            raise Conflict(f"AWS has a launch template {name} of {pool or 'somebody else'}, not of pool {self._pool}")
        self.change_template(name, data)

    def template_pool(self, name: str) -> str | None:
        """Whose a template is, by its tag; "" for none of ours, None where there is none."""
        from botocore.exceptions import ClientError

        with translated(self._pool):
            try:
                found = self._ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"]
            except ClientError as error:
                if "NotFound" not in code_of(error):
                    raise
                return None
        return _tags(found[0]).get(POOL_TAG, "") if found else None

    def change_template(self, name: str, data: Mapping[str, Any]) -> None:
        """A new version, where something would be different."""
        now = self._latest(name) or {}
        if all(now.get(part) == data.get(part) for part in ("ImageId", "InstanceType", "UserData", "KeyName")):
            return
        with translated(self._pool):
            self._ec2.create_launch_template_version(
                LaunchTemplateName=name, LaunchTemplateData=data, ClientToken=_client_token(name, data)
            )

    def _latest(self, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with translated(self._pool):
            try:
                found = self._ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])
            except ClientError as error:
                if "NotFound" not in code_of(error):
                    raise
                return None
        versions = found["LaunchTemplateVersions"]
        return dict(versions[0]["LaunchTemplateData"]) if versions else None

    def script(self, name: str) -> str | None:
        """What machines of a template run when they boot; None where there is no template."""
        latest = self._latest(name)
        return base64.b64decode(latest["UserData"]).decode() if latest and "UserData" in latest else None

    def make_group(self, request: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """A group that never acts by itself, empty at first."""
        from botocore.exceptions import ClientError

        name = request["AutoScalingGroupName"]
        carried = [
            {**tag, "PropagateAtLaunch": True, "ResourceId": name, "ResourceType": "auto-scaling-group"}
            for tag in tag_list(tags)
        ]
        with translated(self._pool):
            try:
                self._scaling.create_auto_scaling_group(**request, DesiredCapacity=0, Tags=carried)
            except ClientError as error:
                if code_of(error) not in ("AlreadyExists", "AlreadyExistsFault"):
                    raise
            self._scaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=list(SUSPENDED))

    def change_group(self, request: Mapping[str, Any]) -> None:
        """Has a group be as it is asked for, with the machines that it has."""
        name = request["AutoScalingGroupName"]
        with translated(self._pool):
            self._scaling.update_auto_scaling_group(**request)
            self._scaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=list(SUSPENDED))

    def want(self, name: str, machines: int) -> None:
        """Has a group want so many."""
        with translated(self._pool):
            self._scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=machines, HonorCooldown=False)

    def give_up(self, name: str) -> None:
        """Has a group want no more than it has."""
        self.want(name, self.groups([name])[name].there)

    def problems(self, name: str) -> dict[str, str]:
        """Attempts of a group to start a machine that failed lately, with what AWS says, newest first."""
        with translated(self._pool):
            found = self._scaling.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=20)["Activities"]
        return {
            each["ActivityId"]: each.get("StatusMessage") or each.get("Description", "it failed")
            for each in found
            if each["StatusCode"] == "Failed"
        }

    def end(self, node_id: str, group: str) -> None:
        """Ends a machine, its group wanting one fewer. An answer that was lost is looked for, not asked for again."""
        from botocore.exceptions import ClientError

        for attempt in again():
            with attempt:
                if attempt.retry_state.attempt_number > 1 and not self._holds(group, node_id):
                    return
                with translated(self._pool):
                    try:
                        self._scaling_once.terminate_instance_in_auto_scaling_group(
                            InstanceId=node_id, ShouldDecrementDesiredCapacity=True
                        )
                    except ClientError as error:
                        if "not found" not in str(error).lower():
                            raise

    def _holds(self, group: str, node_id: str) -> bool:
        there = self.groups([group]).get(group)
        return there is not None and any(one.node_id == node_id and one.healthy for one in there.members)

    def delete_group(self, group: Group) -> None:
        """Ends a group with all its machines, protected as they are from being chosen to end."""
        from botocore.exceptions import ClientError

        name, members = group.name, [one.node_id for one in group.members if one.healthy]
        with translated(self._pool):
            try:
                for some in batched(members, PROTECT_AT_ONCE):
                    self._scaling.set_instance_protection(
                        AutoScalingGroupName=name, InstanceIds=some, ProtectedFromScaleIn=False
                    )
                self._scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
            except ClientError as error:
                if "not found" not in str(error).lower():
                    raise

    def delete_template(self, name: str) -> None:
        """Deletes a template of the pool's and its versions."""
        if self.template_pool(name) != self._pool:
            return
        from botocore.exceptions import ClientError

        with translated(self._pool):
            try:
                self._ec2.delete_launch_template(LaunchTemplateName=name)
            except ClientError as error:
                if "NotFound" not in code_of(error):
                    raise


def batched(names: Sequence[str], size: int) -> Iterator[list[str]]:
    """Names in lists of at most `size`."""
    return (list(names[first : first + size]) for first in range(0, len(names), size))


def _client_token(name: str, data: Mapping[str, Any]) -> str:
    """The same request has the same token, also from a process that begins again."""
    return hashlib.sha256(json.dumps([name, data], sort_keys=True).encode()).hexdigest()[:64]


def _tags(said: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in said.get("Tags", ())}


def _group(said: Mapping[str, Any]) -> Group:
    tags = _tags(said)
    instances = tuple(
        Member(each["InstanceId"], each["HealthStatus"] == "Healthy" and not each["LifecycleState"].startswith("Term"))
        for each in said.get("Instances", ())
    )
    return Group(said["AutoScalingGroupName"], tags.get(POOL_TAG, ""), said["DesiredCapacity"], instances)


def _node(said: Mapping[str, Any]) -> Node:
    tags = _tags(said)
    reason = said.get("StateReason", {}).get("Message") or said.get("StateTransitionReason", "")
    return Node(
        node_id=said["InstanceId"],
        state=STATES[said["State"]["Name"]],
        head=tags.get(ROLE_TAG) == HEAD,
        sku=said.get("InstanceType", ""),
        tier=Tier.SPOT if said.get("InstanceLifecycle") == "spot" else Tier.ON_DEMAND,
        zone=said.get("Placement", {}).get("AvailabilityZone", ""),
        address=said.get("PrivateIpAddress", ""),
        started_ns=int(said["LaunchTime"].timestamp()) * NS_PER_S,
        note=reason,
    )
