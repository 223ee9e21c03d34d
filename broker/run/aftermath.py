"""A state folder on which no daemon runs → how the last one ended, and what it may have left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from broker.model.errors import DaemonError
from broker.run.lifecycle import DaemonFile, last_alive
from broker.run.open_pools import OpenPools


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What a daemon left that is gone."""

    state_dir: Path
    last: DaemonFile | None  # None: nothing was left of it, or it can't be read
    alive: datetime | None  # when it noted so last
    pools: tuple[str, ...]  # that it opened, and nobody ended

    @property
    def died(self) -> bool:
        """Whether it came to no end in good order."""
        return self.last is not None and not self.last.ended

    @property
    def config(self) -> Path | None:
        """The configuration that its pools come from; an empty one where it had none. None: nobody knows."""
        if self.last is None:
            return None
        return Path(self.last.config or "/dev/null")

    @property
    def how_it_ended(self) -> str:
        """In words, as a sentence without its full stop."""
        if self.last is None:
            return "how the last broker ended is not known"
        by = f"process {self.last.pid}, started {_when(self.last.started)} by `{self.last.by}`"
        if self.last.ended:
            return f"the last broker ({by}) ended at {_when(self.last.ended)} and left its pools as they were"
        seen = f", alive until {self.alive:%Y-%m-%d %H:%M:%S} UTC or a little later" if self.alive else ""
        return f"the last broker ({by}) died{seen}"

    @property
    def told(self) -> str:
        """What whoever asks for the broker should know and do."""
        if not self.pools:
            died = f"; {self.how_it_ended}" if self.died else ""
            return f"no broker runs on {self.state_dir}: start it with `broker up`{died}"
        return (
            f"no broker runs on {self.state_dir}: {self.how_it_ended}. What it started in {' and '.join(self.pools)} "
            "may still run and cost money: `broker up` goes on with it, `broker down` ends it"
        )


def aftermath(state_dir: Path) -> Aftermath:
    """What is there to see."""
    last = DaemonFile.last(state_dir)
    try:
        alive = last_alive(state_dir)
    except OSError:
        alive = None
    return Aftermath(state_dir=state_dir, last=last, alive=alive, pools=OpenPools(state_dir).names())


def checked_config(left: Aftermath, named: Path | None) -> Path | None:
    """The configuration to end these pools by: the one that they come from. Raises `DaemonError` where it is gone."""
    if left.config is None or (named is not None and not left.config.exists()):
        return named
    if not left.config.exists():
        raise DaemonError(
            f"the configuration that the pools {' and '.join(left.pools)} come from, {left.config}, is gone: put it "
            "back, or name another that has them in BROKER_CONFIG"
        )
    return left.config


def _when(iso: str) -> str:
    try:
        return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return "at a time that is not known"
