"""Building a broker: settings → its store, pools with prices, and the parts that run."""

from __future__ import annotations

from broker.decide.rules import PlacementRules
from broker.decide.spot import SpotRule
from broker.model.pools import Capability
from broker.run.broker import Broker
from broker.run.clock import SystemClock
from broker.run.money.reprice import PricedPools
from broker.run.plugins import admission_hooks, executor_type, price_offers
from broker.run.rights.admitting import Admission
from broker.run.secrecy.keys import Keys
from broker.run.secrecy.secrets import Secrets
from broker.run.settings import Settings
from broker.run.store import open_store


def build_broker(settings: Settings, *, drives: bool = True) -> Broker:
    """The broker that the settings describe, not yet running; with `drives` false one that only answers.

    Raises `InvalidInput` for pools that can't be, `PriceMissing`, `StoreError`.
    """

    def priced() -> PricedPools:
        book = price_offers()
        commitments = tuple(offer for offer in book if offer.tier.is_commitment)
        return PricedPools(pools=settings.pools(book, capabilities), commitments=commitments)

    first = priced()
    store = open_store(settings.store_url)
    charged_up_to_ns = max((store.watermark(pool.name) for pool in first.pools), default=0)
    return Broker(
        pools=first.pools,
        store=store,
        clock=SystemClock(charged_up_to_ns),
        secrets=Secrets(store, Keys(settings.folders.keys, settings.key_command), settings.secrets()),
        state_dir=settings.state_dir,
        rules=PlacementRules(
            default_max_wait_s=settings.default_max_wait_s,
            stale_price_days=settings.stale_price_days,
            spot_rule=SpotRule(settings.spot_rule),
        ),
        settle_every_s=settings.settle_every_s,
        logs=settings.logs,
        audit_kept_s=settings.audit_kept_s,
        admission=Admission(admission_hooks(settings.admission_hooks), settings.admission_timeout_s),
        autopilot=settings.autopilot,
        budgets=settings.budgets,
        book=first.commitments,
        priced=priced,
        asking=settings.prices,
        folders=settings.folders,
        times=settings.lease_times,
        drives=drives,
    )


def capabilities(executor: str) -> frozenset[Capability]:
    """What an executor can do. Raises `Misconfigured` when it is not installed or can't work here."""
    return executor_type(executor).capabilities
