"""Files and calls as people have them for other tools are read unchanged, and what is lost is said."""

from pathlib import Path

import pytest

from broker.model.errors import InvalidInput
from broker.model.jobs import Cause, JobSpec
from broker.model.resources import Gpu
from broker.spec.adopt import adopt
from broker.spec.build import to_spec
from broker.spec.check import World
from broker.spec.field_names import names_at
from broker.spec.foreign import ALIASES, IGNORED, REFUSED
from broker.spec.read import Parsed, from_mapping, from_python, read_yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW_NS = 1_800_000_000 * 10**9


def spec(parsed: Parsed) -> JobSpec:
    return to_spec(parsed.document, NOW_NS)


def ignored(parsed: Parsed) -> set[str]:
    return {problem.field for problem in parsed.ignored}


def refused(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_yaml(text)
    return str(caught.value)


def test_a_skypilot_task() -> None:
    parsed = read_yaml(EXAMPLES / "spec-skypilot.yaml")
    job = spec(parsed)
    assert job.name == "finetune"
    assert job.resources.gpu_choices == (Gpu(model="A100-80GB", count=8), Gpu(model="H100", count=8))
    assert not job.resources.gpu_ordered
    assert (job.resources.cpus, job.resources.memory_bytes, job.resources.disk_bytes) == (32, 256 * 10**9, 512 * 10**9)
    assert (job.resources.num_nodes, job.resources.spot_policy) == (2, "spot")
    assert job.image == "python:3.11-slim"
    assert job.retry.on == frozenset(Cause) and job.retry.max_attempts == 3
    assert job.envs == {"MODEL": "small", "STEPS": "010"} and job.secrets == ("HF_TOKEN",)
    assert job.tags == {"team": "research"}
    assert job.workdir == str(EXAMPLES / "train")
    assert job.run == "python descend.py --steps $STEPS\n"
    assert ignored(parsed) == {"resources.cloud", "resources.disk_tier", "resources.ports", "resources.autostop"}
    assert all(problem.line and problem.file.endswith("spec-skypilot.yaml") for problem in parsed.ignored)


def test_a_dstack_task() -> None:
    parsed = read_yaml(EXAMPLES / "spec-dstack.yaml")
    job = spec(parsed)
    assert job.run == "set -e\npip install numpy\npython descend.py"
    assert job.resources.gpu_choices == (Gpu(model="A100-80GB", count=8),)
    assert (job.resources.num_nodes, job.resources.cpus, job.resources.max_hourly_cost) == (2, 16, "40")
    assert job.secrets == ("HF_TOKEN",) and job.envs == {"MODEL": "small"}
    assert job.retry.on == frozenset(Cause) and job.retry.within_s == 3_600
    assert (job.max_duration_s, job.regions, job.priority) == (43_200, ("us-east-1",), 80)
    assert ignored(parsed) == {"python", "ports", "backends", "resources.shm_size", "env.HF_TOKEN"}


def test_the_arguments_of_a_modal_function() -> None:
    job = spec(from_python(run="x", gpu="A100-80GB:2", cpu=4, memory=16, timeout=600, retries=3, region="eu"))
    assert job.resources.gpu_choices == (Gpu(model="A100-80GB", count=2),)
    assert (job.resources.cpus, job.resources.memory_bytes, job.max_duration_s) == (4, 16 * 10**9, 600)
    assert job.retry.max_attempts == 4 and Cause.ERROR in job.retry.on
    assert job.regions == ("eu",)


def test_modal_retries_with_their_delays() -> None:
    retries = {"max_retries": 4, "initial_delay": 2.0, "backoff_coefficient": 2.0, "max_delay": 30.0}
    parsed = from_python(run="x", retries=retries)
    job = spec(parsed)
    assert (job.retry.max_attempts, job.retry.backoff_s, job.retry.max_backoff_s) == (5, 2, 30)
    assert [problem.field for problem in parsed.ignored] == ["retries.backoff_coefficient"]
    assert retries["max_retries"] == 4, "what was passed is left as it was"


def test_a_ray_job(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy>=2  # arrays\n\n# nothing\ntorch\n")
    environment = {"pip": str(tmp_path / "requirements.txt"), "env_vars": {"A": 1}, "working_dir": str(tmp_path)}
    job = spec(
        from_python(
            entrypoint="python train.py",
            submission_id="raysubmit-1",
            runtime_env=environment,
            entrypoint_num_gpus=1,
            entrypoint_num_cpus=2,
            entrypoint_memory=2**30,
            entrypoint_resources={"TPU": 1},
            metadata={"team": "x"},
        )
    )
    assert (job.run, job.client_id, job.workdir) == ("python train.py", "raysubmit-1", str(tmp_path))
    assert job.requirements == ("numpy>=2", "torch") and job.envs == {"A": "1"}
    assert job.resources.gpu_choices == (Gpu(model="", count=1),)
    assert (job.resources.cpus, job.resources.memory_bytes, job.resources.extra) == (2, 2**30, {"TPU": 1})


@pytest.mark.parametrize(
    ("written", "on", "attempts"),
    [
        ("retry: true", set(Cause), 3),
        ("retry: false", {Cause.NO_CAPACITY, Cause.INTERRUPTION}, 1),
        ("retry: 2", set(Cause), 3),
        ("retry: {on: [error], attempts: 7}", {Cause.ERROR}, 7),
        ("retry: {on: no_capacity}", {Cause.NO_CAPACITY}, 3),
        ("job_recovery: FAILOVER", {Cause.NO_CAPACITY, Cause.INTERRUPTION}, 3),
        ("job_recovery: {max_restarts_on_errors: 1}", set(Cause), 2),
    ],
)
def test_retries_in_every_dialect(written: str, on: set[Cause], attempts: int) -> None:
    job = spec(read_yaml(f"run: x\n{written}"))
    assert (job.retry.on, job.retry.max_attempts) == (on, attempts)


@pytest.mark.parametrize(
    ("infra", "pools", "regions"),
    [
        ("ray/prod", ("ray/prod",), ()),
        ("modal", ("modal",), ()),
        ("[ray, modal/eu]", ("ray", "modal/eu"), ()),
        ("'*/eu'", (), ("eu",)),
        ("'*'", (), ()),
    ],
)
def test_infra(infra: str, pools: tuple[str, ...], regions: tuple[str, ...]) -> None:
    for text in (f"infra: {infra}", f"resources: {{infra: {infra}}}", f"placement: {{infra: {infra}}}"):
        job = spec(read_yaml(f"run: x\n{text}"))
        assert (job.pools_allowed, job.regions) == (pools, regions)


def test_alternatives_in_one_thing() -> None:
    any_of = "run: x\nresources:\n  cpus: 4\n  any_of:\n    - accelerators: H100:8\n    - accelerators: A100-80GB:8\n"
    job = spec(read_yaml(any_of))
    assert [gpu.model for gpu in job.resources.gpu_choices] == ["H100", "A100-80GB"] and not job.resources.gpu_ordered
    assert job.resources.cpus == 4
    assert spec(read_yaml(any_of.replace("any_of", "ordered"))).resources.gpu_ordered
    spots = read_yaml("run: x\nresources: {any_of: [{use_spot: true}, {use_spot: false}]}")
    assert spec(spots).resources.spot_policy == "auto"
    places = read_yaml("run: x\nresources: {ordered: [{infra: ray, cpus: 1}, {infra: modal, cpus: 1}]}")
    assert spec(places).pools_allowed == ("ray", "modal") and ignored(places) == {"resources.ordered"}
    clouds = read_yaml("run: x\nresources: {any_of: [{cloud: aws, cpus: 1}, {cloud: gcp, cpus: 1}]}")
    assert ignored(clouds) == {"resources.any_of[0].cloud", "resources.any_of[1].cloud"}
    listed = read_yaml("run: x\nresources: [{gpu: L4}, {gpu: T4}]")
    assert [gpu.model for gpu in spec(listed).resources.gpu_choices] == ["L4", "T4"]


@pytest.mark.parametrize(
    "alternatives",
    [
        "any_of: [{accelerators: H100, infra: a}, {accelerators: L4, infra: b}]",
        "any_of: [{accelerators: H100}, {cpus: 4}]",
        "any_of: [{cpus: 4}, {cpus: 8}]",
        "any_of: 5",
        "any_of: []",
        "{any_of: [{cpus: 1}], ordered: [{cpus: 1}]}",
        "{cpus: 2, any_of: [{cpus: 1}]}",
    ],
)
def test_alternatives_that_one_job_can_not_say(alternatives: str) -> None:
    body = alternatives if alternatives.startswith("{") else f"{{{alternatives}}}"
    assert "resources" in refused(f"run: x\nresources: {body}")


@pytest.mark.parametrize("foreign", REFUSED, ids=lambda foreign: foreign.name)
def test_what_would_run_elsewhere_or_without_its_data_is_refused(foreign) -> None:
    *outer, last = foreign.name.split(".")
    data: dict = {last: "x"}
    for key in reversed(outer):
        data = {key: data}
    with pytest.raises(InvalidInput) as caught:
        from_mapping({"run": "x", **data})
    assert str(caught.value) == f"{foreign.name}: {foreign.why}"


@pytest.mark.parametrize("foreign", IGNORED, ids=lambda foreign: foreign.name)
def test_what_is_ignored_is_said(foreign) -> None:
    *outer, last = foreign.name.split(".")
    data: dict = {last: "x"}
    for key in reversed(outer):
        data = {key: data}
    (problem,) = from_mapping({"run": "x", **data}).ignored
    assert (problem.field, problem.message) == (foreign.name, f"is ignored: {foreign.why}")


def test_buckets_and_repositories_are_refused() -> None:
    assert "buckets and addresses are not mounted" in refused("run: x\nfile_mounts: {/data: 's3://bucket'}")
    assert "buckets and addresses are not mounted" in refused("run: x\nfile_mounts: {/data: {name: b, store: s3}}")
    assert "must be a local folder" in refused("run: x\nworkdir: {url: https://x/y.git}")
    assert "repositories are not cloned here" in refused("run: x\nrepos: ['https://x/y.git']")


def test_the_same_field_twice_is_refused() -> None:
    said = refused("run: x\nresources:\n  gpu: L4\n  accelerators: T4")
    assert (
        said == "job.yaml:3: resources.gpu: is the same field as resources.accelerators, which is given too: keep one"
    )
    assert "commands" in refused("run: x\ncommands: [y]")


def test_aliases_lead_to_fields_that_exist() -> None:
    for alias in ALIASES:
        container, _, last = alias.field.rpartition(".")
        assert last in {*names_at(tuple(container.split(".")) if container else ()), "infra"}, alias


def test_adopting_twice_changes_nothing() -> None:
    for path in EXAMPLES.glob("*.yaml"):
        parsed = read_yaml(path)
        data = parsed.document.model_dump(mode="json", exclude_none=True)
        once = adopt(data)
        assert not once.problems and not once.ignored
        assert adopt(once.data).data == once.data


def test_pools_that_do_not_exist_are_refused_when_they_are_known() -> None:
    world = World(pools={"ray", "modal"})
    for text in ("infra: aws/us-east-1", "fleets: [mdal]", "placement: {not_pools: [rey]}"):
        with pytest.raises(InvalidInput, match=r"job.yaml:2: .*unknown pool"):
            read_yaml(f"run: x\n{text}", world=world)
    assert read_yaml("run: x\ninfra: modal/eu", world=world)
