"""What is sent to Kubernetes is what KubeRay defines, whatever pool and job ask for; and no secret is in it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import Misconfigured, Rejected
from broker.model.jobs import LaunchRequest
from broker.model.pools import Capability, Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext
from broker.run.build import capabilities
from broker.run.plugins import price_offers
from broker.run.settings.load import load_settings
from broker.testing import builders
from broker.testing.builders import launch_request
from broker.testing.executor_watch import SystemClock
from executors.kuberay import KubeRay, KubeRayJobs, checks, names
from executors.kuberay.files import MOST_BYTES, files_of
from executors.kuberay.manifests import Manifests
from executors.kuberay.options import Options, SharedOptions
from tests.executors.kuberay.server import schemas
from tests.executors.kuberay.server.operator import LABEL, LONGEST_NAME, invalid
from tests.executors.kuberay.server.world import KINDS, VALUE, Refused, check_metadata, check_secret

EXAMPLE = Path(__file__).parents[3] / "examples" / "pools" / "kuberay.toml"
TEXT = st.text(max_size=20)
LABELS = st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.from_regex(VALUE, fullmatch=True), max_size=3)
OPTIONS = st.fixed_dictionaries(
    {"image": st.just("rayproject/ray:2.60.0")},
    optional={
        "ray_version": st.just("2.60.0"),
        "node_selector": LABELS,
        "labels": LABELS,
        "tolerations": st.just([{"key": "gpu", "operator": "Exists", "tolerationSeconds": 60}]),
        "queue": st.just("research"),
        "service_account": st.just("jobs"),
        "priority_class": st.just("high"),
        "image_pull_secrets": st.just(["registry"]),
        "head_cpus": st.floats(0.5, 8),
        "worker_pod": st.just(
            {
                "containers": [{"volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            }
        ),
        "head_pod": st.just({"nodeSelector": {"pool": "system"}, "securityContext": {"runAsUser": 1000}}),
    },
)
OPTIONS_OF_X = Options.of("vpc", {"image": "x"})
UNITS = st.builds(
    Resources,
    cpus=st.floats(0.1, 128),
    memory_bytes=st.integers(GIB, 512 * GIB),
    gpus=st.integers(0, 8).map(float),
    gpu_model=st.just("L4"),
)


def pool_of(unit: Resources, options: dict[str, Any], **fields: Any) -> Pool:
    values = {"executor": "kuberay", "kind": PoolKind.CLUSTER, "max_units": 4, **fields}
    return builders.pool("vpc", unit=unit, options=options, **values)


def checked(kind: str, manifest: dict[str, Any]) -> None:
    """As the API server looks at it. Raises `Refused`."""
    assert (manifest["apiVersion"], manifest["kind"]) == KINDS[kind]
    check_metadata(kind, {**manifest["metadata"], "namespace": "team"})
    check_secret(kind, manifest)
    schemas.check_schema(kind, copy.deepcopy(manifest), manifest["metadata"]["name"])


@schemas.needed
@given(OPTIONS, UNITS, st.booleans(), TEXT, st.floats(0, 8))
def test_all_of_it_fits_kuberays_definitions(
    given_options: dict[str, Any], unit: Resources, emulated: bool, text: str, gpus: float
) -> None:
    pool = pool_of(unit, given_options, emulated=emulated)
    manifests = Manifests(pool, Options.of(pool.name, pool.options), "abc")
    checked("rayclusters", manifests.ray_cluster(2))
    request = launch_request(text or "true", resources=replace(unit, gpus=gpus), requirements=(text,), envs={"A": text})
    files = files_of(request, 1 << 20, 5.0)
    job = manifests.ray_job(request, "10.0.0.1", files)
    checked("rayjobs", job)
    assert not invalid(job)
    own = manifests.own_ray_job(request, files)
    checked("rayjobs", own)
    assert not invalid(own)
    checked("secrets", manifests.secret(request.attempt_id, files, "uid"))


@schemas.needed
@pytest.mark.parametrize("wrong", ["worker_pod", "tolerations"])
def test_what_does_not_fit_is_caught(wrong: str) -> None:
    """That the test above can fail: a misspelt field, a number that should be a text."""
    more = {"worker_pod": {"hostNetwrk": True}, "tolerations": [{"key": 1}]}[wrong]
    pool = pool_of(Resources(cpus=1.0, memory_bytes=GIB), {"image": "x", wrong: more})
    with pytest.raises(Refused):
        checked("rayclusters", Manifests(pool, SharedOptions.of("vpc", pool.options), "abc").ray_cluster(1))


@given(st.text(st.sampled_from("abcxz019-._AZü"), min_size=1, max_size=80))
def test_every_attempt_has_a_name_that_kuberay_takes(attempt_id: str) -> None:
    name = names.resource_name(attempt_id)
    assert LABEL.fullmatch(name) and len(name) <= LONGEST_NAME
    assert name == attempt_id or name.startswith("x-")


@given(st.lists(st.text(st.sampled_from("a0.-_x"), min_size=1, max_size=6), unique=True, min_size=2))
def test_no_two_have_the_same(attempt_ids: list[str]) -> None:
    assert len({names.resource_name(one) for one in attempt_ids}) == len(attempt_ids)


def test_the_claim_of_a_pool_s_volumes_is_in_its_workers_beside_what_a_user_says_of_them() -> None:
    more = {"volumeMounts": [{"name": "data", "mountPath": "/data"}], "securityContext": {"runAsUser": 1000}}
    pod = {"containers": [more], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    pool = pool_of(Resources(cpus=2.0, memory_bytes=GIB), {"image": "x", "worker_pod": pod}, volumes="runs")
    cluster = Manifests(pool, Options.of("vpc", pool.options), "abc").ray_cluster(2)
    checked("rayclusters", cluster)
    spec = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    assert [volume["persistentVolumeClaim"]["claimName"] for volume in spec["volumes"]] == ["runs", "data"]
    assert [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]] == ["/broker/volumes", "/data"]
    assert spec["containers"][0]["image"] == "x"
    assert "volumes" not in cluster["spec"]["headGroupSpec"]["template"]["spec"]


def test_a_secrets_value_is_in_the_secret_only() -> None:
    pool = pool_of(Resources(cpus=2.0, memory_bytes=GIB), {"image": "x"})
    request = launch_request("echo $TOKEN", envs={"TOKEN": "s3cr3t-94817"}, secret_names=frozenset({"TOKEN"}))
    files = files_of(request, 1 << 20, 5.0)
    job = Manifests(pool, Options.of("vpc", pool.options), "abc").ray_job(request, "10.0.0.1", files)
    assert "s3cr3t-94817" not in json.dumps(job)
    assert b"s3cr3t-94817" in files["order.json"]


def test_a_ray_program_leaves_its_share_to_its_tasks() -> None:
    pool = pool_of(Resources(cpus=2.0, memory_bytes=GIB), {"image": "x"})
    manifests = Manifests(pool, Options.of("vpc", pool.options), "abc")
    held = Resources(cpus=1.0, memory_bytes=GIB)
    plain, program = (launch_request("true", resources=held, runtime=runtime) for runtime in ("any", "ray"))
    assert manifests.ray_job(plain, "10.0.0.1", {})["spec"]["entrypointNumCpus"] == 1.0
    assert "entrypointNumCpus" not in manifests.ray_job(program, "10.0.0.1", {})["spec"]


def test_a_worker_of_its_own_has_room_for_ray_too_as_far_as_there_is_any() -> None:
    manifests = Manifests(pool_of(Resources(cpus=2.0, memory_bytes=4 * GIB), {"image": "x"}), OPTIONS_OF_X, "abc")
    for asked, has in ((GIB, 2 * GIB), (4 * GIB, 4 * GIB)):
        request = launch_request("true", resources=Resources(cpus=2.0, memory_bytes=asked))
        (group,) = manifests.own_ray_job(request, {})["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert (limits["memory"], limits["cpu"]) == (str(has), "2")


def test_what_is_too_large_for_a_secret_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(i * i % 251 for i in range(1000)) * 2)
    assert sum(map(len, files_of(launch_request("true", workdir=str(tmp_path)), 1, 5.0).values())) < MOST_BYTES
    with pytest.raises(OSError, match="a Kubernetes Secret holds 1,000,000"):
        files_of(launch_request("true", envs={"A": "x" * MOST_BYTES}), 1, 5.0)


@pytest.mark.parametrize(
    "request_",
    [
        launch_request("true", image="other"),
        launch_request("true", resources=Resources(cpus=3.0)),
        launch_request(
            "true", spec=replace(builders.job_spec(), resources=builders.job_spec().resources.__class__(num_nodes=2))
        ),
    ],
    ids=["image", "size", "nodes"],
)
def test_what_can_never_run_here_is_refused(request_: LaunchRequest) -> None:
    pool = pool_of(Resources(cpus=2.0, memory_bytes=GIB), {"image": "x"})
    with pytest.raises(Rejected):
        checks.check(request_, pool, Options.of("vpc", pool.options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "option image is missing"),
        ({"image": "x", "cluster": "Not-A-Name"}, "say option cluster"),
        ({"image": "x", "grace_s": 0}, "option grace_s: input should be greater than 0"),
        ({"image": "x", "tolerations": "all"}, "option tolerations: input should be a valid list"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        Options.of("vpc", options)


@pytest.mark.parametrize(("plugin", "kind"), [(KubeRay, PoolKind.SERVERLESS), (KubeRayJobs, PoolKind.CLUSTER)])
def test_a_pool_of_the_other_kind_is_refused(tmp_path: Path, plugin: type[KubeRayJobs], kind: PoolKind) -> None:
    pool = pool_of(Resources(cpus=2.0, memory_bytes=GIB), {"image": "x"}, kind=kind)
    with pytest.raises(Misconfigured, match=r"kuberay.* is of kind cluster; .*kuberay_jobs.* of kind serverless"):
        plugin(ExecutorContext(pool=pool, state_dir=tmp_path, clock=SystemClock()))


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    settings = load_settings(EXAMPLE, {"BROKER_STATE_DIR": str(tmp_path)})
    pools = {each.name: each for each in settings.pools(price_offers(), capabilities)}
    shared, own = pools["vpc"], pools["gangs"]
    assert Capability.SCALE in shared.capabilities and Capability.SCALE not in own.capabilities
    for pool, plugin in ((shared, KubeRay), (own, KubeRayJobs)):
        assert pool.offers and pool.head_offers and {Capability.RAY_RUNTIME, Capability.GANG} <= pool.capabilities
        plugin(ExecutorContext(pool=pool, state_dir=tmp_path / pool.name, clock=SystemClock()))
    if schemas.available():
        options = SharedOptions.of("vpc", shared.options)
        checked("rayclusters", Manifests(shared, options, "abc").ray_cluster(1))
