"""Prices that providers stated, with the times from which and until which they were seen: one SQLite file.

A price that stays is one row however often it is seen. Older ones are thinned out, so that the file does not grow for
ever; what a charge was priced at stands in the ledger. The only place that knows the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.model.errors import BrokerError, PriceMissing, StoreError
from broker.model.offers import Offer
from pricing.live.answer import Part
from pricing.live.rows import FACTS, Seen, facts, seen

VERSION: Final = 1
BUSY_S: Final = 20.0
_COLUMNS: Final = ("offer_id", "first_s", "last_s", *FACTS, "source", "note")
_DAY_S: Final = 86_400
THINNED: Final = (("day", 7 * _DAY_S), ("month", 35 * _DAY_S))  # from which age on the last price of each is kept
_THIN: Final = {
    span: f"""DELETE FROM price WHERE offer_id = :offer AND first_s < :before_s AND EXISTS (
        SELECT 1 FROM price AS later WHERE later.offer_id = :offer AND later.first_s > price.first_s
        AND later.first_s < :before_s AND later.first_s <= price.first_s + {most_s}
        AND strftime('{form}', later.first_s, 'unixepoch') = strftime('{form}', price.first_s, 'unixepoch'))"""
    for span, form, most_s in (("day", "%Y-%m-%d", _DAY_S), ("month", "%Y-%m", 31 * _DAY_S))
}
_SCHEMA: Final = f"""
CREATE TABLE price ({", ".join(_COLUMNS)}, PRIMARY KEY (offer_id, first_s)) WITHOUT ROWID;
CREATE TABLE refresh (provider, region, tiers, at_s, offers, changed, refused);
CREATE INDEX refresh_of ON refresh (provider, at_s);
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """One answer that was taken over."""

    provider: str
    region: str
    tiers: str  # joined by commas
    at_s: int  # seconds since the epoch
    offers: int  # believed
    changed: int  # of these, new or at another price than before
    refused: int


class PriceHistory:
    """The history in a file. Reading makes no file; a missing one holds nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, part: Part, offers: Iterable[Offer], refused: int, at_s: int) -> Refresh:
        """Takes over what was believed of an answer, all or nothing. Raises `StoreError`."""
        with self._writing() as db:
            told = [_see(db, offer, at_s) for offer in offers]
            made = Refresh(
                provider=part.provider,
                region=part.region,
                tiers=",".join(sorted(part.tiers)),
                at_s=at_s,
                offers=len(told),
                changed=sum(told),
                refused=refused,
            )
            values = (made.provider, made.region, made.tiers, at_s, made.offers, made.changed, refused)
            db.execute("INSERT INTO refresh VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return made

    def prices(self, offer_id: str | None = None) -> list[Seen]:
        """All prices, or those of one offer, by offer and then by time. Raises `PriceMissing`."""
        where, values = ("WHERE offer_id = ?", (offer_id,)) if offer_id else ("", ())
        query = f"SELECT {', '.join(_COLUMNS)} FROM price {where} ORDER BY offer_id, first_s"
        return [seen(*row) for row in self._read(query, values)]

    def last_refreshes(self) -> list[Refresh]:
        """The last answer taken over for each provider, region and tiers. Raises `PriceMissing`."""
        query = """SELECT provider, region, tiers, max(at_s), offers, changed, refused FROM refresh
                   GROUP BY provider, region, tiers ORDER BY provider, region, tiers"""
        names = ("provider", "region", "tiers", "at_s", "offers", "changed", "refused")
        return [Refresh(**dict(zip(names, row, strict=True))) for row in self._read(query, ())]

    def _read(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S)) as db:
                self._understood(db, PriceMissing)
                return db.execute(query, values).fetchall() if _version(db) else []
        except sqlite3.Error as error:
            raise PriceMissing(self._damaged(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                if not _version(db):
                    for statement in _SCHEMA.strip().split(";\n"):
                        db.execute(statement)
                self._understood(db, StoreError)
                yield db
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(self._damaged(error)) from error
        except OSError as error:
            raise StoreError(f"the price history {self.path} can't be written: {error}") from error

    def _understood(self, db: sqlite3.Connection, error: type[BrokerError]) -> None:
        if _version(db) > VERSION:
            raise error(f"the price history {self.path} is of a newer version of the broker: use that one")

    def _damaged(self, error: sqlite3.Error) -> str:
        return (
            f"the price history {self.path} can't be used: {error}; move it away and ask again with "
            "`broker prices refresh`: what was charged keeps its prices"
        )


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _see(db: sqlite3.Connection, offer: Offer, at_s: int) -> bool:
    """Notes that a price was seen, and whether it is another than before."""
    query = f"SELECT first_s, last_s, {', '.join(FACTS)} FROM price WHERE offer_id = ? ORDER BY first_s DESC LIMIT 1"
    last = db.execute(query, (offer.id,)).fetchone()
    now = facts(offer)
    if last is not None and last[2:] == now:
        told = (max(last[1], at_s), offer.source, offer.note, offer.id, last[0])
        db.execute("UPDATE price SET last_s = ?, source = ?, note = ? WHERE offer_id = ? AND first_s = ?", told)
        return False
    if last is not None and last[0] >= at_s:  # a clock that was set back must not put the new price before the old one
        at_s = last[0] + 1
    marks = ", ".join("?" * len(_COLUMNS))
    db.execute(f"INSERT INTO price VALUES ({marks})", (offer.id, at_s, at_s, *now, offer.source, offer.note))
    for span, age_s in THINNED:
        db.execute(_THIN[span], {"offer": offer.id, "before_s": at_s - age_s})
    return True
