"""AWS and Google on loopback. What imitates them is imported by whoever asks for it: it takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from executors.nodes.ec2 import Ec2Nodes
from executors.nodes.gce import GceNodes

if TYPE_CHECKING:
    from tests.executors.nodes.aws_server import Aws
    from tests.executors.nodes.gce_server import Google

REGION = "us-east-1"


@pytest.fixture(scope="session")
def loaded_once() -> Iterator[None]:
    """AWS's descriptions of its services are read once, not by each client anew."""
    import botocore.session

    made, create = [], botocore.session.create_loader

    def one(path: str | None = None) -> Any:
        if not made:
            made.append(create(path))
        return made[0]

    botocore.session.create_loader = one
    yield
    botocore.session.create_loader = create


@pytest.fixture
def aws(loaded_once: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Aws]:
    """AWS with nothing in it, and credentials for it."""
    from tests.executors.nodes.aws_server import serve

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    server, stop = serve(monkeypatch)
    urlopen(f"{server.url}/moto-api/reset", data=b"").close()
    yield server
    stop()


@pytest.fixture
def ec2(aws: Aws) -> Callable[..., Ec2Nodes]:
    """A node group of a pool; settings of its nodes may be given."""
    subnet = aws.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    security = aws.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    image = "ami-12c6146b"

    def make(pool_name: str = "gpus", owner: str = "ada", **settings: Any) -> Ec2Nodes:
        nodes = {
            "provider": "ec2",
            "instance_type": "g6.xlarge",
            "head_type": "m5.large",
            "image": image,
            "subnets": [subnet],
            "security_groups": [security],
            "launch_wait_s": 60.0,
            "patience_s": 0.0,
            "every_s": 0.05,
            "endpoint_url": aws.url,
        }
        return Ec2Nodes(pool(pool_name, nodes | settings), owner)

    return make


def pool(name: str, nodes: dict[str, Any], region: str = REGION) -> Pool:
    return Pool(
        name=name,
        kind=PoolKind.CLUSTER,
        executor="ray",
        unit=Resources(cpus=4, memory_bytes=14 * GIB, gpus=1, gpu_model="L4"),
        gpu_models=("L4",),
        max_units=5,
        region=region,
        nodes=nodes,
    )


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    """Google with nothing in it, and credentials that it takes: those of a workload with an identity elsewhere."""
    from tests.executors.nodes import gce_server

    server, stop = gce_server.serve()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gce_server.credentials(tmp_path, server.url)))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    yield server
    stop()


@pytest.fixture
def gce(google: Google) -> Callable[..., GceNodes]:
    """A node group of a pool at Google; settings of its nodes may be given."""
    from tests.executors.nodes import gce_server

    def make(pool_name: str = "gpus", owner: str = "Ada", **settings: Any) -> GceNodes:
        nodes = {
            "provider": "gce",
            "project": gce_server.PROJECT,
            "zone": gce_server.ZONE,
            "machine_type": "g2-standard-4",
            "head_type": "e2-standard-2",
            "image": "projects/debian-cloud/global/images/family/debian-12",
            "subnetwork": "projects/research/regions/us-central1/subnetworks/private",
            "launch_wait_s": 60.0,
            "patience_s": 0.0,
            "every_s": 0.02,
            "endpoint_url": google.url,
        }
        return GceNodes(pool(pool_name, nodes | settings, "us-central1"), owner)

    return make
