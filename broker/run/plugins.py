"""Plugins: entry points of installed distributions, loaded by name, each with the reason where it can't be used.

Ours come in by the same door as a stranger's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from broker.admission import AdmissionHook
from broker.live_prices import LivePrices
from broker.model.errors import Misconfigured
from broker.model.offers import Offer
from broker.model.pools import Pool
from broker.node_group import NodeGroup
from broker.ports import Executor, ExecutorContext, PriceSource

ADMISSION = "broker.admission"
EXECUTORS = "broker.executors"
BILLS = "broker.bills"
PRICE_SOURCES = "broker.price_sources"
COMMANDS = "broker.commands"
NODE_GROUPS = "broker.node_groups"

ExecutorType = Callable[[ExecutorContext], Executor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One entry point."""

    name: str
    distribution: str  # name and version of the package that registers it
    entry_point: EntryPoint

    def load(self) -> Any:
        """The object behind it. Raises `Misconfigured` when its module can't be imported."""
        try:
            return self.entry_point.load()
        except (ImportError, AttributeError) as error:
            raise Misconfigured(
                f"plugin {self.name!r} of {self.distribution} can't be loaded: {error}; "
                f"install what it needs, or uninstall {self.distribution}"
            ) from error


@cache
def installed(group: str) -> dict[str, Plugin]:
    """The plugins of a group by name. Raises `Misconfigured` when two distributions claim one name."""
    found: dict[str, Plugin] = {}
    for plugin in _entry_points(group):
        other = found.setdefault(plugin.name, plugin)
        if other.entry_point.value != plugin.entry_point.value:
            raise Misconfigured(
                f"two packages register {plugin.name!r} in {group}: {other.distribution} and "
                f"{plugin.distribution}; uninstall one of them"
            )
    return found


def _entry_points(group: str) -> Iterator[Plugin]:
    for entry_point in entry_points(group=group):
        dist = entry_point.dist
        distribution = f"{dist.name} {dist.version}" if dist else "an unnamed distribution"
        yield Plugin(name=entry_point.name, distribution=distribution, entry_point=entry_point)


def executor_type(name: str) -> type[Executor]:
    """The executor class of that name. Raises `Misconfigured` with what is installed, or why it can't work here."""
    plugins = installed(EXECUTORS)
    if name not in plugins:
        raise Misconfigured(f"no executor {name!r} is installed; there are: {', '.join(sorted(plugins)) or 'none'}")
    loaded = cast("type[Executor]", plugins[name].load())
    if reason := loaded.unavailable():
        raise Misconfigured(f"executor {name!r}: {reason}")
    return loaded


def make_executor(context: ExecutorContext) -> Executor:
    """The executor of a pool, constructed. Raises `Misconfigured`."""
    build = cast(ExecutorType, executor_type(context.pool.executor))
    return build(context)


def make_node_group(pool: Pool, owner: str = "") -> NodeGroup | None:
    """Who makes the machines of a pool, for this owner; None where it does not say. Raises `Misconfigured`."""
    if not pool.nodes:
        return None
    plugins = installed(NODE_GROUPS)
    name = pool.nodes.get("provider")
    if name not in plugins:
        there = ", ".join(sorted(plugins)) or "none"
        raise Misconfigured(
            f"pools.{pool.name}.nodes.provider: must be one that is installed, of: {there}; not {name!r}"
        )
    loaded = cast("type[NodeGroup]", plugins[name].load())
    if reason := loaded.unavailable():
        raise Misconfigured(f"nodes of provider {name!r}: {reason}")
    return cast("Callable[[Pool, str], NodeGroup]", loaded)(pool, owner)


def admission_hooks(names: Sequence[str]) -> tuple[tuple[str, AdmissionHook], ...]:
    """The hooks of these names, in this order. Raises `Misconfigured` for one that is not installed."""
    plugins = installed(ADMISSION)
    for name in names:
        if name not in plugins:
            there = ", ".join(sorted(plugins)) or "none"
            raise Misconfigured(f"admission.hooks: no hook {name!r} is installed; there are: {there}")
    return tuple((name, cast("AdmissionHook", plugins[name].load())) for name in names)


def price_offers() -> tuple[Offer, ...]:
    """The offers of all price sources, by source name, then as the source gives them. Raises `PriceMissing`."""
    return tuple(offer for source in _price_sources() for offer in source.offers())


def live_prices(providers: Sequence[str]) -> LivePrices:
    """The price source that can ask these providers. Raises `Misconfigured` where there is none."""
    found = [source for source in _price_sources() if isinstance(source, LivePrices)]
    for source in found:
        if set(providers) <= set(source.providers):
            return source
    known = sorted({name for source in found for name in source.providers})
    wrong = sorted(set(providers) - set(known)) or list(providers)
    raise Misconfigured(
        f"prices.refresh: {', '.join(wrong)} can't be asked for prices; there are: {', '.join(known) or 'none'}"
    )


def _price_sources() -> list[PriceSource]:
    plugins = sorted(installed(PRICE_SOURCES).items())
    return [cast("Callable[[], PriceSource]", plugin.load())() for _, plugin in plugins]
