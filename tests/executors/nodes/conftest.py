from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from executors.nodes.ec2 import Ec2Nodes
from tests.executors.nodes.aws_server import REGION, Aws, serve


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
            "launch_wait_s": 5.0,
            "patience_s": 0.0,
            "every_s": 0.05,
            "endpoint_url": aws.url,
        }
        return Ec2Nodes(pool(pool_name, nodes | settings), owner)

    return make


def pool(name: str, nodes: dict[str, Any]) -> Pool:
    return Pool(
        name=name,
        kind=PoolKind.CLUSTER,
        executor="ray",
        unit=Resources(cpus=4, memory_bytes=14 * GIB, gpus=1, gpu_model="L4"),
        gpu_models=("L4",),
        max_units=5,
        region=REGION,
        nodes=nodes,
    )
