"""Sandboxes of both kinds: checked as the service would, scheduled when there is room, run as containers."""

from __future__ import annotations

import asyncio
import codecs
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from grpclib import Status
from modal_proto import api_pb2

from tests.executors.modal.server.apps import Apps
from tests.executors.modal.server.containers import Container
from tests.executors.modal.server.files import Files
from tests.executors.modal.server.images import Images
from tests.executors.modal.server.secrets import Secrets, checked
from tests.executors.modal.server.volumes import Volumes
from tests.executors.modal.server.world import World, invalid, missing, new_id, refuse

Result = api_pb2.GenericResult
NAME = re.compile(r"[a-zA-Z0-9-_.]{1,64}")
TAG = re.compile(r"[a-zA-Z0-9-_.]{1,63}")
GPUS = {
    "T4", "L4", "A10", "A10G", "L40S", "A100", "A100-40GB", "A100-80GB", "RTX-PRO-6000", "H100", "H100!", "H200", "B200"
}  # fmt: skip
REGIONS = {"us", "eu", "ap", "uk", "ca", "me", "sa", "af", "mx", "us-east", "us-west", "eu-west", "eu-north", "jp"}
CLOUDS = {"", "aws", "gcp", "oci", "auto"}


@dataclass(kw_only=True)
class Sandbox:
    id: str
    app_id: str
    name: str
    tags: dict[str, str]
    definition: Any
    container: Container
    created_at: float
    task_id: str = ""  # once it is scheduled
    result: Any = None
    ending: str = ""  # why it is being ended
    over: asyncio.Event = field(default_factory=asyncio.Event)
    scheduled: asyncio.Event = field(default_factory=asyncio.Event)


class Sandboxes:
    def __init__(
        self, world: World, apps: Apps, images: Images, files: Files, secrets: Secrets, volumes: Volumes
    ) -> None:
        self._world, self._apps, self._images = world, apps, images
        self._files, self._secrets, self._volumes = files, secrets, volumes
        self.all: dict[str, Sandbox] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.limit = 100  # containers of the workspace's plan

    async def end_all(self) -> None:
        for sandbox in self.all.values():
            await self._end(sandbox, "terminated")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Made

    async def SandboxCreate(self, request: Any) -> Any:
        values = [self._secrets.of(one) for one in request.definition.secret_ids]
        sandbox = self._made(request, new_id("sb"), values)
        metadata = api_pb2.SandboxHandleMetadata(app_id=request.app_id)
        return api_pb2.SandboxCreateResponse(sandbox_id=sandbox.id, metadata=metadata)

    async def SandboxCreateV2(self, request: Any) -> Any:
        if request.definition.resources.gpu_config.gpu_type:
            raise invalid("GPUs are not supported by V2 sandboxes")
        values = [
            checked(dict(one.env.contents)) if one.WhichOneof("source") == "env" else self._secrets.of(one.secret_id)
            for one in request.secret_sources
        ]
        sandbox = self._made(request, new_id("sb", 26), values)
        await sandbox.scheduled.wait()
        return api_pb2.SandboxCreateV2Response(
            sandbox_id=sandbox.id,
            task_id=sandbox.task_id,
            metadata=api_pb2.SandboxHandleMetadata(app_id=request.app_id),
        )

    def _made(self, request: Any, sandbox_id: str, values: list[dict[str, str]]) -> Sandbox:
        definition = request.definition
        tags = {tag.tag_name: tag.tag_value for tag in request.tags}
        self._check(request.app_id, definition, tags)
        env = {name: value for one in values for name, value in one.items()}
        env |= {"MODAL_SANDBOX_ID": sandbox_id}
        folder = self._world.folder / "containers" / sandbox_id
        container = Container(folder, sandbox_id, list(definition.entrypoint_args), env)
        for mount_id in definition.mount_ids:
            for path, (content, mode) in self._files.of(mount_id).items():
                container.mount(path, content, mode)
        for volume in definition.volume_mounts:
            place = folder / "root" / volume.mount_path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(self._volumes.folder(volume.volume_id))
        sandbox = Sandbox(
            id=sandbox_id,
            app_id=request.app_id,
            name=definition.name,
            tags=tags,
            definition=definition,
            container=container,
            created_at=time.time() + self._world.faults.clock_s,
        )
        self.all[sandbox_id] = sandbox
        self._spawn(self._live(sandbox))
        return sandbox

    def _check(self, app_id: str, definition: Any, tags: dict[str, str]) -> None:
        self._apps.known(app_id)
        self._images.built(definition.image_id)
        name, resources = definition.name, definition.resources
        if name and not NAME.fullmatch(name):
            raise invalid(f"{name!r} is no name of a sandbox")
        if name and any(one.name == name and one.app_id == app_id for one in self.running()):
            raise refuse(Status.ALREADY_EXISTS, f"a sandbox named {name} runs already")
        if len(self.running()) >= self.limit:
            raise refuse(Status.RESOURCE_EXHAUSTED, f"the workspace's limit of {self.limit} containers is reached")
        for word in (*tags, *tags.values()):
            if not TAG.fullmatch(word):
                raise invalid(f"{word!r} is no tag")
        if not 1 <= definition.timeout_secs <= 86_400:
            raise invalid(f"timeout must be between 1 and 86400 s, not {definition.timeout_secs}")
        if not definition.entrypoint_args or sum(map(len, definition.entrypoint_args)) > 65_536:
            raise invalid("no arguments, or too many")
        check_resources(resources)
        placement = definition.scheduler_placement
        if unknown := set(placement.regions) - REGIONS:
            raise invalid(f"unknown region {unknown}")
        if definition.cloud_provider_str not in CLOUDS:
            raise invalid(f"unknown cloud {definition.cloud_provider_str}")

    async def _live(self, sandbox: Sandbox) -> None:
        while self._full(sandbox) and not sandbox.over.is_set():
            await asyncio.sleep(0.02)
        if sandbox.over.is_set():
            return
        sandbox.task_id = new_id("ta", 26 if len(sandbox.id) > 26 else 22)
        sandbox.scheduled.set()
        await asyncio.sleep(self._world.faults.boot_s)
        if sandbox.over.is_set():
            return
        limit = asyncio.get_running_loop().call_later(
            sandbox.definition.timeout_secs, lambda: self._spawn(self._end(sandbox, "timeout"))
        )
        await sandbox.container.run()
        limit.cancel()
        self._over(sandbox)

    def _full(self, sandbox: Sandbox) -> bool:
        none = self._world.faults.no_capacity
        return "" in none or sandbox.definition.resources.gpu_config.gpu_type in none

    def _over(self, sandbox: Sandbox) -> None:
        if sandbox.result is None:
            code = sandbox.container.code or 0
            status = Result.GENERIC_STATUS_SUCCESS if not code else Result.GENERIC_STATUS_FAILURE
            status = {
                "timeout": Result.GENERIC_STATUS_TIMEOUT,
                "terminated": Result.GENERIC_STATUS_TERMINATED,
            }.get(sandbox.ending, status)
            sandbox.result = Result(status=status, exitcode=code)
        sandbox.over.set()

    async def _end(self, sandbox: Sandbox, why: str) -> None:
        if sandbox.over.is_set():
            return
        sandbox.ending = why
        await sandbox.container.kill()
        self._over(sandbox)
        sandbox.scheduled.set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Asked about

    def running(self) -> list[Sandbox]:
        return [one for one in self.all.values() if not one.over.is_set()]

    def named(self, name: str) -> list[Sandbox]:
        return [one for one in self.all.values() if one.name == name]

    def _known(self, sandbox_id: str) -> Sandbox:
        if sandbox_id not in self.all:
            raise missing("sandbox", sandbox_id)
        return self.all[sandbox_id]

    async def SandboxGetTaskId(self, request: Any) -> Any:
        sandbox = self._known(request.sandbox_id)
        if sandbox.over.is_set() and not sandbox.task_id:
            return api_pb2.SandboxGetTaskIdResponse(task_result=sandbox.result)
        return api_pb2.SandboxGetTaskIdResponse(task_id=sandbox.task_id)

    SandboxGetTaskIdV2 = SandboxGetTaskId

    async def SandboxWait(self, request: Any) -> Any:
        sandbox = self._known(request.sandbox_id)
        if request.timeout:
            waiting = asyncio.create_task(sandbox.over.wait())
            await asyncio.wait({waiting}, timeout=request.timeout)
            waiting.cancel()
        metadata = api_pb2.SandboxHandleMetadata(app_id=sandbox.app_id, result=sandbox.result)
        return api_pb2.SandboxWaitResponse(result=sandbox.result, metadata=metadata)

    SandboxWaitV2 = SandboxWait

    async def SandboxGetFromName(self, request: Any) -> Any:
        return self._from_name(request, second=False)

    async def SandboxGetFromNameV2(self, request: Any) -> Any:
        return self._from_name(request, second=True)

    def _from_name(self, request: Any, *, second: bool) -> Any:
        app_id = self._apps.by_name.get((request.environment_name, request.app_name))
        found = [one for one in self.named(request.sandbox_name) if one.app_id == app_id]
        found = [one for one in found if (len(one.id) > 26) == second]
        found.sort(key=lambda one: (not one.over.is_set(), one.created_at))
        if not found or (found[-1].over.is_set() and not request.include_terminated):
            raise missing("sandbox", request.sandbox_name)
        metadata = api_pb2.SandboxHandleMetadata(app_id=found[-1].app_id, result=found[-1].result)
        return api_pb2.SandboxGetFromNameResponse(sandbox_id=found[-1].id, metadata=metadata)

    async def SandboxListV2(self, request: Any) -> Any:
        wanted = {tag.tag_name: tag.tag_value for tag in request.tags}
        found = [
            one
            for one in self.running()
            if one.app_id == self._apps.known(request.app_id)
            and wanted.items() <= one.tags.items()
            and (not request.before_timestamp or one.created_at < request.before_timestamp)
        ]
        found.sort(key=lambda one: -one.created_at)
        infos = [
            api_pb2.SandboxInfo(
                id=one.id,
                created_at=one.created_at,
                name=one.name,
                app_id=one.app_id,
                task_info=api_pb2.TaskInfo(id=one.task_id, result=one.result),
            )
            for one in found
        ]
        return api_pb2.SandboxListResponse(sandboxes=infos)

    async def SandboxTagsGet(self, request: Any) -> Any:
        tags = self._known(request.sandbox_id).tags
        return api_pb2.SandboxTagsGetResponse(
            tags=[api_pb2.SandboxTag(tag_name=name, tag_value=value) for name, value in tags.items()]
        )

    SandboxTagsGetV2 = SandboxTagsGet

    # Told

    async def SandboxTerminate(self, request: Any) -> Any:
        await self._end(self._known(request.sandbox_id), "terminated")
        return api_pb2.SandboxTerminateResponse()

    SandboxTerminateV2 = SandboxTerminate

    async def SandboxStdinWrite(self, request: Any) -> Any:
        self._known(request.sandbox_id).container.write(request.input)
        return api_pb2.SandboxStdinWriteResponse()

    async def SandboxGetCommandRouterAccess(self, request: Any) -> Any:
        token = self._world.new_auth_token()
        return api_pb2.SandboxGetCommandRouterAccessResponse(jwt=token, url=self._world.url)

    async def SandboxGetStats(self, request: Any) -> Any:
        """What it has cost at the rates of this service's own; nothing yet of one that has just begun."""
        sandbox = self._known(request.sandbox_id)
        if not sandbox.over.is_set():
            return api_pb2.SandboxGetStatsResponse()
        costs = {"CPU": "0.000123456789", "Memory": "0.0000125"}
        if gpu := sandbox.definition.resources.gpu_config.gpu_type:
            costs[gpu] = "0.0125"
        total = str(sum(map(Decimal, costs.values())))
        return api_pb2.SandboxGetStatsResponse(cost=total, cost_by_resource=costs)

    async def SandboxGetLogs(self, request: Any) -> AsyncIterator[Any]:
        name = "stdout" if request.file_descriptor == api_pb2.FILE_DESCRIPTOR_STDOUT else "stderr"
        stream, offset = self._known(request.sandbox_id).container.streams[name], int(request.last_entry_id or 0)
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        await self._world.faults.released()
        while data := await stream.beyond(offset):
            text = decoder.decode(data)
            offset += len(data) - len(decoder.getstate()[0])
            decoder.reset()
            item = api_pb2.TaskLogs(data=text, file_descriptor=request.file_descriptor)
            yield api_pb2.TaskLogsBatch(entry_id=str(offset), items=[item])
        yield api_pb2.TaskLogsBatch(entry_id=str(offset), eof=True)


def check_resources(resources: Any) -> None:
    gpu = resources.gpu_config
    if gpu.gpu_type and gpu.gpu_type not in GPUS:
        raise invalid(f"unknown GPU type {gpu.gpu_type!r}")
    if gpu.gpu_type and not 1 <= gpu.count <= 8:
        raise invalid(f"a container has 1 to 8 GPUs, not {gpu.count}")
    cpu, memory = resources.milli_cpu or 125, resources.memory_mb or 128  # what is had where nothing is asked for
    if not 125 <= cpu <= 64_000 or not 128 <= memory <= 344_064:
        raise invalid(f"{resources.milli_cpu} milli-CPUs, {resources.memory_mb} MiB are out of bounds")
    if resources.milli_cpu_max and resources.milli_cpu_max < resources.milli_cpu:
        raise invalid("the limit of CPU is below what is asked for")
    if resources.memory_mb_max and resources.memory_mb_max < resources.memory_mb:
        raise invalid("the limit of memory is below what is asked for")
