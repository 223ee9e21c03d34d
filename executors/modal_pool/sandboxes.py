"""An attempt → a sandbox of its own at Modal: made once, found again after a restart, followed to its end."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError, NoCapacity, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.resources import Resources
from executors.modal_pool import container_spec
from executors.modal_pool.errors import translated
from executors.modal_pool.site import Site
from executors.remote import agent, bundle
from executors.remote.backoff import Backoff

log = structlog.get_logger()

MOST_ARGV: Final = 60_000  # characters of a sandbox's arguments; Modal takes 65,536
AGENT: Final = Path(agent.__file__).read_text(encoding="utf-8")
START: Final = (
    'command -v python3 >/dev/null || { echo "[broker: the image has no python3; option add_python puts one in]" >&2; '
    'exit 127; }; exec python3 -c "$0" "$@"'
)


def arguments_of(request: LaunchRequest, max_bytes: int) -> list[str]:
    """The command of a sandbox: its agent, the order for it, and no bundle."""
    return ["sh", "-c", START, AGENT, json.dumps(bundle.order_of(request, max_bytes)), ""]


class Sandboxes:
    """Makes and finds the sandboxes of one pool. A sandbox's name is its attempt's id."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._name = site.pool.name

    async def create(self, request: LaunchRequest) -> tuple[Any, Resources]:
        """A sandbox, with the first GPU of those it may have that Modal has. Raises `NoCapacity` when there is none."""
        image = await self._site.images.built(request)
        refused: list[str] = []
        with self._loaded(image, request) as (loaded, arguments):
            for resources in container_spec.alternatives(request, self._site.pool):
                try:
                    return await self._within(request, loaded, arguments, resources), resources
                except NoCapacity as error:
                    refused.append(str(error))
        raise NoCapacity("; ".join(refused))

    @contextmanager
    def _loaded(self, image: Any, request: LaunchRequest) -> Iterator[tuple[Any, list[str]]]:
        """The image with what has to come along, and the arguments of its agent."""
        arguments = arguments_of(request, self._site.max_stream_bytes)
        with tempfile.TemporaryDirectory(dir=self._site.root, prefix="bundle-") as folder:
            packed, ordered = Path(folder, "bundle.tar"), Path(folder, "order.json")
            if bundle.wanted(request):
                bundle.packed(request, packed)
                image, arguments[-1] = image.add_local_file(packed, bundle.BUNDLE), bundle.BUNDLE
            if len(arguments[-2]) + len(AGENT) > MOST_ARGV:
                ordered.write_text(arguments[-2])
                image, arguments[-2] = image.add_local_file(ordered, bundle.ORDER), f"@{bundle.ORDER}"
            yield image, arguments

    async def _within(self, request: LaunchRequest, image: Any, arguments: list[str], resources: Resources) -> Any:
        """The sandbox, as soon as Modal has room for it; it is asked again when it does not answer, for a while."""
        wait_s = self._site.options.capacity_wait_s
        until = asyncio.get_running_loop().time() + wait_s
        last = ""
        try:
            async with asyncio.timeout_at(until):
                backoff = Backoff()
                while True:
                    try:
                        return await self._asked(request, image, arguments, resources)
                    except Unreachable as error:
                        last = f"; {error}"
                        await backoff.pause(until)
                    except NoCapacity:  # unless an answer before this one was lost
                        if (running := await self.named(request.attempt_id, ended=False)) is None:
                            raise
                        return running
        except TimeoutError:
            await self.end(request.attempt_id)
            what = f"{resources.gpus:g} {resources.gpu_model}" if resources.gpus else "room"
            raise NoCapacity(f"pool {self._name}: Modal had no {what} within {wait_s:g} s{last}") from None

    async def _asked(self, request: LaunchRequest, image: Any, arguments: list[str], resources: Resources) -> Any:
        import modal

        site, options = self._site, self._site.options
        hidden = {name: request.envs[name] for name in request.secret_names if name in request.envs}
        with translated(self._name, "making a sandbox"):
            try:
                return await modal.Sandbox.create.aio(
                    *arguments,
                    app=site.connection.app,
                    client=site.connection.client,
                    name=request.attempt_id,
                    tags=site.tags(request),
                    image=image,
                    env={name: value for name, value in request.envs.items() if name not in hidden},
                    secrets=[*site.secrets(), *([modal.Secret.from_dict(hidden)] if hidden else [])],
                    timeout=container_spec.timeout_s(request, options),
                    cloud=options.cloud or None,
                    region=options.region or None,
                    volumes={**site.volumes(), **site.volumes_of(request)},
                    **container_spec.shape(resources),
                )
            except modal.exception.AlreadyExistsError:
                if (found := await self.named(request.attempt_id)) is None:
                    raise
                return found
            except modal.exception.ConflictError as error:
                raise Unreachable(f"pool {self._name}: the sandbox ended while it was made: {error}") from error

    async def named(self, attempt_id: str, *, ended: bool = True) -> Any | None:
        """The sandbox of an attempt, with `ended` also one that has; None where there is none. Raises `Unreachable`."""
        import modal

        options = self._site.options
        where = {"environment_name": options.environment or None, "client": self._site.connection.client}
        with translated(self._name, "looking for a sandbox"):
            for over in (False, True) if ended else (False,):
                try:
                    return await modal.Sandbox.from_name.aio(options.app, attempt_id, include_terminated=over, **where)
                except modal.exception.NotFoundError:
                    continue
        return None

    async def known(self, sandbox_id: str) -> Any | None:
        """A sandbox by Modal's id; None where Modal knows it no more. Raises `Unreachable`."""
        import modal

        with translated(self._name, "looking for a sandbox"):
            try:
                return await modal.Sandbox.from_id.aio(sandbox_id, client=self._site.connection.client)
            except modal.exception.NotFoundError:
                return None

    async def end(self, attempt_id: str) -> None:
        """Ends the sandbox of an attempt, if there is one; one that can't be reached is ended by `sweep`."""
        try:
            if (sandbox := await self.named(attempt_id)) is not None:
                await terminate(self._name, sandbox)
        except ExecutorError:
            return

    async def sweep(self, going: set[str]) -> list[str]:
        """Ends sandboxes of this broker that run for no attempt: made in the moment that it died, or lost the line.

        Returns the attempts they were made for.
        """
        import modal

        strays = []
        with translated(self._name, "listing sandboxes"):
            wanted = {"broker_owner": self._site.owner, "broker_pool": self._name}
            app = self._site.connection.app
            async for sandbox in modal.Sandbox.list.aio(
                app_id=app.app_id, tags=wanted, client=self._site.connection.client
            ):
                attempt_id = (await sandbox.get_tags.aio()).get("broker_attempt", "")
                if attempt_id not in going:
                    strays.append(attempt_id)
                    await sandbox.terminate.aio()
        return strays


async def terminate(pool: str, sandbox: Any) -> None:
    """Ends a sandbox now."""
    with translated(pool, "ending a sandbox"):
        await sandbox.terminate.aio()


async def ask_to_end(pool: str, sandbox: Any, grace_s: float) -> None:
    """Tells the agent in a sandbox to end its command."""
    import modal

    with translated(pool, "ending a command"):
        try:
            sandbox.stdin.write(f"cancel {grace_s}\n")
            await sandbox.stdin.drain.aio()
        except (ValueError, modal.exception.NotFoundError):  # it has ended
            return


async def end_of(pool: str, sandbox: Any) -> tuple[str, int | None]:
    """Waits for a sandbox's end, however often the connection is lost: exit, timeout, terminated or gone; its code."""
    import modal

    backoff = Backoff()
    while True:
        try:
            await sandbox.wait.aio()
            return "exit", sandbox.returncode
        except modal.exception.SandboxTimeoutError:
            return "timeout", None
        except modal.exception.SandboxTerminatedError:
            return "terminated", None
        except modal.exception.NotFoundError:
            return "gone", None
        except (modal.exception.Error, OSError) as error:
            log.info("a sandbox is waited for again", pool=pool, error=str(error))
            await backoff.pause()
