"""Resources of one kind, as the API server has them: listed once, then watched, however often the watch is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from broker.model.errors import ExecutorError
from executors.kuberay.api import Api, Resource
from executors.kuberay.failures import Expired
from executors.remote.backoff import Backoff

log = structlog.get_logger()


class Mirror:
    """What is known of the resources of a kind that carry some labels; `changed` is called after each change."""

    def __init__(self, api: Api, kind: str, labels: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._api, self._kind, self._labels, self._changed = api, kind, labels, changed
        self._news = asyncio.Condition()
        self._version = ""
        self._watching: asyncio.Task[None] | None = None
        self.known: dict[str, Resource] = {}  # by name

    async def open(self) -> None:
        """Lists them, and watches from then on. Raises ExecutorError."""
        await self._list()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Watches no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None

    def get(self, name: str) -> Resource | None:
        """A resource; None where there is none."""
        return self.known.get(name)

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Waits for a change after which something is so, or returns at once."""
        async with self._news:
            await self._news.wait_for(wanted)

    async def tell(self) -> None:
        """Something that waits may depend on has changed elsewhere: they look again."""
        async with self._news:
            self._news.notify_all()

    async def take(self, resource: Resource) -> None:
        """One that was just made or read; unless the watch is past that, and knows better."""
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
    """Versions are counted up, so that of two the later is known."""
    return int(resource["metadata"]["resourceVersion"])
