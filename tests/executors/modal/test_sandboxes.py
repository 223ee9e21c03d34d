"""What a job asks for reaches Modal as it should, and nothing else does."""

from __future__ import annotations

import asyncio
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from grpclib import Status

from broker.model.errors import Misconfigured, Rejected
from broker.model.jobs import AttemptState
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.testing.builders import launch_request, offer
from broker.testing.executor_watch import PATIENCE_S, Watch
from executors.modal_pool import ModalPool
from executors.modal_pool.estimates import Estimates
from tests.executors.modal.driving import UNIT_GPU, executor_on, open_pool, pool_of
from tests.executors.modal.server.service import ModalServer

GPU_POOL = {"unit": UNIT_GPU, "gpu_models": ("H100", "A100-80GB", "L4"), "max_units": 4}
ONE_GPU = Resources(cpus=2.0, memory_bytes=GIB, gpus=1.0, gpu_model="H100")


async def test_a_sandbox_has_what_was_asked_for(server: ModalServer, tmp_path: Path) -> None:
    options = {"region": "us-east", "cloud": "aws", "apt": ["git"], "startup_s": 60}
    async with open_pool(server, tmp_path / "state", options=options) as watch:
        held = Resources(cpus=1.5, memory_bytes=GIB + 1)
        request = launch_request("true", resources=held, max_duration_s=100.5, requirements=("cloudpickle",))
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
    (made,) = server.world.seen("SandboxCreateV2")
    (sandbox,) = server.sandboxes.named(request.attempt_id)
    resources = made.definition.resources
    assert (resources.milli_cpu, resources.milli_cpu_max) == (750, 750), "a core of Modal's is two virtual CPUs"
    assert (resources.memory_mb, resources.memory_mb_max) == (1025, 1025)
    assert made.definition.timeout_secs == 161
    assert list(made.definition.scheduler_placement.regions) == ["us-east"]
    assert made.definition.cloud_provider_str == "aws"
    assert sandbox.tags["broker_job"] == request.job_id and sandbox.tags["broker_attempt"] == request.attempt_id
    commands = "\n".join(server.images.commands[made.definition.image_id])
    assert "apt-get install -y git" in commands and "pip install cloudpickle" in commands
    assert f"python:{sys.version_info.major}.{sys.version_info.minor}" in commands


async def test_a_gpu_is_asked_for_by_modals_name(server: ModalServer, tmp_path: Path) -> None:
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        held = Resources(cpus=2.0, memory_bytes=GIB, gpus=2.0, gpu_model="A100-80GB")
        request = launch_request(r"printf 'a\377\000b\r\n'; echo e >&2; kill -9 $$", resources=held)
        report = await watch.run(request)
        assert (report.state, report.exit_code, report.signal) == (AttemptState.FAILED, 137, 9)
        assert await watch.output(request.attempt_id) == b"a\xff\x00b\r\n"
        assert await watch.output(request.attempt_id, "stderr") == b"e\n"
        (line,) = (await watch.executor.usage(0)).attempts
    (made,) = server.world.seen("SandboxCreate")
    assert (made.definition.resources.gpu_config.gpu_type, made.definition.resources.gpu_config.count) == (
        "A100-80GB",
        2,
    )
    assert (line.resources.gpus, line.resources.gpu_model) == (2.0, "A100-80GB")


@pytest.mark.parametrize("gpu", [{}, {"gpus": 1.0, "gpu_model": "L4"}])
async def test_a_secrets_value_is_in_the_commands_environment_only(
    server: ModalServer, tmp_path: Path, gpu: dict[str, Any]
) -> None:
    secret = "s3cr3t-7401"
    request = launch_request(
        'echo "${#TOKEN} $PLAIN"',
        envs={"TOKEN": secret, "PLAIN": "seen"},
        secret_names=frozenset({"TOKEN"}),
        resources=Resources(cpus=1, memory_bytes=GIB, **gpu),
    )
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        await watch.run(request)
        assert await watch.output(request.attempt_id) == b"11 seen\n"
    for call, message in server.world.calls:
        where = str(message)
        if call == "SandboxCreateV2":
            where = str(message.definition) + str(message.tags)
        assert call == "SecretGetOrCreate" or secret not in where, call
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if secret.encode() in path.read_bytes()]


async def test_volumes_and_secrets_of_modals_own(server: ModalServer, tmp_path: Path) -> None:
    (server.volumes.made("datasets") / "one").write_text("1")
    server.secrets.made("hub", HUB_TOKEN="x" * 5)
    options = {"volumes": {"/data": "datasets"}, "secrets": ["hub"]}
    async with open_pool(server, tmp_path / "state", options=options) as watch:
        request = launch_request("echo ${#HUB_TOKEN}")
        await watch.run(request)
        assert await watch.output(request.attempt_id) == b"5\n"
    (made,) = server.world.seen("SandboxCreateV2")
    assert [volume.mount_path for volume in made.definition.volume_mounts] == ["/data"]


async def test_volumes_of_a_job_are_modals_own_made_when_they_are_first_used(
    server: ModalServer, tmp_path: Path
) -> None:
    async with open_pool(server, tmp_path / "state") as watch:
        volumes = {"/out": "runs", "sets": "datasets"}
        request = launch_request("true", volumes=volumes, volumes_at="modal", volumes_read_only=("datasets",))
        await watch.run(request)
    (made,) = server.world.seen("SandboxCreateV2")
    mounted = [(volume.mount_path, volume.read_only) for volume in made.definition.volume_mounts]
    assert mounted == [("/broker/volumes/datasets", True), ("/broker/volumes/runs", False)]
    assert {"datasets", "runs"} <= set(server.volumes.names)


@pytest.mark.parametrize("options", [{"volumes": {"/data": "nothing"}}, {"secrets": ["nothing"]}])
async def test_what_is_missing_at_modal_is_named(server: ModalServer, tmp_path: Path, options: dict[str, Any]) -> None:
    async with open_pool(server, tmp_path / "state", options=options) as watch:
        report = await watch.run(launch_request("true"))
        assert report.state is AttemptState.REFUSED and "nothing" in report.reason


async def test_images_by_name_and_by_dockerfile(server: ModalServer, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:12\nRUN echo built > /built\n")
    options = {"dockerfile": str(tmp_path / "Dockerfile")}
    async with open_pool(server, tmp_path / "state", options=options) as watch:
        for fields in ({}, {"image": "pytorch/pytorch:2.9"}):
            assert (await watch.run(launch_request("true", **fields))).state is AttemptState.SUCCEEDED
        report = await watch.run(launch_request("true", image="registry.example/no-such-image"))
        assert report.state is AttemptState.FAILED and "registry.example/no-such-image" in report.reason
    images = [made.definition.image_id for made in server.world.seen("SandboxCreateV2")]
    built, named = ["\n".join(server.images.commands[image]) for image in images]
    assert "RUN echo built" in built and "FROM pytorch/pytorch:2.9" in named


@pytest.mark.parametrize("functions", [False, True])
async def test_a_job_brings_a_dockerfile_of_its_own(server: ModalServer, tmp_path: Path, functions: bool) -> None:
    """The text is the environment: another text is another image, the same is built once."""
    texts = ["FROM debian:12 AS base\nRUN echo first > /built\n", "FROM debian:12\nRUN echo second > /built\n"]
    async with open_pool(server, tmp_path / "state", functions=functions) as watch:
        for text in (*texts, texts[0]):
            request = launch_request("true", image=text, requirements=("numpy",))
            assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        broken = await watch.run(launch_request("true", image="FROM registry.example/no-such-image\n"))
        assert broken.state is AttemptState.FAILED
        assert broken.reason.startswith("could not be set up: a Dockerfile of its own could not be built")
    if functions:  # each deployed once
        first, second = (made.function.image_id for made in server.world.seen("FunctionCreate"))
    else:
        first, second, again = (made.definition.image_id for made in server.world.seen("SandboxCreateV2"))
        assert first == again
    for image, word in ((first, "first"), (second, "second")):
        commands = "\n".join(server.images.commands[image])
        assert "pip install numpy" in commands and f"RUN echo {word}" in commands


@pytest.mark.parametrize("functions", [False, True])
async def test_a_dockerfile_copies_files_of_the_workdir(server: ModalServer, tmp_path: Path, functions: bool) -> None:
    """As they are when the job runs: other content is another image, though the text is the same."""
    code = tmp_path / "code"
    (code / "sub").mkdir(parents=True)
    (code / "sub" / "deep.txt").write_text("deep")
    (code / "secret.txt").write_text("not asked for")
    (code / "out").symlink_to("/etc")
    text = "FROM debian:12\nCOPY --chmod=755 a*.txt \\\n  sub /app/\nCOPY ./b.txt /app/\n"
    async with open_pool(server, tmp_path / "state", functions=functions) as watch:
        for content in ("first", "second", "second"):
            (code / "a1.txt").write_text(content)
            (code / "b.txt").write_text("beside")
            request = launch_request("true", image=text, workdir=str(code))
            assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        missing = await watch.run(launch_request("true", image="FROM debian\nCOPY none /\n", workdir=str(code)))
        leaving = await watch.run(launch_request("true", image="FROM debian\nCOPY out/passwd /\n", workdir=str(code)))
    assert missing.state is AttemptState.FAILED and "COPY none: there is no such file" in missing.reason
    assert leaving.state is AttemptState.FAILED and "COPY out/passwd leaves the job's workdir" in leaving.reason
    mounts = [server.files.of(mount) for mount in server.images.contexts.values()]
    found = {frozenset((path, content) for path, (content, _) in mount.items()) for mount in mounts}
    plain = {("/sub/deep.txt", b"deep"), ("/b.txt", b"beside")}
    assert found == {frozenset(plain | {("/a1.txt", content)}) for content in (b"first", b"second")}


async def test_a_large_working_directory_and_a_long_script(server: ModalServer, tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "deep").mkdir(parents=True)
    (code / "deep" / "large").write_bytes(bytes(range(256)) * (6 << 12))
    (code / "link").symlink_to("deep/large")
    (code / "run.sh").write_text("#!/bin/sh\nwc -c < link\n")
    (code / "run.sh").chmod(0o755)
    async with open_pool(server, tmp_path / "state") as watch:
        request = launch_request(f"./run.sh\n# {'x' * 70_000}", workdir=str(code))
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == f"{6 << 20}\n".encode()
    assert server.world.seen("BlobCreate")


def test_gpus_that_modal_has_none_of_are_passed_over() -> None:
    """See `test_faults`: here only that a limit on cost keeps dearer ones out."""
    from executors.modal_pool.container_spec import alternatives

    prices = {"H100": 4, "A100-80GB": 3, "L4": 1}
    offers = tuple(
        offer(f"modal/sandbox/{model.lower()}/auto/serverless", gpu_model=model, gpu_count=1.0, usd_per_hour=usd)
        for model, usd in prices.items()
    )
    pool = executor_pool(offers)
    choices = tuple(Gpu(model=model) for model in ("H100", "A100-80GB", "T4", "L4"))
    decided = Resources(cpus=2.0, memory_bytes=GIB, gpus=1.0, gpu_model="A100-80GB")
    free = launch_request("true", resources=decided)
    asked = ResourceRequest(gpu_choices=choices, gpu_ordered=True)
    from dataclasses import replace

    free = replace(free, spec=replace(free.spec, resources=asked))
    limited = replace(free, spec=replace(free.spec, max_cost_usd="5"))
    assert [way.gpu_model for way in alternatives(free, pool)] == ["A100-80GB", "H100", "L4"]
    assert [way.gpu_model for way in alternatives(limited, pool)] == ["A100-80GB", "L4"]


def executor_pool(offers: tuple[Any, ...]) -> Any:
    from broker.testing.builders import pool

    return pool("burst", unit=UNIT_GPU, gpu_models=("H100", "A100-80GB", "L4"), offers=offers)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"options": {"apps": "x"}}, "no option 'apps'"),
        ({"options": {"min_containers": 1}}, "no option 'min_containers'"),
        ({"options": {"volumes": {"data": "x"}}}, "absolute path"),
        ({"options": {"apt": "git"}}, "must be a list of texts"),
        ({"offers": (offer("modal/functions/cpu/auto/serverless"),)}, 'product = "sandbox"'),
        ({"offers": (offer("modal/sandbox/cpu/auto/serverless"),), "options": {"region": "us"}}, "1.5 times"),
    ],
)
async def test_wrong_options_are_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    server = ModalServer(tmp_path / "modal")
    with pytest.raises(Misconfigured, match=said):
        executor_on(pool_of(server, **fields), tmp_path / "state")


async def test_what_can_never_run_is_rejected(server: ModalServer, tmp_path: Path) -> None:
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        for fields in (
            {"resources": Resources(cpus=1, gpus=1.0, gpu_model="B200")},
            {"resources": Resources(cpus=1, gpus=0.5, gpu_model="L4")},
            {"max_duration_s": 90_000.0},
            {"runtime": "ray"},
        ):
            with pytest.raises(Rejected):
                await watch.executor.launch(launch_request("true", **fields))


def test_the_client_is_imported_when_it_is_used(tmp_path: Path) -> None:
    """`broker pools` lists it, and why it can't be used, in no time."""
    import subprocess

    program = "import sys, executors.modal_pool as m; m.ModalPool.unavailable(); sys.exit('modal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'gpu-broker[modal]'" in str(ModalPool.unavailable())


@pytest.mark.parametrize(("gpu", "cost"), [({}, 135_957), ({"gpus": 1.0, "gpu_model": "L4"}, 12_635_957)])
async def test_what_modal_itself_says_that_a_sandbox_cost_is_kept_until_it_is_settled(
    server: ModalServer, tmp_path: Path, gpu: dict[str, Any], cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes late, also to a broker that was started meanwhile; the first answers know nothing, or make no sense."""
    asked, strange = Estimates._cost, ["no number"]

    async def told_strangely(estimates: Estimates, sandbox_id: str) -> Decimal | None:
        return Decimal(strange.pop()) if strange else await asked(estimates, sandbox_id)

    monkeypatch.setattr(Estimates, "_cost", told_strangely)
    server.faults.fail("SandboxGetStats", Status.INTERNAL, times=4)
    pool, folder = pool_of(server, options={"estimate_after_s": 0.2}, **GPU_POOL), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    request = launch_request("true", resources=Resources(cpus=1, memory_bytes=GIB, **gpu))
    report = await watch.run(request)
    assert (await watch.executor.usage(0)).estimates == ()
    await watch.executor.close(stop=False)
    watch.executor = executor_on(pool, folder)
    await watch.executor.open()
    async with asyncio.timeout(PATIENCE_S):
        while not (told := (await watch.executor.usage(0)).estimates):
            await asyncio.sleep(0.05)
    (one,) = told
    (unit,) = (await watch.executor.usage(0)).units
    assert ((one.unit_id,), one.attempt_id, one.amount.nanodollars) == (report.unit_ids, request.attempt_id, cost)
    assert (one.started_ns, one.ended_ns) == (unit.started_ns, unit.ended_ns)
    assert (await watch.executor.usage(time.time_ns())).estimates == (), "it is settled"
    await watch.executor.close(stop=True)
