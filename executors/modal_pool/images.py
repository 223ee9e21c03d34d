"""What a job's environment asks for → an image of Modal's, built once for each environment."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from broker.model.environment import environment_key, image_title, is_dockerfile
from broker.model.jobs import JobSpec, LaunchRequest
from executors.modal_pool.build_context import CONTEXT, DOCKERFILE, build_context
from executors.modal_pool.connection import Connection
from executors.modal_pool.errors import translated
from executors.modal_pool.options import Options
from executors.on_machine.environment import EnvironmentFailed

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


class Images:
    """The images of one pool, built in its app. A build goes on at Modal, whoever stops waiting for it."""

    def __init__(self, pool: str, options: Options, connection: Connection, folder: Path) -> None:
        """`folder` is for the Dockerfiles of jobs."""
        self._pool, self._options, self._connection, self._folder = pool, options, connection, folder
        self._built: dict[str, Any] = {}
        self._builds: dict[str, asyncio.Lock] = {}

    async def built(self, request: LaunchRequest) -> Any:
        """The image of a request. Raises `EnvironmentFailed` with what could not be built."""
        from modal.exception import ImageBuildError

        key, place = environment_key(request.spec), await self._place(request.spec)
        if place is not None:
            key = f"{key}-{place.name}"
        async with self._builds.setdefault(key, asyncio.Lock()):
            if key not in self._built:
                with translated(self._pool, "building an image"):
                    try:
                        image = await asyncio.to_thread(self._described, request, place)
                        self._built[key] = await image.build.aio(self._connection.app)
                    except ImageBuildError as error:
                        said = " ".join(str(error).split())
                        raise EnvironmentFailed(f"{self._asked(request)} could not be built: {said}") from None
                    except FileNotFoundError as error:
                        raise EnvironmentFailed(f"{error.filename}: {error.strerror}") from None
        return self._built[key]

    async def _place(self, spec: JobSpec) -> Path | None:
        """Where a job's own Dockerfile is built; None where it brings none. Raises `EnvironmentFailed`."""
        if not spec.image or not is_dockerfile(spec.image):
            return None
        try:
            return await asyncio.to_thread(build_context, spec.image, spec.workdir, self._folder)
        except OSError as error:
            raise EnvironmentFailed(f"{image_title(spec.image)}: {error.strerror or error}") from None

    def _described(self, request: LaunchRequest, place: Path | None) -> Any:
        """The image as its layers, none of which is built by this."""
        spec, options = request.spec, self._options
        image = self._base(spec.image, place)
        if debian := [*options.apt, *spec.system_packages]:
            image = image.apt_install(*debian)
        packages = [*options.pip, *spec.requirements]
        if spec.function is not None:
            packages.append(f"cloudpickle=={version('cloudpickle')}")
        return image.pip_install(*packages) if packages else image

    def _base(self, named: str | None, place: Path | None) -> Any:
        import modal

        added = {"add_python": self._options.add_python} if self._options.add_python else {}
        if place is not None:
            return modal.Image.from_dockerfile(place / DOCKERFILE, context_dir=place / CONTEXT, **added)
        if named:
            return modal.Image.from_registry(named, **added)
        if self._options.dockerfile:
            file = Path(self._options.dockerfile)
            return modal.Image.from_dockerfile(file, context_dir=file.parent, **added)
        if self._options.base_image:
            return modal.Image.from_registry(self._options.base_image, **added)
        return modal.Image.debian_slim(python_version=PYTHON)

    def _asked(self, request: LaunchRequest) -> str:
        spec = request.spec
        title = image_title(spec.image or self._options.dockerfile or self._options.base_image or "debian")
        packages = ", ".join([*self._options.apt, *spec.system_packages, *self._options.pip, *spec.requirements])
        return title + (f" with {packages}" if packages else "")
