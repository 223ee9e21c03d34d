"""A cluster at Google, from nothing to nothing, by Google's own client over HTTP; and what may go wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.model.errors import Conflict, Misconfigured, NoCapacity, Unreachable
from broker.model.nodes import NodeState
from broker.model.offers import Tier
from executors.nodes.gce import GceNodes, label
from executors.nodes.waiting import TRIES

if TYPE_CHECKING:
    from tests.executors.nodes.gce_server import Google

Make = Callable[..., GceNodes]
NOTHING = {"groups": 0, "templates": 0, "machines": 0}
STEPS = ["insert_template", "insert_group", "resize"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are random up to seconds: tests keep their number and lose their length."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


def test_it_is_made_found_scaled_and_deleted(google: Google, gce: Make) -> None:
    nodes = gce()
    made = nodes.create(2)
    assert made.head is not None and made.head.address and len(made.workers) == 2
    assert nodes.find() == made and made.wanted == 2
    assert len(nodes.grow(4).workers) == 4
    nodes.end([made.workers[0].node_id])
    nodes.end([made.workers[0].node_id])
    now = nodes.find()
    assert now is not None and now.wanted == 3 and made.workers[0].node_id not in {each.node_id for each in now.workers}
    nodes.delete()
    assert google.left() == NOTHING and nodes.find() is None
    nodes.delete()


def test_machines_carry_pool_owner_and_role_are_private_and_have_an_end(google: Google, gce: Make) -> None:
    gce(tags={"team": "Vision Lab"}).create(1)
    for one in google.machines.values():
        assert one.properties["labels"]["broker_pool"] == "gpus" and one.properties["labels"]["broker_owner"] == "ada"
        assert one.properties["labels"]["team"] == "vision-lab"
        assert "accessConfigs" not in one.properties["networkInterfaces"][0] and "serviceAccounts" not in one.properties
        assert one.properties["scheduling"]["instanceTerminationAction"] == "DELETE"
    roles = {one.properties["labels"]["broker_role"]: one.properties for one in google.machines.values()}
    assert set(roles) == {"head", "nodes"}
    assert int(roles["nodes"]["scheduling"]["maxRunDuration"]["seconds"]) == 86_400 + 600


def test_a_second_create_goes_on_and_new_nodes_are_as_the_settings_are_now(google: Google, gce: Make) -> None:
    first = gce().create(1)
    token = gce().token()
    again = gce(machine_type="g2-standard-8").create(2)
    assert again.head == first.head and gce().token() == token
    assert sorted(each.sku for each in again.workers) == ["g2-standard-4", "g2-standard-8"]
    gce().delete()
    assert google.left() == NOTHING


@pytest.mark.parametrize("stopped_at", STEPS)
def test_a_create_that_was_cut_off_is_finished_by_the_next(
    google: Google, gce: Make, stopped_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GceNodes, "_roll_back", lambda *_: None)
    google.fail(stopped_at, times=99)
    with pytest.raises(Misconfigured):
        gce().create(2)
    google.faults.clear()
    assert len(gce().create(2).workers) == 2


def test_mixed_pools_have_a_group_for_each_way_to_buy(google: Google, gce: Make) -> None:
    nodes = gce(buy="mixed", on_demand_base=1, spot_share=0.5)
    made = nodes.create(5)
    assert sorted(each.tier for each in made.workers) == [Tier.ON_DEMAND] * 3 + [Tier.SPOT] * 2
    bought = [each for part in nodes.parts(5) for each in part.machines if each.sku == "g2-standard-4"]
    assert {(each.tier, each.count) for each in bought} == {(Tier.ON_DEMAND, 3), (Tier.SPOT, 2)}
    nodes.end([each.node_id for each in made.workers if each.tier is Tier.ON_DEMAND])
    assert len(nodes.grow(3).workers) == 3, "no more than are asked for, whatever the shares are"
    gce(buy="on_demand").delete()
    assert google.left() == NOTHING, "also what was bought in another way"


def test_a_node_that_ended_itself_is_not_replaced_and_makes_room_for_another(google: Google, gce: Make) -> None:
    nodes = gce()
    gone = nodes.create(2).workers[0].node_id
    google.machines[gone].status = "TERMINATED"
    now = nodes.find()
    assert now is not None and (len(now.workers), now.wanted) == (1, 1)
    assert next(each for each in now.nodes if each.node_id == gone).state is NodeState.ENDED
    assert len(nodes.grow(2).workers) == 2 and gone not in google.machines


def test_a_cluster_whose_head_ended_says_so(google: Google, gce: Make) -> None:
    head = gce().create(1).head
    assert head is not None
    google.machines[head.node_id].status = "TERMINATED"
    with pytest.raises(Conflict, match="broker cluster delete gpus"):
        gce().create(1)


def test_what_belongs_to_another_pool_is_left_alone(google: Google, gce: Make) -> None:
    gce("others", name="shared").create(1)
    with pytest.raises(Conflict, match="not of pool gpus"):
        gce("gpus", name="shared").create(1)
    with pytest.raises(Conflict, match="not of pool gpus"):
        gce("gpus", name="shared").delete()
    assert google.left()["machines"] == 2


def test_credentials_are_missing(gce: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(Misconfigured, match="gcloud auth application-default login"):
        gce().find()


def test_credentials_have_expired(google: Google, gce: Make) -> None:
    google.token_error = "invalid_grant"
    with pytest.raises(Misconfigured, match="does not accept the credentials"):
        gce().find()
    google.token_error = ""
    google.fail("get_group", status=401, message="Request had invalid authentication credentials")
    google.fail("get_group", times=9, status=401, message="Request had invalid authentication credentials")
    with pytest.raises(Misconfigured, match="expired or are not valid"):
        gce().find()


@pytest.mark.parametrize(
    ("action", "permission"),
    [
        ("insert_template", "compute.instanceTemplates.create"),
        ("insert_group", "compute.instanceGroupManagers.create"),
        ("resize", "compute.instanceGroupManagers.update"),
        ("list_instances", "compute.instances.list"),
    ],
)
def test_a_missing_permission_is_named_and_nothing_is_left(
    google: Google, gce: Make, action: str, permission: str
) -> None:
    google.fail(action, message=f"Required '{permission}' permission for 'projects/research'")
    with pytest.raises(Misconfigured, match=f"may not {permission}: add it to their role"):
        gce().create(2)
    assert google.left() == NOTHING


@pytest.mark.parametrize(
    ("status", "message"), [(429, "slow down"), (500, "oops"), (503, "x"), (403, "Rate Limit Exceeded")]
)
def test_what_fails_for_a_moment_is_tried_again(google: Google, gce: Make, status: int, message: str) -> None:
    for action in STEPS:
        google.fail(action, times=2, status=status, message=message)
    assert len(gce().create(1).workers) == 1
    assert google.left() == {"groups": 2, "templates": 2, "machines": 2}


def test_what_goes_on_failing_is_given_up(google: Google, gce: Make) -> None:
    google.fail("resize", times=99, status=503)
    with pytest.raises(Unreachable):
        gce().create(1)
    assert google.calls["resize"] == TRIES and google.left() == NOTHING


@pytest.mark.parametrize("action", [*STEPS, "list_instances", "operations"])
def test_an_answer_that_is_lost_makes_nothing_twice(google: Google, gce: Make, action: str) -> None:
    google.fail(action, lost=True)
    assert len(gce().create(2).workers) == 2
    assert google.left() == {"groups": 2, "templates": 2, "machines": 3}


def test_a_lost_answer_ends_one_machine_and_wants_one_fewer(google: Google, gce: Make) -> None:
    nodes = gce()
    made = nodes.create(3)
    google.fail("deleteInstances", lost=True)
    nodes.end([made.workers[0].node_id])
    now = nodes.find()
    assert now is not None and (now.wanted, len(now.workers)) == (2, 2)


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_zone_without_capacity(google: Google, gce: Make, room: int) -> None:
    google.room = room
    with pytest.raises(NoCapacity, match=r"us-central1-a: ZONE_RESOURCE_POOL_EXHAUSTED"):
        gce().create(3)
    assert google.left() == NOTHING


def test_nodes_that_could_be_had_stay_and_no_more_are_wanted(google: Google, gce: Make) -> None:
    nodes = gce()
    nodes.create(1)
    google.room = 2
    with pytest.raises(NoCapacity, match="3 of 5 machines"):
        nodes.grow(5)
    now = nodes.find()
    assert now is not None and (now.wanted, len(now.workers)) == (3, 3) and google.left()["machines"] == 4


def test_a_zone_of_another_region_is_refused(gce: Make) -> None:
    with pytest.raises(Misconfigured, match="is not in the region us-central1"):
        gce(zone="europe-west4-a")


def test_labels_are_as_google_may_have_them() -> None:
    assert label("Ada Lovelace <ada@x.org>") == "ada-lovelace--ada-x-org-"


def test_machines_that_are_starting_are_not_asked_for_again(
    google: Google, gce: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that died while it waited for them had asked for more than are wanted now."""
    nodes = gce()
    nodes.create(1)
    group = google.groups["broker-gpus-nodes"]
    google.room, group["targetSize"] = 0, 4
    google.fill(group)
    resized, take = google.calls["resize"], google.take

    def start_two(action: str) -> Any:
        """As soon as it waits."""
        waiting = [each for each in google.machines.values() if not each.status]
        if action == "listManagedInstances" and google.calls["listErrors"] and len(waiting) == 3:
            for each in waiting[:2]:
                each.status = "RUNNING"
        return take(action)

    monkeypatch.setattr(google, "take", start_two)
    google.calls["listErrors"] = 0
    made = nodes.grow(3)
    assert len([each for each in made.workers if each.up]) >= 3
    assert google.calls["resize"] == resized
