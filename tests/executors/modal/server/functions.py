"""Functions: deployed, varied by options, scaled as they are called; their calls, inputs and ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from grpclib import Status
from modal_proto import api_pb2

from tests.executors.modal.server.apps import Apps
from tests.executors.modal.server.images import Images
from tests.executors.modal.server.logs import Logs
from tests.executors.modal.server.sandboxes import CLOUDS, REGIONS, check_resources
from tests.executors.modal.server.secrets import Secrets
from tests.executors.modal.server.tasks import Task, Zygote
from tests.executors.modal.server.volumes import Volumes
from tests.executors.modal.server.world import World, invalid, missing, new_id, refuse

Result = api_pb2.GenericResult
CALLER: ContextVar[str] = ContextVar("caller", default="")  # the container that asks; "" is no container


@dataclass(kw_only=True)
class Call:
    id: str
    function_id: str
    input_id: str
    input: Any
    created_at: float
    retries: int = 0
    task_id: str = ""  # where it runs, or ran last
    status: int = 0
    cancelled: bool = False


@dataclass(kw_only=True)
class Running:
    """A container of a function."""

    task: Task
    call: Call | None = None
    last: Call | None = None  # to which what it says belongs
    idle_since: float
    ending: bool = False
    booted: bool = False


@dataclass(kw_only=True)
class Function:
    """A function as it was deployed, or one of its variants."""

    id: str
    app_id: str
    definition: Any
    options: Any = None
    settings: Any = None
    queue: list[Call] = field(default_factory=list)
    up: dict[str, Running] = field(default_factory=dict)


class Functions:
    def __init__(
        self, world: World, apps: Apps, images: Images, secrets: Secrets, volumes: Volumes, logs: Logs
    ) -> None:
        self._world, self._apps, self._images = world, apps, images
        self._secrets, self._volumes, self._logs = secrets, volumes, logs
        self.all: dict[str, Function] = {}
        self.calls: dict[str, Call] = {}
        self._bound: dict[bytes, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self.zygote: Zygote | None = None
        self.door: Callable[[str], Awaitable[str]]  # a container's id -> the address at which it finds this server

    async def stop(self) -> None:
        self._world.faults.no_capacity = {""}
        ups = [one for function in self.all.values() for one in function.up.values()]
        await asyncio.gather(*(one.task.kill() for one in ups if one.task.pid))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.zygote:
            await self.zygote.stop()

    # Deployed

    async def FunctionPrecreate(self, request: Any) -> Any:
        self._apps.known(request.app_id)
        function_id = request.existing_function_id or new_id("fu")
        return api_pb2.FunctionPrecreateResponse(
            function_id=function_id,
            handle_metadata=api_pb2.FunctionHandleMetadata(
                function_name=request.function_name, app_id=request.app_id, function_type=request.function_type
            ),
        )

    async def FunctionCreate(self, request: Any) -> Any:
        self._apps.known(request.app_id)
        definition, function_id = request.function, request.existing_function_id or new_id("fu")
        self._images.built(definition.image_id)
        check_resources(definition.resources)
        if not 1 <= definition.timeout_secs <= 86_400:
            raise invalid(f"timeout must be between 1 and 86400 s, not {definition.timeout_secs}")
        if not 0 < len(definition.function_serialized) < 16 << 20:
            raise invalid("this server takes serialized functions only, of less than 16 MiB")
        self._check_place(definition.scheduler_placement, definition.cloud_provider_str)
        self._check_scaling(definition.autoscaler_settings)
        function = Function(id=function_id, app_id=request.app_id, definition=definition)
        function.settings = definition.autoscaler_settings
        self.all[function_id] = function
        return api_pb2.FunctionCreateResponse(
            function_id=function_id, function_data=_data(function), handle_metadata=self._metadata(function)
        )

    def _check_place(self, placement: Any, cloud: str) -> None:
        if unknown := set(placement.regions) - REGIONS:
            raise invalid(f"unknown region {unknown}")
        if cloud not in CLOUDS:
            raise invalid(f"unknown cloud {cloud}")

    def _check_scaling(self, settings: Any) -> None:
        if settings.HasField("scaledown_window") and not 2 <= settings.scaledown_window <= 3600:
            raise invalid(f"scaledown_window must be between 2 and 3600 s, not {settings.scaledown_window}")
        if settings.max_containers and settings.min_containers > settings.max_containers:
            raise invalid("min_containers is more than max_containers")

    def _metadata(self, function: Function) -> Any:
        formats = {
            "supported_input_formats": function.definition.supported_input_formats,
            "supported_output_formats": function.definition.supported_output_formats,
        }
        return api_pb2.FunctionHandleMetadata(
            function_name=function.definition.function_name,
            function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
            app_id=function.app_id,
            **formats,
        )

    def _known(self, function_id: str) -> Function:
        if function_id not in self.all:
            raise missing("function", function_id)
        return self.all[function_id]

    async def FunctionGet(self, request: Any) -> Any:
        function_id = self._apps.function(request.environment_name, request.app_name, request.object_tag)
        function = self._known(function_id)
        return api_pb2.FunctionGetResponse(
            function_id=function_id, function=_data(function), handle_metadata=self._metadata(function)
        )

    async def FunctionGetById(self, request: Any) -> Any:
        function = self._known(request.function_id)
        return api_pb2.FunctionGetByIdResponse(handle_metadata=self._metadata(function), function=_data(function))

    async def FunctionBindParams(self, request: Any) -> Any:
        """The same options of the same function are the same variant."""
        base, options = self._known(request.function_id), request.function_options
        key = request.SerializeToString(deterministic=True)
        if key not in self._bound:
            check_resources(options.resources)
            self._check_place(options.scheduler_placement, options.cloud_provider_str)
            for secret_id in options.secret_ids:
                self._secrets.of(secret_id)
            variant = Function(id=new_id("fu"), app_id=base.app_id, definition=base.definition, options=options)
            variant.settings = api_pb2.AutoscalerSettings()
            variant.settings.CopyFrom(base.settings)
            self._bound[key] = variant.id
            self.all[variant.id] = variant
        variant = self.all[self._bound[key]]
        return api_pb2.FunctionBindParamsResponse(bound_function_id=variant.id, handle_metadata=self._metadata(variant))

    async def FunctionUpdateSchedulingParams(self, request: Any) -> Any:
        function = self._known(request.function_id)
        changed = api_pb2.AutoscalerSettings()
        changed.CopyFrom(function.settings)
        changed.MergeFrom(request.settings)
        self._check_scaling(changed)
        function.settings = changed
        await self._scale(function)
        return api_pb2.FunctionUpdateSchedulingParamsResponse(current_settings=changed)

    async def FunctionGetCurrentStats(self, request: Any) -> Any:
        function = self._known(request.function_id)
        busy = [one for one in function.up.values() if one.call]
        return api_pb2.FunctionStats(
            backlog=len(function.queue), num_total_tasks=len(function.up), num_running_inputs=len(busy)
        )

    # Called

    async def FunctionMap(self, request: Any) -> Any:
        function = self._known(request.function_id)
        (item,) = request.pipelined_inputs
        call = Call(
            id=new_id("fc"),
            function_id=function.id,
            input_id=new_id("in"),
            input=item.input,
            created_at=time.time() + self._world.faults.clock_s,
        )
        self.calls[call.id] = call
        function.queue.append(call)
        await self._scale(function)
        answer = api_pb2.FunctionPutInputsResponseItem(idx=0, input_id=call.input_id, input_jwt="jwt")
        return api_pb2.FunctionMapResponse(function_call_id=call.id, pipelined_inputs=[answer], function_call_jwt="jwt")

    def _call(self, call_id: str) -> Call:
        if call_id not in self.calls:
            raise missing("function call", call_id)
        return self.calls[call_id]

    async def FunctionCallFromId(self, request: Any) -> Any:
        call = self._call(request.function_call_id)
        metadata = api_pb2.FunctionCallHandleMetadata(
            app_id=self.all[call.function_id].app_id, function_id=call.function_id
        )
        return api_pb2.FunctionCallFromIdResponse(function_call_id=call.id, num_inputs=1, metadata=metadata)

    async def FunctionCallGetInfo(self, request: Any) -> Any:
        call = self._call(request.function_call_id)
        kinds = {
            Result.GENERIC_STATUS_SUCCESS: "succeeded_inputs",
            Result.GENERIC_STATUS_TIMEOUT: "timeout_inputs",
            Result.GENERIC_STATUS_TERMINATED: "cancelled_inputs",
            0: "pending_inputs",
        }
        one = {kinds.get(call.status, "failed_inputs"): api_pb2.InputCategoryInfo(total=1)}
        info = api_pb2.FunctionCallInfo(function_call_id=call.id, created_at=call.created_at, total_inputs=1, **one)
        return api_pb2.FunctionCallGetInfoResponse(info=info)

    async def FunctionGetCallGraph(self, request: Any) -> Any:
        call = self._call(request.function_call_id)
        mine = api_pb2.InputCallGraphInfo(
            input_id=call.input_id, status=call.status, function_call_id=call.id, task_id=call.task_id
        )
        known = api_pb2.FunctionCallCallGraphInfo(
            function_call_id=call.id, function_name=self.all[call.function_id].definition.function_name
        )
        return api_pb2.FunctionGetCallGraphResponse(inputs=[mine], function_calls=[known])

    async def FunctionCallCancel(self, request: Any) -> Any:
        call = self._call(request.function_call_id)
        if not call.status:
            call.cancelled = True
            function = self.all[call.function_id]
            if call in function.queue:
                function.queue.remove(call)
                call.status = Result.GENERIC_STATUS_TERMINATED
            elif request.terminate_containers and call.task_id in function.up:
                await function.up[call.task_id].task.kill()
            await self._tell()
        return _empty()

    async def lose(self, attempt_id: str) -> None:
        """Kills the containers that run calls for an attempt, as when a machine is lost."""
        for running in [one for function in self.all.values() for one in function.up.values()]:
            if running.call and attempt_id.encode() in running.call.input.args:
                await running.task.kill()

    # Scaled

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _scale(self, function: Function) -> None:
        """Starts the containers that are missing."""
        busy = sum(bool(one.call) for one in function.up.values()) + len(function.queue)
        wanted = busy + (function.settings.buffer_containers if busy else 0)
        wanted = max(wanted, function.settings.min_containers)
        most = function.settings.max_containers or 1_000
        for _ in range(min(wanted, most) - sum(not one.ending for one in function.up.values())):
            task_id = new_id("ta")
            folder = self._world.folder / "tasks" / task_id
            assert self.zygote, "this server was started without a zygote, so it runs no functions"
            task = Task(
                task_id, folder, self.zygote, lambda name, line, id=task_id: self._said(function, id, name, line)
            )
            function.up[task_id] = Running(task=task, idle_since=time.monotonic())
            self._spawn(self._live(function, function.up[task_id]))
        await self._tell()

    def _said(self, function: Function, task_id: str, name: str, line: str) -> None:
        running = function.up.get(task_id)
        call = running and (running.call or running.last)
        self._logs.add(function.app_id, function.id, call.id if call else "", task_id, name, line)

    async def _live(self, function: Function, running: Running) -> None:
        gpu = function.options.resources.gpu_config.gpu_type if function.options else ""
        while {"", gpu} & self._world.faults.no_capacity:
            if not function.queue and not function.settings.min_containers:
                del function.up[running.task.id]
                return
            await asyncio.sleep(0.02)
        await asyncio.sleep(self._world.faults.boot_s)
        url = await self.door(running.task.id)
        await running.task.run(self._arguments(function, running), {"MODAL_SERVER_URL": url, **self._env(function)})
        del function.up[running.task.id]
        if (call := running.call) is not None:  # it died with it
            if call.cancelled:
                call.status = Result.GENERIC_STATUS_TERMINATED
            else:
                call.retries += 1
                function.queue.insert(0, call)
        await self._scale(function)

    def _env(self, function: Function) -> dict[str, str]:
        ids = [*function.definition.secret_ids] if not function.options else [*function.options.secret_ids]
        return {name: value for one in ids for name, value in self._secrets.of(one).items()}

    def _arguments(self, function: Function, running: Running) -> bytes:
        definition = api_pb2.Function()
        definition.CopyFrom(function.definition)
        layout = api_pb2.AppLayout(function_ids={definition.function_name: function.id})
        layout.objects.add(object_id=function.id, function_handle_metadata=self._metadata(function))
        arguments = api_pb2.ContainerArguments(
            task_id=running.task.id,
            function_id=function.id,
            app_id=function.app_id,
            function_def=definition,
            app_layout=layout,
            environment_name="main",
        )
        return arguments.SerializeToString()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Asked by containers

    def _asking(self) -> tuple[Function, Running]:
        for function in self.all.values():
            if (running := function.up.get(CALLER.get())) is not None:
                return function, running
        raise refuse(Status.PERMISSION_DENIED, "only containers may ask this")

    async def ContainerHello(self, request: Any) -> Any:
        self._asking()
        await asyncio.sleep(self._world.faults.slow_import_s)
        return _empty()

    async def ContainerHeartbeat(self, request: Any) -> Any:
        """Answered at once where the input was cancelled, and otherwise after a while."""
        _, running = self._asking()
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            if running.call and running.call.cancelled:
                event = api_pb2.CancelInputEvent(input_ids=[running.call.input_id])
                return api_pb2.ContainerHeartbeatResponse(cancel_input_event=event)
            await self._news(until)
        return api_pb2.ContainerHeartbeatResponse()

    async def _news(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0.0)), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return

    async def FunctionGetInputs(self, request: Any) -> Any:
        """The next input, or that it should end, as soon as one of these is so."""
        function, running = self._asking()
        running.idle_since, running.call, running.booted = time.monotonic(), None, True
        while not function.queue:
            due = running.idle_since + function.settings.scaledown_window
            idle = [one for one in function.up.values() if not one.call and not one.ending]
            busy = [one for one in function.up.values() if one.call]
            kept = max(function.settings.min_containers - len(busy), function.settings.buffer_containers * bool(busy))
            if time.monotonic() >= due and len(idle) > kept:
                running.ending = True
                item = api_pb2.FunctionGetInputsItem(kill_switch=True)
                return api_pb2.FunctionGetInputsResponse(inputs=[item])
            await self._news(max(due, time.monotonic() + 0.05))
        call = running.call = running.last = function.queue.pop(0)
        call.task_id = running.task.id
        item = api_pb2.FunctionGetInputsItem(
            input_id=call.input_id, input=call.input, function_call_id=call.id, retry_count=call.retries
        )
        return api_pb2.FunctionGetInputsResponse(inputs=[item])

    async def FunctionPutOutputs(self, request: Any) -> Any:
        _, running = self._asking()
        await running.task.quiet()
        for output in request.outputs:
            call = running.call
            if call and call.input_id == output.input_id:
                call.status = output.result.status
                running.call, running.idle_since = None, time.monotonic()
        await self._tell()
        return _empty()

    async def TaskResult(self, request: Any) -> Any:
        return _empty()


def _data(function: Function) -> Any:
    data = api_pb2.FunctionData(function_name=function.definition.function_name)
    data.ranked_functions.add(rank=0, function=function.definition)
    return data


def _empty() -> Any:
    from google.protobuf.empty_pb2 import Empty

    return Empty()
