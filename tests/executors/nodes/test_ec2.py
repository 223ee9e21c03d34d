"""A cluster at AWS, from nothing to nothing, by boto3 over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from broker.model.errors import Conflict, Misconfigured, NoCapacity
from broker.model.nodes import NodeState
from broker.model.offers import Tier
from executors.nodes.ec2 import Ec2Nodes

if TYPE_CHECKING:
    from tests.executors.nodes.aws_server import Aws

Make = Callable[..., Ec2Nodes]
NOTHING = {"groups": 0, "templates": 0, "machines": 0}


def template(aws: Aws, name: str) -> dict:
    found = aws.client("ec2").describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])
    return found["LaunchTemplateVersions"][0]["LaunchTemplateData"]


def test_it_is_made_found_scaled_and_deleted(aws: Aws, ec2: Make) -> None:
    nodes = ec2()
    made = nodes.create(2)
    assert made.head is not None and made.head.address and len(made.workers) == 2
    assert nodes.find() == made and made.wanted == 2
    assert len(nodes.grow(4).workers) == 4
    nodes.end([made.workers[0].node_id])
    now = nodes.find()
    assert now is not None and now.wanted == 3 and made.workers[0].node_id not in {each.node_id for each in now.workers}
    nodes.delete()
    assert aws.left() == NOTHING and nodes.find() is None
    nodes.delete()


def test_machines_carry_pool_owner_and_role(aws: Aws, ec2: Make) -> None:
    ec2(tags={"team": "vision"}).create(1)
    tags = [{tag["Key"]: tag["Value"] for tag in each["Tags"]} for each in aws.instances()]
    assert all(each["broker_pool"] == "gpus" and each["broker_owner"] == "ada" for each in tags)
    assert sorted(each["broker_role"] for each in tags) == ["head", "nodes"]
    assert all(each["team"] == "vision" for each in tags)


def test_machines_are_private_are_gone_when_shut_down_and_tell_nothing_to_containers(aws: Aws, ec2: Make) -> None:
    ec2().create(0)
    data = template(aws, "broker-gpus-nodes")
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True


def test_nodes_are_told_the_head_and_the_token_and_nobody_else_is(aws: Aws, ec2: Make) -> None:
    nodes = ec2()
    head = nodes.create(0).head
    assert head is not None and len(nodes.token()) == 64
    text = base64.b64decode(template(aws, "broker-gpus-nodes")["UserData"]).decode()
    assert f"--address={head.address}:6379" in text and nodes.token() in text
    assert not [part for part in nodes.parts(1) if nodes.token() in repr(part)]


def test_a_second_create_goes_on_from_what_is_there(aws: Aws, ec2: Make) -> None:
    first = ec2().create(1)
    token = ec2().token()
    again = ec2().create(3)
    assert again.head == first.head and len(again.workers) == 3 and ec2().token() == token
    assert aws.left() == {"groups": 2, "templates": 2, "machines": 4}


def test_new_nodes_are_as_the_settings_are_now(aws: Aws, ec2: Make) -> None:
    ec2().create(1)
    ec2(instance_type="g6.2xlarge").create(1)
    ec2(instance_type="g6.2xlarge").create(1)
    assert template(aws, "broker-gpus-nodes")["InstanceType"] == "g6.2xlarge"
    named = aws.client("ec2").describe_launch_templates(LaunchTemplateNames=["broker-gpus-nodes"])
    assert named["LaunchTemplates"][0]["LatestVersionNumber"] == 2, "the same settings make no new version"


@pytest.mark.parametrize("stopped_after", ["CreateLaunchTemplate", "CreateAutoScalingGroup", "SetDesiredCapacity"])
def test_a_create_that_was_cut_off_is_finished_by_the_next(
    aws: Aws, ec2: Make, stopped_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process dies: nothing is rolled back."""
    monkeypatch.setattr(Ec2Nodes, "_roll_back", lambda *_: None)
    aws.fail(stopped_after, times=99, code="AccessDenied", message="no")
    with pytest.raises(Misconfigured):
        ec2().create(2)
    aws.faults.clear()
    assert len(ec2().create(2).workers) == 2


def test_mixed_groups_buy_some_on_demand(aws: Aws, ec2: Make) -> None:
    nodes = ec2(buy="mixed", on_demand_base=1, spot_share=0.75)
    nodes.create(3)
    group = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["broker-gpus-nodes"])
    bought = group["AutoScalingGroups"][0]["MixedInstancesPolicy"]["InstancesDistribution"]
    assert (bought["OnDemandBaseCapacity"], bought["OnDemandPercentageAboveBaseCapacity"]) == (1, 25)
    assert {(each.tier, each.count) for part in nodes.parts(5) for each in part.machines if each.sku != "m5.large"} == {
        (Tier.ON_DEMAND, 2),
        (Tier.SPOT, 3),
    }


def test_a_dry_run_asks_nobody(aws: Aws, ec2: Make) -> None:
    nodes = ec2()
    before = aws.calls.total()
    assert [part.kind for part in nodes.parts(3)] == ["launch template", "Auto Scaling group"] * 2
    assert aws.calls.total() == before


def test_a_head_that_works_is_one_of_the_nodes(aws: Aws, ec2: Make) -> None:
    nodes = ec2(head_type="")
    made = nodes.create(2)
    assert made.wanted == 2 and len(made.workers) == 1 and len(aws.instances()) == 2
    assert sum(each.count for part in nodes.parts(2) for each in part.machines) == 2


def test_a_node_that_ended_itself_is_not_replaced_and_makes_room_for_another(aws: Aws, ec2: Make) -> None:
    nodes = ec2()
    made = nodes.create(2)
    gone = made.workers[0].node_id
    aws.client("ec2").terminate_instances(InstanceIds=[gone])
    now = nodes.find()
    assert now is not None and len(now.workers) == 1
    assert next(each for each in now.nodes if each.node_id == gone).state is NodeState.ENDED
    assert len(nodes.grow(2).workers) == 2 and len(aws.instances()) == 3


def test_a_cluster_whose_head_ended_says_so(aws: Aws, ec2: Make) -> None:
    made = ec2().create(1)
    assert made.head is not None
    aws.client("ec2").terminate_instances(InstanceIds=[made.head.node_id])
    with pytest.raises(Conflict, match="broker cluster delete gpus"):
        ec2().create(1)
    assert len(aws.instances()) == 1, "what is left is not taken away by a create that did not make it"


def test_what_belongs_to_another_pool_is_left_alone(aws: Aws, ec2: Make) -> None:
    ec2("others", name="shared").create(1)
    with pytest.raises(Conflict, match="not of pool gpus"):
        ec2("gpus", name="shared").create(1)
    with pytest.raises(Conflict, match="not of pool gpus"):
        ec2("gpus", name="shared").delete()
    assert aws.left()["machines"] == 2


def test_more_than_the_pool_may_have_is_refused_before_anything_is_made(aws: Aws, ec2: Make) -> None:
    with pytest.raises(NoCapacity, match="at most 5"):
        ec2().create(6)
    assert aws.left() == NOTHING


def test_the_token_of_no_cluster(aws: Aws, ec2: Make) -> None:
    with pytest.raises(Misconfigured, match="broker cluster create gpus"):
        ec2().token()
