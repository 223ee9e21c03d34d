"""Apps, environments, and who is there."""

from __future__ import annotations

from typing import Any

from grpclib import Status
from modal_proto import api_pb2

from tests.executors.modal.server.world import World, missing, new_id, refuse

BUILDER = "2025.06"


class Apps:
    def __init__(self, world: World) -> None:
        self._world = world
        self.by_name: dict[tuple[str, str], str] = {}
        self._made: set[str] = set()
        self._deployed: dict[str, dict[str, str]] = {}  # id of the app -> names of its functions -> their ids

    def known(self, app_id: str) -> str:
        if app_id not in self.by_name.values() and app_id not in self._made:
            raise missing("app", app_id)
        return app_id

    async def ClientHello(self, request: Any) -> Any:
        return api_pb2.ClientHelloResponse(image_builder_version=BUILDER)

    async def AuthTokenGet(self, request: Any) -> Any:
        return api_pb2.AuthTokenGetResponse(token=self._world.new_auth_token())

    async def EnvironmentGetOrCreate(self, request: Any) -> Any:
        settings = api_pb2.EnvironmentSettings(image_builder_version=BUILDER, webhook_suffix="")
        metadata = api_pb2.EnvironmentMetadata(name=request.deployment_name or "main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id=new_id("en"), metadata=metadata)

    async def AppGetOrCreate(self, request: Any) -> Any:
        key = (request.environment_name, request.app_name)
        if key not in self.by_name:
            if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                raise missing("app", request.app_name)
            self.by_name[key] = new_id("ap")
        return api_pb2.AppGetOrCreateResponse(app_id=self.by_name[key])

    async def AppGetByDeploymentName(self, request: Any) -> Any:
        return api_pb2.AppGetByDeploymentNameResponse(
            app_id=self.by_name.get((request.environment_name, request.name), "")
        )

    async def AppCreate(self, request: Any) -> Any:
        app_id = new_id("ap")
        self._made.add(app_id)
        return api_pb2.AppCreateResponse(app_id=app_id, app_page_url="https://modal.example")

    async def AppPublish(self, request: Any) -> Any:
        self.known(request.app_id)
        if request.app_state == api_pb2.APP_STATE_DEPLOYED:
            self.by_name["", request.name] = self.by_name["main", request.name] = request.app_id
        self._deployed[request.app_id] = dict(request.function_ids)
        return api_pb2.AppPublishResponse(url="https://modal.example")

    async def AppClientDisconnect(self, request: Any) -> Any:
        from google.protobuf.empty_pb2 import Empty

        return Empty()

    def function(self, environment: str, app: str, name: str) -> str:
        """The id of a function that is deployed."""
        function_id = self._deployed.get(self.by_name.get((environment, app), ""), {}).get(name)
        if function_id is None:
            raise missing("function", f"{app}/{name}")
        return function_id

    async def AppHeartbeat(self, request: Any) -> Any:
        from google.protobuf.empty_pb2 import Empty

        self.known(request.app_id)
        return Empty()

    async def WorkspaceBillingRates(self, request: Any) -> Any:
        raise refuse(Status.PERMISSION_DENIED, "the token may not read billing")
