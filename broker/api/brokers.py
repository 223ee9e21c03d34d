"""The brokers of a store as the API shows them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from broker.model.leases import LEADER, Member, Standing


class BrokerView(BaseModel):
    """One broker of the store, or one of its API workers."""

    name: str = Field(description="Its machine and process.", examples=["gpu-a:4711"])
    here: bool = Field(description="Whether it is the one that answers.")
    leads: bool = Field(description="Whether it does what one broker does for all.")
    pools: list[str] = Field(description="Pools that it drives; an API worker drives none.")


def views(member: Member, standing: Standing) -> list[BrokerView]:
    """All that live, by name."""
    held: dict[str, list[str]] = {member.name: [], **{name: [] for name in standing.others}}
    for lease in standing.leases:
        if lease.holder is not None:
            held.setdefault(lease.holder_name, []).append(lease.name)
    return [
        BrokerView(
            name=name,
            here=name == member.name,
            leads=LEADER in leases,
            pools=[lease for lease in leases if lease != LEADER],
        )
        for name, leases in sorted(held.items())
    ]
