"""What AWS does wrong, and what the broker makes of it: which error, how many calls, and what is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity, Unreachable
from executors.nodes import ec2_calls
from executors.nodes.ec2 import Ec2Nodes

if TYPE_CHECKING:
    from tests.executors.nodes.aws_server import Aws

Make = Callable[..., Ec2Nodes]
NOTHING = {"groups": 0, "templates": 0, "machines": 0}
STEPS = ["CreateLaunchTemplate", "CreateAutoScalingGroup", "SuspendProcesses", "SetDesiredCapacity"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own pauses are random up to seconds: tests keep their number and lose their length."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)


def test_credentials_are_missing(ec2: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = ec2()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Misconfigured, match="no AWS credentials: set AWS_PROFILE"):
        nodes.find()


def test_a_profile_that_is_not_there(ec2: Make) -> None:
    with pytest.raises(Misconfigured, match="nobody"):
        ec2(profile="nobody").find()


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("ExpiredToken", "The security token included in the request is expired", "have expired: log in again"),
        ("RequestExpired", "Request has expired.", "have expired"),
        ("InvalidClientTokenId", "The security token included in the request is invalid", "does not accept"),
        ("SignatureDoesNotMatch", "Signature expired: 20261125T1 is now earlier than …", "clock is wrong"),
    ],
)
def test_credentials_are_wrong(aws: Aws, ec2: Make, code: str, message: str, said: str) -> None:
    aws.fail("DescribeAutoScalingGroups", code=code, message=message, status=403)
    with pytest.raises(Misconfigured, match=said):
        ec2().find()
    assert aws.calls["DescribeAutoScalingGroups"] == 1, "it is not tried again"


@pytest.mark.parametrize(
    ("action", "permission", "message"),
    [
        ("CreateLaunchTemplate", "ec2:CreateLaunchTemplate", "You are not authorized to perform this operation."),
        ("CreateAutoScalingGroup", "autoscaling:CreateAutoScalingGroup", "no"),
        (
            "CreateAutoScalingGroup",
            "ec2:RunInstances",
            "User: arn:aws:iam::1:user/ada is not authorized to perform: ec2:RunInstances on resource: *",
        ),
        ("SuspendProcesses", "autoscaling:SuspendProcesses", "no"),
        ("SetDesiredCapacity", "autoscaling:SetDesiredCapacity", "no"),
        ("DescribeScalingActivities", "autoscaling:DescribeScalingActivities", "no"),
        ("DescribeInstances", "ec2:DescribeInstances", "no"),
    ],
)
def test_a_missing_permission_is_named_and_nothing_is_left(
    aws: Aws, ec2: Make, action: str, permission: str, message: str
) -> None:
    aws.fail(action, code="AccessDenied" if permission.startswith("auto") else "UnauthorizedOperation", message=message)
    with pytest.raises(Misconfigured, match=f"may not {permission}: add it to their policy"):
        ec2().create(2)
    assert aws.left() == NOTHING


@pytest.mark.parametrize(
    ("code", "status"), [("Throttling", 400), ("InternalFailure", 500), ("ServiceUnavailable", 503)]
)
def test_what_fails_for_a_moment_is_tried_again(aws: Aws, ec2: Make, code: str, status: int) -> None:
    for action in STEPS:
        aws.fail(action, times=2, code=code, message="later", status=status)
    assert len(ec2().create(1).workers) == 1
    assert aws.left() == {"groups": 2, "templates": 2, "machines": 2}


def test_what_goes_on_failing_is_given_up(aws: Aws, ec2: Make) -> None:
    aws.fail("DescribeAutoScalingGroups", times=99, code="Throttling", message="later")
    with pytest.raises(Unreachable, match="later"):
        ec2().find()
    assert aws.calls["DescribeAutoScalingGroups"] == ec2_calls.ATTEMPTS


@pytest.mark.parametrize("action", [*STEPS, "DescribeInstances"])
def test_an_answer_that_is_lost_makes_nothing_twice(aws: Aws, ec2: Make, action: str) -> None:
    aws.fail(action, lost=True)
    assert len(ec2().create(2).workers) == 2
    assert aws.left() == {"groups": 2, "templates": 2, "machines": 3}


def test_a_lost_answer_ends_one_machine_and_wants_one_fewer(aws: Aws, ec2: Make) -> None:
    nodes = ec2()
    made = nodes.create(3)
    aws.fail("TerminateInstanceInAutoScalingGroup", lost=True)
    nodes.end([made.workers[0].node_id])
    now = nodes.find()
    assert now is not None and (now.wanted, len(now.workers)) == (2, 2)
    assert aws.calls["TerminateInstanceInAutoScalingGroup"] == 1


def test_a_machine_that_is_gone_already(aws: Aws, ec2: Make) -> None:
    nodes = ec2()
    made = nodes.create(1)
    nodes.end([made.workers[0].node_id, "i-0000000000000"])
    nodes.end([made.workers[0].node_id])
    now = nodes.find()
    assert now is not None and (now.wanted, len(now.workers)) == (0, 0)


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_region_without_capacity(aws: Aws, ec2: Make, room: int) -> None:
    aws.room = room
    with pytest.raises(NoCapacity, match=r"us-east-1: .*InsufficientInstanceCapacity"):
        ec2().create(3)
    assert aws.left() == NOTHING


def test_nodes_that_could_be_had_stay_and_no_more_are_wanted(aws: Aws, ec2: Make) -> None:
    nodes = ec2()
    nodes.create(1)
    aws.room = 2
    with pytest.raises(NoCapacity, match="3 of 5 machines"):
        nodes.grow(5)
    now = nodes.find()
    assert now is not None and (now.wanted, len(now.workers)) == (3, 3)


def test_machines_that_do_not_come_are_not_awaited_for_ever(
    aws: Aws, ec2: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moto.autoscaling.models.FakeAutoScalingGroup.replace_autoscaling_group_instances", _nothing)
    with pytest.raises(NoCapacity, match=r"found none within 0\.3 s"):
        ec2(launch_wait_s=0.3).create(1)
    assert aws.left() == NOTHING


def _nothing(*_: Any) -> None:
    pass


def test_what_can_not_be_taken_away_is_named(aws: Aws, ec2: Make) -> None:
    aws.fail("SetDesiredCapacity", times=99, code="AccessDenied", message="no")
    aws.fail("DeleteAutoScalingGroup", times=99, code="AccessDenied", message="no")
    with pytest.raises(ExecutorError) as refused:
        ec2().create(1)
    said = str(refused.value)
    assert "autoscaling:SetDesiredCapacity" in said and "autoscaling:DeleteAutoScalingGroup" in said
    assert "broker cluster delete gpus" in said and "broker-gpus-head" in said
    aws.faults.clear()
    ec2().delete()
    assert aws.left() == NOTHING


def test_a_script_that_is_too_long_is_refused_before_anything_is_made(aws: Aws, ec2: Make) -> None:
    with pytest.raises(Misconfigured, match=r"AWS takes 16384: shorten nodes\.setup"):
        ec2(setup=["# " + "x" * 20_000]).create(1)
    assert aws.left() == NOTHING


def test_no_error_shows_the_token_or_the_credentials(aws: Aws, ec2: Make, tmp_path: Path) -> None:
    nodes = ec2()
    nodes.create(0)
    token = nodes.token()
    aws.fail("CreateLaunchTemplateVersion", code="InvalidParameter", message="the user data is not to its liking")
    with pytest.raises(Misconfigured) as refused:
        ec2(instance_type="g6.2xlarge").create(0)
    assert token not in str(refused.value) and "secret" not in str(refused.value)
