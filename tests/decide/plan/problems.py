"""Small problems of a plan with everything in them, drawn by a seed."""

from __future__ import annotations

import numpy as np

from broker.decide.plan import Class, Kind, Offer, Problem, Scenario

RAY = frozenset({"ray"})


def drawn(seed: int, *, steps: int = 20, whole_nodes: bool = False) -> Problem:
    """Commitments of two terms, nodes that boot, spot, two kinds of serverless; classes that wait or are bound."""
    rng = np.random.default_rng(seed)

    def one(*values: float) -> float:
        return float(rng.choice(values))

    classes = (
        Class(name="eu", regions=frozenset({"eu"}), speeds={"H100": 1.0, "A100": 0.5}),
        Class(name="any", interruptible=bool(rng.integers(2)), wait_hours=one(0.0, 0.0, 1.0, 2.0)),
        Class(name="ray", runtime="ray" if rng.integers(2) else "", interruptible=False),
    )[: int(rng.integers(1, 4))]
    count = int(rng.integers(1, 3))
    shape = (len(classes), steps) if len(classes) > 1 else (steps,)
    courses = [
        np.round(np.abs(4 + 3 * np.sin(np.arange(steps) / 3) + rng.normal(0, 2, shape)), 1) for _ in range(count)
    ]
    return Problem(
        offers=_offers(one, nodes_run=4.0 if rng.integers(2) else None),
        scenarios=tuple(Scenario(gpus=course, weight=1 / count) for course in courses),
        step_hours=0.5,
        classes=classes,
        period_hours=4.0,
        whole_nodes=whole_nodes,
    )


def _offers(one, *, nodes_run: float | None) -> tuple[Offer, ...]:  # type: ignore[no-untyped-def]
    return (
        Offer(name="firm", kind=Kind.COMMITTED, usd_per_gpu_hour=1.5, node=4, gpu="H100", region="eu", runtimes=RAY),
        Offer(
            name="term",
            kind=Kind.COMMITTED,
            usd_per_gpu_hour=1.3,
            max_gpus=3,
            gpu="A100",
            region="us",
            term_hours=one(4.0, 8.0),
        ),
        Offer(
            name="nodes",
            kind=Kind.HELD,
            usd_per_gpu_hour=2.5,
            node=2,
            gpu="H100",
            region="eu",
            runtimes=RAY,
            resize_hours=one(0.5, 1.0, 2.0),
            boot_hours=one(0.0, 0.25, 0.5, 1.25),
            minimum_hours=one(0.0, 1.0, 3.0),
            start_usd=one(0.0, 0.7),
            running_gpus=nodes_run,
        ),
        Offer(
            name="spot",
            kind=Kind.HELD,
            usd_per_gpu_hour=1.0,
            gpu="A100",
            region="us",
            resize_hours=1.0,
            interruptions_per_hour=0.1,
            redo_hours=0.5,
            boot_hours=0.25,
            start_usd=0.1,
            max_gpus=4,
        ),
        Offer(
            name="burst",
            kind=Kind.SERVERLESS,
            usd_per_gpu_hour=4.5,
            gpu="H100",
            region="eu",
            runtimes=RAY,
            overhead=0.1,
            boot_hours=one(0.0, 0.05),
            start_usd=one(0.0, 0.02),
        ),
        Offer(name="other", kind=Kind.SERVERLESS, usd_per_gpu_hour=3.5, gpu="A100", region="us", max_gpus=5),
    )
