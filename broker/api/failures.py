"""Requests without a token that is good, by the address they come from → when one that goes on may try again."""

from __future__ import annotations

import time
from ipaddress import IPv6Address, IPv6Network, ip_address
from math import ceil
from typing import Final

from starlette.types import Scope

from broker.decide.throttle import Bucket, Rate, take
from broker.run.lately import Lately

MOST_ADDRESSES: Final = 10_000  # that are remembered; who came first is forgotten first, and begins anew
_SUBSCRIBER: Final = 64  # bits of an IPv6 address that are one customer's: the others it chooses as it likes


class Failures:
    """How many of them may come from one address. Each process counts for itself."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: Lately[str, Bucket] = Lately(MOST_ADDRESSES)

    def count(self, scope: Scope) -> int | None:
        """Counts one more. None while it is not too many; else the seconds after which another may come."""
        address = address_of(scope)
        taken = take(self._buckets.get(address), self._rate, time.monotonic())
        self._buckets.put({address: taken.bucket})
        return None if taken.passes else ceil(taken.wait_s)


def address_of(scope: Scope) -> str:
    """Whose request it is: the address that the server saw, or was told by the proxy that it trusts."""
    client = scope.get("client")
    if not client:
        return ""
    try:
        address = ip_address(str(client[0]))
    except ValueError:
        return str(client[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or IPv6Network((address.packed, _SUBSCRIBER), strict=False).network_address)
