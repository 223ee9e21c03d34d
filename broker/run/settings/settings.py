"""The settings that the broker runs by: plain values, and the pools that they describe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from broker.decide.throttle import Rate
from broker.model.budgets import Budget
from broker.model.errors import InvalidInput
from broker.model.offers import Offer
from broker.model.pools import Capability, Pool
from broker.run.members.folders import Folders
from broker.run.settings.autopilot import AutopilotSettings
from broker.run.settings.leases import LeaseTimes
from broker.run.settings.machine import Machine, this_machine
from broker.run.settings.pool_document import PoolPart
from broker.run.settings.pools import default_pools, is_local, make_pools
from broker.run.settings.price_refresh import PriceRefreshSettings
from broker.run.settings.receiver import Receiver
from broker.run.settings.secrets import ConfiguredSecrets
from broker.spec.source import Tree

Capabilities = Callable[[str], frozenset[Capability]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """How much of what jobs write is kept."""

    max_stream_bytes: int = 10 * 10**9  # of one stream of one attempt
    keep_s: float = 30 * 86_400.0  # after the end of the attempt
    max_blob_bytes: int = 50 * 10**9  # of functions and arguments, all together


FAILURES: Final = Rate(per_s=1.0, burst=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLimits:
    """How much each user may ask of the API, and how often an address may come without a token that is good."""

    rate: Rate  # of requests
    streams: int  # answers that follow something, at once
    failures: Rate = FAILURES  # requests of one address without a good token
    files: tuple[Path, ...] = ()  # folders of this machine whose files jobs may name, where a token is not `admin`


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration and the environment say."""

    file: Path | None  # where they were read; None: nowhere
    state_dir: Path  # absolute; may not exist yet
    store_url: str
    shared_dir: Path | None  # that all brokers of the store see; absolute
    lease_times: LeaseTimes
    listen: str  # unix, or loopback:PORT
    dashboard: str  # loopback:PORT, or off; where `listen` is loopback, it is there
    user: str
    default_max_wait_s: float | None
    spot_rule: str
    stale_price_days: int
    settle_every_s: float
    autopilot: AutopilotSettings
    prices: PriceRefreshSettings
    budgets: tuple[Budget, ...]
    limits: UserLimits
    logs: LogLimits
    audit_kept_s: float
    admission_hooks: tuple[str, ...]
    admission_timeout_s: float
    receivers: tuple[Receiver, ...]
    secret_prefix: str
    secret_file: Path | None
    key_command: str | None  # writes the keys of stored secrets; None: they are in a file of the state folder
    written_on: date | None  # day of the file's last change
    pool_parts: Mapping[str, PoolPart]
    tree: Tree = field(repr=False, compare=False)  # where each setting was written

    @property
    def gpu_models(self) -> Collection[str]:
        """Models that the configured pools say they have: known to jobs, whatever the broker knows itself."""
        wanted = [part.accelerators for part in self.pool_parts.values() if part.accelerators]
        return frozenset(gpu.model for each in wanted for gpu in each.choices if gpu.model)

    def secrets(self) -> ConfiguredSecrets:
        """The values of secrets, from where the configuration says."""
        return ConfiguredSecrets(prefix=self.secret_prefix, file=self.secret_file)

    @property
    def folders(self) -> Folders:
        """Where the broker keeps what is not in the store. Raises `InvalidInput`."""
        shared = [
            name
            for name, part in self.pool_parts.items()
            if part.shared or (part.shared is None and not is_local(part))
        ]
        wrong = [
            self.tree.problem(("pools", name, "shared"), "there is no shared_dir to keep its records in: set one")
            for name, part in self.pool_parts.items()
            if part.shared and self.shared_dir is None
        ]
        if wrong:
            raise InvalidInput(*wrong)
        return Folders(own=self.state_dir, shared=self.shared_dir, pools=shared)

    def pools(
        self, offers: Sequence[Offer], capabilities: Capabilities, machine: Machine | None = None
    ) -> tuple[Pool, ...]:
        """The pools, with their prices from `offers`; those of this machine where none are configured.

        `capabilities` tells what an executor can do. Raises `InvalidInput` with everything that is wrong.
        """
        machine = machine or this_machine()
        if not self.pool_parts:
            return default_pools(machine, offers, capabilities)
        return make_pools(self.pool_parts, self.tree, machine, offers, capabilities, self.written_on)
