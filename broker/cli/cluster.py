"""`broker cluster`: the machines of a pool at its provider are made, counted, changed in number, and ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import render
from broker.cli.connection import settings
from broker.cli.render import Column, Row

if TYPE_CHECKING:
    from broker.model.nodes import Node, NodeCluster, NodePart
    from broker.run.capacity.clusters import ManagedCluster

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Make, scale, show and delete a cluster at a provider.",
)

PoolName = Annotated[str, typer.Argument(metavar="POOL", help="A pool whose configuration has a table `nodes`.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command()
def create(
    pool: PoolName,
    nodes: Annotated[int, typer.Option(min=0, help="How many nodes there are to be.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made and what it costs; asks nobody.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a head and nodes that join it.

    Goes on where an earlier call stopped. What was made is taken away again when it fails.

    Example: broker cluster create aws --nodes 2 --dry-run
    """
    managed = _managed(pool)
    if dry_run:
        _print_parts(managed, nodes, as_json)
        return
    there = managed.group.find()
    if there is not None:
        render.say(
            f"{there.name} is there already, with {len(there.workers)} nodes beside its head: going on from there"
        )
    _print(managed, managed.group.create(nodes), as_json)


@app.command()
def scale(
    pool: PoolName,
    nodes: Annotated[int, typer.Argument(min=0, metavar="NODES", help="How many nodes there are to be.")],
    force: Annotated[bool, typer.Option("--force", help="End nodes without knowing what runs on them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have as many nodes as are said.

    Returns once the provider has started, or was told to end, their machines.

    Example: broker cluster scale aws 4
    """
    from broker.model.errors import Conflict

    managed = _managed(pool)
    cluster = _found(managed)
    surplus = [node.node_id for node in _ending(cluster, cluster.wanted - nodes)]
    if surplus and not force:
        raise Conflict(
            f"{len(surplus)} nodes would have to end, and what runs on them is not known here: leave it to the "
            "autopilot or to their idle limit, or say --force to end them with what they run"
        )
    if surplus:
        managed.group.end(surplus)
    else:
        cluster = managed.group.grow(nodes)
    _print(managed, managed.group.find() or cluster, as_json)


@app.command()
def show(pool: PoolName, as_json: AsJson = False) -> None:
    """Show the machines that there are, and what they cost per hour.

    Example: broker cluster show aws
    """
    managed = _managed(pool)
    _print(managed, _found(managed), as_json)


@app.command()
def delete(
    pool: PoolName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End all machines of a cluster, and what runs on them.

    What had made them is deleted too: nothing is left.

    Example: broker cluster delete aws
    """
    from broker.model.errors import InvalidInput

    managed = _managed(pool)
    there = managed.group.find()
    up = sum(node.up for node in there.nodes) if there else 0
    if up and not yes:
        if not sys.stdin.isatty():
            raise InvalidInput(f"{up} machines would end: say --yes")
        typer.confirm(f"End {up} machines of {pool}, and what runs on them?", abort=True)
    managed.group.delete()
    render.say(f"{pool}: {up} machines ended, nothing is left" if there else f"{pool}: there was no cluster")


def _managed(pool: str) -> ManagedCluster:
    from broker.run.capacity.clusters import managed_cluster

    return managed_cluster(settings(), pool)


def _found(managed: ManagedCluster) -> NodeCluster:
    from broker.model.errors import UnknownName

    cluster = managed.group.find()
    if cluster is None:
        raise UnknownName(
            f"pool {managed.pool.name} has no cluster: `broker cluster create {managed.pool.name}` makes it"
        )
    return cluster


def _ending(cluster: NodeCluster, count: int) -> list[Node]:
    """The newest nodes."""
    return list(reversed(cluster.workers))[: max(count, 0)]


def _print_parts(managed: ManagedCluster, nodes: int, as_json: bool) -> None:
    parts = [_part(managed, part) for part in managed.group.parts(nodes)]
    rows = [row for part in parts for row in part["machines"]]
    if as_json:
        render.as_json({"pool": managed.pool.name, "made": False, "parts": parts, **_sum(rows)})
        return
    for part in parts:
        print(f"{part['kind']} {part['name']}\n    {part['detail']}")
        for row in part["machines"]:
            price = render.usd(row["usd_per_hour"]) if row["usd_per_hour"] else "a price that is not known"
            print(f"    {row['count']} × {row['type']}, {row['tier']}: {price} per hour {row['offer']}".rstrip())
    print(f"{_in_words(rows)}. Nothing was made.")


def _part(managed: ManagedCluster, part: NodePart) -> dict[str, Any]:
    rows = []
    for each in part.machines:
        offer = managed.price(each, datetime.now(UTC).date())
        rows.append(
            {
                "type": each.sku,
                "tier": each.tier.value,
                "count": each.count,
                "usd_per_hour": _amount(offer.usd_per_hour * each.count if offer else None),
                "offer": f"({offer.id} of {offer.valid_from})" if offer else "",
            }
        )
    return {"kind": part.kind, "name": part.name, "detail": part.detail, "machines": rows}


def _print(managed: ManagedCluster, cluster: NodeCluster, as_json: bool) -> None:
    now = datetime.now(UTC)
    rows = [_row(managed, node, now) for node in cluster.nodes]
    about = {"pool": managed.pool.name, "cluster": cluster.name, "provider": cluster.provider, "region": cluster.region}
    if as_json:
        render.as_json({**about, "wanted": cluster.wanted, "nodes": rows, **_sum(rows)})
        return
    render.table(_NODES, rows)
    print(_in_words(rows))


def _row(managed: ManagedCluster, node: Node, now: datetime) -> dict[str, Any]:
    usd = managed.usd_per_hour(node, now.date()) if node.up else Decimal(0)
    return {
        "node": node.node_id,
        "role": "head" if node.head else "node",
        "state": node.state.value,
        "type": node.sku,
        "tier": node.tier.value,
        "zone": node.zone,
        "address": node.address,
        "up_s": max(now.timestamp() - node.started_ns / 1e9, 0) if node.up else None,
        "usd_per_hour": _amount(usd),
        "note": node.note,
    }


def _amount(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd.normalize():f}"


def _sum(rows: Sequence[Row]) -> dict[str, Any]:
    known = sum((Decimal(row["usd_per_hour"]) for row in rows if row["usd_per_hour"] is not None), Decimal(0))
    return {"usd_per_hour": _amount(known), "without_known_price": sum(row["usd_per_hour"] is None for row in rows)}


def _in_words(rows: Sequence[Row]) -> str:
    total = _sum(rows)
    lacking = total["without_known_price"]
    return f"{render.usd(total['usd_per_hour'])} per hour" + (f", and {lacking} of unknown price" if lacking else "")


def _text(name: str, head: str, **more: Any) -> Column:
    return Column(head=head, cell=lambda row: str(row[name]), **more)


_PRICE = Column(head="per hour", cell=lambda row: render.usd(row["usd_per_hour"]), right=True)
_NODES = (
    _text("node", "node"),
    _text("role", "role"),
    _text("state", "state"),
    _text("type", "type", spare=2),
    _text("tier", "tier"),
    _text("zone", "zone", spare=3),
    _text("address", "address", spare=1),
    Column(head="up", cell=lambda row: render.seconds(row["up_s"]), right=True),
    _PRICE,
    _text("note", "note", wrap=True, spare=4),
)
