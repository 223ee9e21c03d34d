"""A price list in a file → the catalogue: normalised, checked, and written only when every check holds.

`python -m pricing.collect LISTINGS.csv` replaces the bundled files; review the diff before you commit it.
"""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path

from broker.model.errors import InvalidInput, Problem
from broker.model.offers import Offer
from pricing.catalog_format import write
from pricing.checks import problems
from pricing.normalise import Listing, Normalised, normalise

COLUMNS = tuple(field.name for field in fields(Listing))


def listings(path: Path) -> list[Listing]:
    """The rows of a price list. Raises `InvalidInput` when its columns are not those of a `Listing`."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if set(reader.fieldnames or ()) != set(COLUMNS):
            raise InvalidInput(Problem(message=f"must have the columns {','.join(COLUMNS)}", file=str(path), line=1))
        return [Listing(**cells) for cells in reader]


def publish(offers: Sequence[Offer], folder: Path, today: date) -> tuple[Path, ...]:
    """Writes one file per provider. Raises `InvalidInput` with everything that is wrong, writing nothing."""
    if wrong := problems(offers, today):
        raise InvalidInput(*wrong)
    written = []
    for provider, of_provider in groupby(
        sorted(offers, key=lambda offer: offer.provider), lambda offer: offer.provider
    ):
        written.append(folder / f"{provider}.csv")
        written[-1].write_text(write(of_provider), encoding="utf-8")
    return tuple(written)


def main() -> None:
    """Reads, normalises, checks and publishes; says what was left out and why."""
    parser = ArgumentParser(prog="python -m pricing.collect", description=__doc__)
    parser.add_argument("listings", type=Path)
    parser.add_argument("--into", type=Path, default=Path(__file__).parent / "catalog")
    chosen = parser.parse_args()
    try:
        made = normalise(listings(chosen.listings))
        written = publish(made.offers, chosen.into, datetime.now(UTC).date())
    except InvalidInput as error:
        sys.exit(f"nothing was written:\n{error}")
    print(report(made))
    print(f"wrote {len(written)} files in {chosen.into}")


def report(made: Normalised) -> str:
    """What a price list came to, for people."""
    left_out = [f"left out {each.listing.provider} {each.listing.sku}: {each.reason}" for each in made.left_out]
    return "\n".join([*left_out, f"{len(made.offers)} offers; {len(made.left_out)} listings left out"])


if __name__ == "__main__":
    main()
