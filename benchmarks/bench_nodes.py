"""One node more in a cluster at AWS and at Google, against the bare client asking the same server of this machine.

The bare client asks for one machine more, then until it is there, and lists all machines with their addresses.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import p50, p99, report, timed
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from executors.nodes.ec2 import Ec2Nodes
from executors.nodes.gce import GceNodes
from executors.nodes.grouped import GroupedNodes
from tests.executors.nodes import gce_server
from tests.executors.nodes.aws_server import REGION, serve

WARM_UP, RUNS = 3, 40
GROUP = "broker-gpus-nodes"


def pool(region: str, **nodes: Any) -> Pool:
    unit = Resources(cpus=4, memory_bytes=14 * GIB, gpus=1, gpu_model="L4")
    places = {"name": "gpus", "kind": PoolKind.CLUSTER, "executor": "ray", "region": region}
    usual = {"launch_wait_s": 5.0, "patience_s": 0.0, "every_s": 0.01}
    return Pool(unit=unit, gpu_models=("L4",), max_units=9, nodes={**usual, **nodes}, **places)  # type: ignore[arg-type]


@contextmanager
def aws(patch: pytest.MonkeyPatch) -> Iterator[tuple[GroupedNodes[Any, Any], Callable[[], None]]]:
    """A cluster of one node, and what makes it two without us."""
    server, stop = serve(patch)
    scaling, ec2 = server.client("autoscaling"), server.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    security = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    ours = pool(
        REGION,
        provider="ec2",
        instance_type="g6.xlarge",
        head_type="m5.large",
        image="ami-12c6146b",
        subnets=[subnet],
        security_groups=[security],
        endpoint_url=server.url,
    )

    def bare() -> None:
        scaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2, HonorCooldown=False)
        while len(_group(scaling)["Instances"]) < 2:
            continue
        named = [{"Name": "tag:aws:autoscaling:groupName", "Values": [GROUP]}]
        ec2.describe_instances(Filters=named)

    yield Ec2Nodes(ours, "ada"), bare
    stop()


def _group(scaling: Any) -> Any:
    return scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]


@contextmanager
def google(patch: pytest.MonkeyPatch) -> Iterator[tuple[GroupedNodes[Any, Any], Callable[[], None]]]:
    """The same at Google."""
    from google.api_core.client_options import ClientOptions
    from google.cloud import compute_v1

    server, stop = gce_server.serve()
    options = ClientOptions(api_endpoint=server.url)
    credentials = gce_server.credentials(Path(tempfile.mkdtemp(prefix="bn-")), server.url)
    patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
    place = {"project": gce_server.PROJECT, "zone": gce_server.ZONE}
    ours = pool(
        "us-central1",
        provider="gce",
        machine_type="g2-standard-4",
        head_type="e2-standard-2",
        image="projects/debian-cloud/global/images/family/debian-12",
        subnetwork="projects/research/regions/us-central1/subnetworks/private",
        endpoint_url=server.url,
        **place,
    )
    groups = compute_v1.InstanceGroupManagersClient(client_options=options)
    operations = compute_v1.ZoneOperationsClient(client_options=options)
    machines = compute_v1.InstancesClient(client_options=options)
    named = {"instance_group_manager": GROUP, **place}

    def bare() -> None:
        asked = groups.resize_unary(request={**named, "size": 2, "request_id": str(uuid.uuid4())})
        operations.wait(request={**place, "operation": asked.name})
        while len(list(groups.list_managed_instances(request=named))) < 2:
            continue
        list(machines.list(request=place))

    yield GceNodes(ours, "ada"), bare
    stop()


def measured(nodes: GroupedNodes[Any, Any], bare: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Takes turns, so that both meet the same machine."""
    nodes.create(1)

    def back() -> None:
        there = nodes.find()
        nodes.end([there.workers[-1].node_id] if there else [])

    mine, theirs = [], []
    for _ in range(WARM_UP + RUNS):
        theirs += timed(1, bare)
        back()
        mine += timed(1, lambda: nodes.grow(2))
        back()
    return mine[WARM_UP:], theirs[WARM_UP:]


def main() -> None:
    """Prints how long each took."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "NO_GCE_CHECK": "true"}
    for name, at in (("AWS", aws), ("Google", google)):
        with pytest.MonkeyPatch.context() as patch, at(patch) as (nodes, bare):
            mine, theirs = measured(nodes, bare)
        rows = {
            "broker": f"{1e3 * p50(mine):.1f} ms p50, {1e3 * p99(mine):.1f} ms p99",
            "bare client": f"{1e3 * p50(theirs):.1f} ms p50, {1e3 * p99(theirs):.1f} ms p99",
            "more": f"{1e3 * (p50(mine) - p50(theirs)):.1f} ms p50",
        }
        report(f"one node more at {name}", rows, {"ours_s": p50(mine), "bare_s": p50(theirs)})


if __name__ == "__main__":
    main()
