"""An environment → a function deployed at Modal; what an attempt holds → a variant of it; a request → a call of it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from broker.model.environment import environment_key
from broker.model.errors import ExecutorError
from broker.model.jobs import LaunchRequest
from broker.model.pools import KeepWarm
from broker.model.projects import DEFAULT_PROJECT
from broker.model.resources import Resources
from executors.modal_pool import container_spec, deployed_function
from executors.modal_pool.errors import translated
from executors.modal_pool.options import DAY_S, FunctionOptions
from executors.modal_pool.sandboxes import AGENT
from executors.modal_pool.site import Site
from executors.remote.agent import FRAME
from executors.remote.lines import frame

NAME: Final = "attempt"  # of the one function in each app
SHORTEST_S: Final = 2  # of Modal's scaledown_window
LONGEST_S: Final = 3600
LOOK_BACK: Final = timedelta(minutes=10)  # before a call that is looked for was launched: clocks differ


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A function with the resources of an attempt: Modal scales each on its own."""

    id: str
    function: Any
    resources: Resources
    environment: str  # key of the environment that its containers are warm for


class Functions:
    """The functions of one pool: an app for each environment, with one function in it."""

    def __init__(self, site: Site, options: FunctionOptions) -> None:
        self._site, self._options, self._name = site, options, site.pool.name
        self._deployed: dict[str, Any] = {}
        self._deploying: dict[str, asyncio.Lock] = {}
        self._hidden: dict[tuple[tuple[str, str], ...], Any] = {}  # secrets by their values, so that a call finds warm

    @property
    def _where(self) -> dict[str, Any]:
        return {"environment_name": self._options.environment or None, "client": self._site.connection.client}

    async def variant(self, request: LaunchRequest, resources: Resources) -> Variant:
        """The variant for a request that is to hold `resources`. Raises `EnvironmentFailed`, and ExecutorError."""
        function = await self.deployed(request)
        options = self._options
        with translated(self._name, "choosing a function's resources"):
            varied = function.with_options(
                **container_spec.shape(resources),
                secrets=[*self._site.secrets(), *self._secret(request)] or None,
                volumes=self._site.volumes(),
                cloud=options.cloud or None,
                region=options.region or None,
            )
            await varied.hydrate.aio()
        key = environment_key(request.spec)
        return Variant(id=varied.object_id, function=varied, resources=container_spec.paid(resources), environment=key)

    def _secret(self, request: LaunchRequest) -> list[Any]:
        import modal

        hidden = {name: request.envs[name] for name in request.secret_names if name in request.envs}
        if not hidden:
            return []
        key = tuple(sorted(hidden.items()))
        if key not in self._hidden:
            self._hidden[key] = modal.Secret.from_dict(dict(hidden))
        return [self._hidden[key]]

    async def deployed(self, request: LaunchRequest) -> Any:
        """The function for a request's environment, made when it is not there. Raises as `variant` does."""
        image = await self._site.images.built(request)
        # Its containers are shared by all calls: a project has its own.
        whose = "" if request.spec.project == DEFAULT_PROJECT else request.spec.project
        named = hashlib.sha256(f"{AGENT}{image.object_id}{whose}".encode()).hexdigest()[:12]
        app = f"{self._options.app}-{self._name}-{self._site.owner[:6]}-{named}"[:64]
        async with self._deploying.setdefault(app, asyncio.Lock()):
            if app not in self._deployed:
                with translated(self._name, "deploying a function"):
                    self._deployed[app] = await self._found(app) or await self._deploy(app, image)
        return self._deployed[app]

    async def _found(self, app: str) -> Any | None:
        import modal

        function = modal.Function.from_name(app, NAME, **self._where)
        try:
            await function.hydrate.aio()
        except modal.exception.NotFoundError:
            return None
        return function

    async def _deploy(self, app: str, image: Any) -> Any:
        import modal

        tags = {"broker_pool": self._name, "broker_owner": self._site.owner}
        made = modal.App(app, tags=tags, include_source=False)
        made.function(
            image=image,
            serialized=True,
            name=NAME,
            timeout=DAY_S,
            retries=0,
            max_containers=self._site.pool.max_units,
            scaledown_window=window_s(self._site.pool.scaledown_window_s),
            single_use_containers=self._options.single_use,
        )(deployed_function.function(AGENT, FRAME))
        await made.deploy.aio(name=app, **self._where)
        return await self._found(app)

    async def scale(self, variant: Variant, kept: KeepWarm, least: int) -> None:
        """How many containers of a variant stay without work, and how long. Raises ExecutorError."""
        with translated(self._name, "keeping containers warm"):
            await variant.function.autoscaler.update.aio(
                min_containers=least,
                max_containers=self._site.pool.max_units,
                buffer_containers=kept.buffer_containers,
                scaledown_window=window_s(kept.scaledown_window_s),
            )

    async def up(self, variant: Variant) -> int:
        """How many containers of a variant there are. Raises ExecutorError."""
        with translated(self._name, "counting containers"):
            return int((await variant.function.get_current_stats.aio()).num_total_runners)

    async def called(self, variant: Variant, key: str, order: str, bundle: bytes, env: dict[str, str]) -> Any:
        """The call that was made. Raises ExecutorError: it may have been made all the same."""
        with translated(self._name, "calling a function"):
            return await variant.function.spawn.aio(key, order, bundle, env)

    async def by_id(self, variant_id: str, resources: Resources, environment: str) -> Variant:
        """A variant that an earlier broker used."""
        import modal

        function = modal.Function.from_id(variant_id, client=self._site.connection.client)
        return Variant(id=variant_id, function=function, resources=resources, environment=environment)

    async def call_of(self, call_id: str) -> Any:
        """The call that has this id at Modal."""
        import modal

        found = modal.FunctionCall.from_id(call_id, client=self._site.connection.client)
        await found.hydrate.aio()
        return found

    async def claimer(self, variant: Variant, key: str, launched_ns: int) -> Any | None:
        """The call that claimed an attempt, as its agent told in the function's log; None while it has not."""
        since = datetime.fromtimestamp(launched_ns / 1e9, UTC) - LOOK_BACK
        until = datetime.now(UTC) + LOOK_BACK
        with translated(self._name, "looking for a call"):
            async for entry in variant.function.logs.fetch.aio(since=since, until=until, search_text=key):
                told = frame(entry.message)
                if told and told["kind"] == "ready" and told.get("key") == key and entry.context_ids:
                    return await self.call_of(entry.context_ids[0])
        return None

    async def claimed(self, key: str) -> bool:
        """Claims an attempt, so that no call will run it; False where one does already, or did. Raises ExecutorError.

        Nothing is read from Modal here that a container wrote: it would be unpickled.
        """
        import modal

        with translated(self._name, "claiming an attempt"):
            claims = modal.Dict.from_name(deployed_function.CLAIMS, create_if_missing=True, **self._where)
            return bool(await claims.put.aio(key, True, skip_if_exists=True))

    async def tell(self, key: str, order: str) -> None:
        """Tells the agent of an attempt what to do. Raises ExecutorError."""
        import modal

        with translated(self._name, "ending a command"):
            orders = modal.Queue.from_name(deployed_function.ORDERS, create_if_missing=True, **self._where)
            await orders.put.aio(order, partition=key)

    async def end(self, running: Any, *, containers: bool) -> None:
        """Cancels a call. Raises ExecutorError."""
        with translated(self._name, "cancelling a call"):
            await running.cancel.aio(terminate_containers=containers)

    async def tried_to_end(self, running: Any) -> None:
        """Cancels a call that will do nothing when it is run: where that fails, it costs a moment."""
        try:
            await self.end(running, containers=False)
        except ExecutorError:
            return


def window_s(asked_s: float) -> int:
    """The nearest that Modal has to a number of idle seconds."""
    return min(max(round(asked_s), SHORTEST_S), LONGEST_S)
