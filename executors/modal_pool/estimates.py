"""What Modal itself says that sandboxes have cost: asked for minutes after their end, kept until it is recorded."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError
from broker.model.money import NS_PER_S, Money
from broker.model.usage import ProviderEstimate
from executors.modal_pool.errors import translated
from executors.modal_pool.site import Site
from executors.on_machine.journal import Journal

log = structlog.get_logger()

MOST_TRIES: Final = 6  # each after twice as long: Modal's figures lag by minutes
LEAST_PAUSE_S: Final = 0.01


class Estimates:
    """Those of one pool. They are beside what is metered here, for whoever wants to compare."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._kept = Journal(site.root / "estimates.jsonl")
        self._wake = asyncio.Event()

    def want(self, unit_id: str, attempt_id: str, started_ns: int, ended_ns: int) -> None:
        """A sandbox has ended; Modal will be asked what it cost."""
        line = {"attempt_id": unit_id, "for": attempt_id, "started_ns": started_ns, "ended_ns": ended_ns}
        self._keep({**line, "amount": None, "told_ns": None}, tries=0)
        self._wake.set()

    def _keep(self, line: dict[str, Any], tries: int) -> None:
        after_s = self._site.options.estimate_after_s * 2**tries
        due_ns = self._site.meter.clock.now_ns() + round(after_s * NS_PER_S)
        self._kept.write({**line, "tries": tries, "due_ns": due_ns})

    def told(self, since_ns: int) -> tuple[ProviderEstimate, ...]:
        """What is known and not settled; `since_ns` is up to when all is settled."""
        for unit_id, line in list(self._kept.reports.items()):
            if line["told_ns"] is not None and line["told_ns"] < since_ns:
                self._kept.forget(unit_id)
        return tuple(
            ProviderEstimate(
                unit_id=line["attempt_id"],
                attempt_id=line["for"],
                started_ns=line["started_ns"],
                ended_ns=line["ended_ns"],
                amount=Money(line["amount"]),
            )
            for line in self._kept.reports.values()
            if line["told_ns"] is not None
        )

    async def ask(self) -> None:
        """Asks for each when it is due, until cancelled."""
        while True:
            self._wake.clear()
            open_ones = [line for line in self._kept.reports.values() if line["told_ns"] is None]
            if not open_ones:
                await self._wake.wait()
                continue
            line = min(open_ones, key=lambda one: one["due_ns"])
            left_s = (line["due_ns"] - self._site.meter.clock.now_ns()) / NS_PER_S
            await asyncio.sleep(max(left_s, LEAST_PAUSE_S))
            try:
                await self._asked(line)
            except OSError as error:  # of the journal: it is due still
                log.error("what sandboxes cost can't be kept; it is tried again", error=str(error))
                await asyncio.sleep(self._site.options.estimate_after_s)

    async def _asked(self, line: dict[str, Any]) -> None:
        unit_id = line["attempt_id"]
        try:
            cost = await self._cost(unit_id)
        except ExecutorError as error:
            log.info("Modal did not say what a sandbox cost", sandbox=unit_id, error=str(error))
            cost = None
        except Exception:
            log.exception("asking Modal what a sandbox cost failed", sandbox=unit_id)
            cost = None
        if cost is not None:
            now_ns = self._site.meter.clock.now_ns()
            self._kept.write({**line, "amount": Money.of_usd(cost).nanodollars, "told_ns": now_ns})
        elif line["tries"] + 1 < MOST_TRIES:
            self._keep(line, line["tries"] + 1)
        else:
            log.warning("Modal never said what a sandbox cost", pool=self._site.pool.name, sandbox=unit_id)
            self._kept.forget(unit_id)

    async def _cost(self, sandbox_id: str) -> Decimal | None:
        """Dollars; None where Modal does not know yet."""
        import modal

        with translated(self._site.pool.name, "asking what a sandbox cost"):
            sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=self._site.connection.client)
            try:
                cost: Decimal | None = (await sandbox._experimental_stats.aio()).cost
            finally:
                await sandbox.detach.aio()
        return cost
