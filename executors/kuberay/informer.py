"""Informer: a local cache of the resources of one kind, listed once and then kept current by a watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from broker.model.errors import ExecutorError
from executors.kuberay.api import Api, Resource
from executors.kuberay.api_errors import Expired
from executors.remote.backoff import Backoff

log = structlog.get_logger()


class Informer:
    """The resources of a kind with some labels, as the API server has them; `changed` is called after each change.

    A watch that is lost is begun again, from where it was or with a new list, for as long as the informer is open.
    """

    def __init__(self, api: Api, kind: str, labels: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._api, self._kind, self._labels, self._changed = api, kind, labels, changed
        self._news = asyncio.Condition()
        self._version = ""
        self._watching: asyncio.Task[None] | None = None
        self.known: dict[str, Resource] = {}  # by name

    async def open(self) -> None:
        """Lists the resources, and watches from then on. Raises ExecutorError."""
        await self._list()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None

    def get(self, name: str) -> Resource | None:
        """The resource of this name; None where there is none."""
        return self.known.get(name)

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Waits until `wanted()` is true; it is evaluated now and after each change."""
        async with self._news:
            await self._news.wait_for(wanted)

    async def tell(self) -> None:
        """Has those who wait in `until` evaluate their condition again: what it depends on has changed elsewhere."""
        async with self._news:
            self._news.notify_all()

    async def take(self, resource: Resource) -> None:
        """Takes over a resource that was just made or read, unless the watch has already seen a later version of it."""
        if _version(resource) > int(self._version or 0):
            self.known[_name(resource)] = resource
            await self._told()

    async def _list(self) -> None:
        found, self._version = await self._api.all(self._kind, self._labels)
        self.known = {_name(one): one for one in found}
        await self._told()

    async def _watch(self) -> None:
        backoff = Backoff()
        while True:
            try:
                async for event in self._api.watch(self._kind, self._labels, self._version):
                    backoff = Backoff()
                    await self._happened(event)
            except Expired:
                self._version = ""
            except ExecutorError as error:
                log.info("a watch is begun again", kind=self._kind, error=str(error))
                await backoff.pause()
            if not self._version:
                await self._listed_again(backoff)

    async def _listed_again(self, backoff: Backoff) -> None:
        try:
            await self._list()
        except ExecutorError as error:
            log.warning("resources can't be listed", kind=self._kind, error=str(error))
            await backoff.pause()

    async def _happened(self, event: Resource) -> None:
        resource = event["object"]
        self._version = resource["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        if event["type"] == "DELETED":
            self.known.pop(_name(resource), None)
        else:
            self.known[_name(resource)] = resource
        await self._told()

    async def _told(self) -> None:
        self._changed()
        await self.tell()


def _name(resource: Resource) -> str:
    return str(resource["metadata"]["name"])


def _version(resource: Resource) -> int:
    """Resource versions increase, so that of two the later one is known."""
    return int(resource["metadata"]["resourceVersion"])
