import pytest

from broker.model.errors import Misconfigured
from executors.nodes.ec2 import Ec2Nodes, Ec2Settings
from executors.nodes.naming import named
from executors.nodes.settings import checked, span
from tests.executors.nodes.conftest import pool

NODES = {"provider": "ec2", "image": "ami-1", "instance_type": "g6.xlarge", "subnets": ["s"], "security_groups": ["g"]}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"instance_typ": "x"},
            r"pools\.gpus\.nodes\.instance_typ: there is no such setting; there are: .*instance_type",
        ),
        ({"subnets": []}, r"pools\.gpus\.nodes\.subnets: .* at least 1"),
        ({"idle_s": 0}, r"pools\.gpus\.nodes\.idle_s: .* greater than 0"),
        ({"idle_s": "15m"}, r"pools\.gpus\.nodes\.idle_s: .* valid number"),
        ({"buy": "cheap"}, r"pools\.gpus\.nodes\.buy: .*'spot'"),
        ({"max_lifetime_s": 60}, "max_lifetime_s must be more than drain_s"),
        ({"spot_share": 0.5}, 'are for buy = "mixed"'),
        ({"name": "Not Good"}, r"pools\.gpus\.nodes\.name"),
    ],
)
def test_wrong_settings_are_named(wrong: dict, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        checked(Ec2Settings, "gpus", NODES | wrong)


def test_spot_nodes_need_a_head_that_stays() -> None:
    with pytest.raises(Misconfigured, match="head_type: is required"):
        Ec2Nodes(pool("gpus", NODES | {"buy": "spot"}), "ada")


def test_names_fit_every_provider() -> None:
    assert named("a_b", "ada", "").of("head") == "broker-a-b-head"
    with pytest.raises(Misconfigured, match="is no name for a cluster"):
        named("9lives", "ada", "")


def test_spans() -> None:
    assert [span(each) for each in (90, 900, 5400, 86_400)] == ["90 s", "15 min", "90 min", "1 d"]
