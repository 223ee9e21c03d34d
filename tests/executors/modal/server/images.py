"""Images: layers that are built by what their commands say, as far as that can fail."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import shlex
from collections.abc import AsyncIterator
from typing import Any

from modal_proto import api_pb2

from tests.executors.modal.server.files import Files
from tests.executors.modal.server.world import World, invalid, missing, new_id

Status = api_pb2.GenericResult
PIP = re.compile(r"RUN (?:python -m |uv )?pip install (.*)")
REGISTRY = re.compile(r"FROM (\S+)")


class Images:
    def __init__(self, world: World, files: Files) -> None:
        self._world, self._files = world, files
        self._by_content: dict[bytes, str] = {}
        self.results: dict[str, Any] = {}
        self.commands: dict[str, list[str]] = {}  # of the image and what it is based on
        self.contexts: dict[str, str] = {}  # the mount that an image is built with
        self.build_s = 0.0

    async def ImageGetOrCreate(self, request: Any) -> Any:
        if not request.builder_version:
            raise invalid("no image builder version")
        content = request.image.SerializeToString(deterministic=True)
        image_id = self._by_content.get(content)
        if image_id is None or self.results[image_id].status != Status.GENERIC_STATUS_SUCCESS:
            image_id = self._by_content[content] = new_id("im")
            self.results[image_id] = self._result(image_id, request.image)
            return api_pb2.ImageGetOrCreateResponse(image_id=image_id)
        return api_pb2.ImageGetOrCreateResponse(image_id=image_id, result=self.results[image_id])

    def _result(self, image_id: str, image: Any) -> Any:
        commands = [line for base in image.base_images for line in self.commands[self.built(base.image_id)]]
        self.commands[image_id] = [*commands, *image.dockerfile_commands]
        if image.context_mount_id:
            self._files.of(image.context_mount_id)
            self.contexts[image_id] = image.context_mount_id
        for command in image.dockerfile_commands:
            if (found := REGISTRY.match(command)) and found[1].endswith("/no-such-image"):
                return Status(status=Status.GENERIC_STATUS_FAILURE, exception=f"manifest of {found[1]} unknown")
            for package in shlex.split(found[1]) if (found := PIP.match(command)) else []:
                if not _there(package):
                    text = f"ERROR: No matching distribution found for {package}"
                    return Status(status=Status.GENERIC_STATUS_FAILURE, exception=text)
        return Status(status=Status.GENERIC_STATUS_SUCCESS)

    async def ImageJoinStreaming(self, request: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(self.build_s)
        if request.image_id not in self.results:
            raise missing("image", request.image_id)
        yield api_pb2.ImageJoinStreamingResponse(result=self.results[request.image_id], entry_id="1-0", eof=True)

    def built(self, image_id: str) -> str:
        """The id of an image that containers can be made of."""
        if image_id not in self.results:
            raise missing("image", image_id)
        if self.results[image_id].status != Status.GENERIC_STATUS_SUCCESS:
            raise invalid(f"image {image_id} was not built")
        return image_id


def _there(package: str) -> bool:
    """Whether a package is one that containers here find installed."""
    if package.startswith("-") or package.split("=")[0] in ("pip", "setuptools", "uv", "wheel"):
        return True
    try:
        importlib.metadata.version(re.split(r"[=<>!~\[ ]", package)[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
