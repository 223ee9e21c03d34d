"""AWS as far as moto goes, over HTTP on loopback, and what it lacks: faults, capacity, groups that replace nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

import boto3
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import MotoRequestHandler
from werkzeug.serving import make_server

from tests.executors.nodes.conftest import REGION
from tests.serving import serving

FAILED_ACTIVITY = """<DescribeScalingActivitiesResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">
<DescribeScalingActivitiesResult><Activities><member><ActivityId>{id}</ActivityId>
<AutoScalingGroupName>{group}</AutoScalingGroupName><Cause>more were wanted</Cause>
<StartTime>2026-11-25T12:00:00Z</StartTime><StatusCode>Failed</StatusCode><StatusMessage>{message}</StatusMessage>
</member></Activities></DescribeScalingActivitiesResult></DescribeScalingActivitiesResponse>"""
ERROR = """<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>
<RequestId>r</RequestId></ErrorResponse>"""
EC2_ERROR = """<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>
<RequestID>r</RequestID></Response>"""


@dataclass
class Fault:
    """What happens to the next calls of an action."""

    action: str
    times: int
    code: str = ""
    message: str = ""
    status: int = 400
    lost: bool = False  # it is done, and its answer never comes


@dataclass
class Aws:
    """A server, what it was asked, and what it is to do wrong."""

    url: str
    calls: Counter[str] = field(default_factory=Counter)
    requests: list[dict[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    room: int | None = None  # machines that there are; None: any number
    refused: dict[str, str] = field(default_factory=dict)  # group -> activity that failed for want of capacity

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=self.url)

    def fail(self, action: str, times: int = 1, **what: Any) -> None:
        self.faults.append(Fault(action, times, **what))

    def take(self, action: str) -> Fault | None:
        fault = next((each for each in self.faults if each.action == action and each.times), None)
        if fault is not None:
            fault.times -= 1
        return fault

    def instances(self, state: str = "running") -> list[dict[str, Any]]:
        found = self.client("ec2").describe_instances(Filters=[{"Name": "instance-state-name", "Values": [state]}])
        return [one for each in found["Reservations"] for one in each["Instances"]]

    def left(self) -> dict[str, int]:
        """All that costs money or is in the way."""
        groups = self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        templates = self.client("ec2").describe_launch_templates()["LaunchTemplates"]
        return {"groups": len(groups), "templates": len(templates), "machines": len(self.instances())}


class Faulty:
    """The application between boto3 and moto."""

    def __init__(self, inner: Any, aws: Aws) -> None:
        self._inner = inner
        self._aws = aws

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        action, service = asked.get("Action", ""), _service(environ)
        self._aws.calls[action] += 1
        self._aws.requests.append(asked)
        fault = self._aws.take(action)
        if fault is not None and not fault.lost:
            form = EC2_ERROR if service == "ec2" else ERROR
            return _answer(start, fault.status, form.format(code=fault.code, message=fault.message))
        group = asked.get("AutoScalingGroupName", "")
        if action == "DescribeScalingActivities" and group in self._aws.refused:
            said = FAILED_ACTIVITY.format(id=self._aws.refused[group], group=group, message=SOLD_OUT)
            return _answer(start, 200, said)
        answer = self._inner(environ, start)
        if fault is not None:
            environ["werkzeug.socket"].shutdown(2)
        return answer


SOLD_OUT = "We currently do not have sufficient g6.xlarge capacity (InsufficientInstanceCapacity)"


class Quiet(MotoRequestHandler):
    def log_request(self, *_: Any) -> None:
        """Says nothing."""


def _service(environ: dict[str, Any]) -> str:
    return (str(environ.get("HTTP_AUTHORIZATION", "")).split("/")[3:4] == ["ec2"] and "ec2") or "autoscaling"


def _answer(start: Callable[..., Any], status: int, text: str) -> Iterable[bytes]:
    start(f"{status} said", [("Content-Type", "text/xml"), ("Content-Length", str(len(text.encode())))])
    return [text.encode()]


def serve(monkeypatch: Any) -> tuple[Aws, Callable[[], None]]:
    """Starts a server; gives it and what stops it."""
    aws = Aws("")
    app = Faulty(DomainDispatcherApplication(create_backend_app), aws)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    aws.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(AutoScalingBackend, "notify_terminate_instances", _noticed)
    started = FakeAutoScalingGroup.replace_autoscaling_group_instances

    def start_some(group: Any, count: int, tags: dict[str, str]) -> None:
        if aws.room is not None and count > aws.room:
            aws.refused[group.name] = f"activity-{aws.calls.total()}"
            count = aws.room
        if aws.room is not None:
            aws.room -= count
        if count:
            started(group, count, tags)

    monkeypatch.setattr(FakeAutoScalingGroup, "replace_autoscaling_group_instances", start_some)
    return aws, serving(server)


def _noticed(backend: Any, instance_ids: list[str]) -> None:
    """As AWS does where ReplaceUnhealthy is suspended: what ended stays in its group, unhealthy; moto replaces it."""
    for group in backend.autoscaling_groups.values():
        assert {"ProcessName": "ReplaceUnhealthy", "SuspensionReason": ""} in group.suspended_processes
        for state in group.instance_states:
            if state.instance.id in instance_ids:
                state.health_status = "Unhealthy"
