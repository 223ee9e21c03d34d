"""What had been seen by a point in time → what may come, as several models see it: cases, and how likely each is.

On recorded clusters no one of them is best: levels persist on some and return to what is usual on others. Each is cheap
and blind to something that another sees; they are weighted by how they have done (`weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from broker.decide.forecast.past import DAY_S, Past
from broker.decide.workload import Floats

HALF_LIFE_S = 5 * DAY_S  # after which what came counts half
LONG_HALF_LIFE_S = 15 * DAY_S  # the same for errors made, and beside the short one for what came
ALIKE = 3.0  # how much more a block on the same weekday counts, or at the same time of day
ONLY_ALIKE = 100.0  # the same where the week is taken to be all that matters
LONG_SHARE = 0.15  # of the long half-life in what came
PRIOR_GPUS = (0.0, 1.0, 2.0, 4.0, 8.0)  # what may come where nothing has been seen, each as likely


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """Loads that may come, in GPUs by slot: any of `stay`, all as likely, with any of `cases`, weighted; their sum."""

    stay: Floats  # (paths, slots)
    cases: Floats  # (cases, slots)
    weights: Floats  # (cases,), of sum 1

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Sample paths, (count, slots): cases in proportion to their weights, each with some path of what stays."""
        at = (np.arange(count) + rng.random()) / max(count, 1)
        chosen = np.minimum(np.searchsorted(np.cumsum(self.weights), at), len(self.weights) - 1)
        paths: Floats = np.maximum(self.cases[chosen] + self.stay[rng.permutation(count) % len(self.stay)], 0.0)
        return paths


Model = Callable[[Past, int], Cases]


def jobs(past: Past, i: int) -> Cases:
    """Jobs that run, as long as such jobs last; with what came in one of the earlier blocks."""
    return Cases(stay=past.stay[i], cases=_coming(past, i), weights=_likely(past, i))


def corrected(past: Past, i: int) -> Cases:
    """Jobs that run and what comes, both on average; with the error that this made in one of the earlier blocks."""
    rows = past.rows(i)
    comes = _likely(past, i) @ _coming(past, i)
    errors = past.busy[rows] - past.stay[rows, :, : past.slots].mean(1) - comes[: past.slots]
    average = past.stay[i].mean(0) + comes
    return Cases(stay=average[None], cases=_onward(errors, past, i), weights=past.weights(i, LONG_HALF_LIFE_S, ALIKE))


def usual(past: Past, i: int) -> Cases:
    """What was held in one of the earlier blocks, whatever is held now."""
    return alone(_onward(past.busy[past.rows(i)], past, i), past.weights(i, HALF_LIFE_S, ALIKE))


def weekly(past: Past, i: int) -> Cases:
    """What was held on the same weekday of earlier weeks; in days before the first week is over, on any."""
    return alone(_onward(past.busy[past.rows(i)], past, i), past.weights(i, LONG_HALF_LIFE_S, ONLY_ALIKE))


def steady(past: Past, i: int) -> Cases:
    """What is held now stays."""
    return alone(np.full((1, past.ahead), past.level[i]), np.ones(1))


def unknown(past: Past, i: int) -> Cases:
    """Where no block has been seen yet: jobs that run, with a guess that is a prior and no more, `PRIOR_GPUS`."""
    cases = np.repeat(np.array(PRIOR_GPUS)[:, None], past.ahead, axis=1)
    return Cases(stay=past.stay[i], cases=cases, weights=np.full(len(cases), 1 / len(cases)))


MODELS: Mapping[str, Model] = MappingProxyType(
    {"jobs": jobs, "corrected": corrected, "usual": usual, "weekly": weekly, "steady": steady}
)
# Before any has shown how it does on the workload at hand. Round on purpose: the best on recorded clusters come first,
# and none starts so low that where it alone is right it would take weeks to show.
PRIOR_WEIGHTS = MappingProxyType({"jobs": 0.5, "corrected": 0.2, "usual": 0.1, "weekly": 0.1, "steady": 0.1})


def mixture(seen_by: Sequence[Cases], weights: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Sample paths, (count, slots), from each model's cases in proportion to its weight."""
    upto = np.round(np.cumsum(weights) / weights.sum() * count).astype(np.int64)
    counts = np.diff(upto, prepend=0)
    return np.concatenate([cases.draw(int(n), rng) for cases, n in zip(seen_by, counts, strict=True)])


def _likely(past: Past, i: int) -> Floats:
    """How likely what came in each earlier block is to come again."""
    lately, long_since = past.weights(i, HALF_LIFE_S, ALIKE), past.weights(i, LONG_HALF_LIFE_S, ALIKE)
    return (1 - LONG_SHARE) * lately + LONG_SHARE * long_since


def _coming(past: Past, i: int) -> Floats:
    """Load of what comes after block i begins, if it is as in each earlier block and in those that followed it."""
    first, slots = past.rows(i).start, past.slots
    load = np.zeros((i - first, past.ahead))
    for later, begin in enumerate(range(0, past.ahead, slots)):
        load[:, begin:] += past.come[past.followers(i, later), : past.ahead - begin]
    return load


def _onward(blocks: Floats, past: Past, i: int) -> Floats:
    """Each of the earlier blocks, with those that followed it, for as long as is asked for."""
    first = past.rows(i).start
    parts = [blocks[past.followers(i, later) - first] for later in range(-(-past.ahead // past.slots))]
    return np.concatenate(parts, axis=1)[:, : past.ahead]


def alone(cases: Floats, weights: Floats) -> Cases:
    """Loads that may come whatever runs now."""
    return Cases(stay=np.zeros((1, cases.shape[1])), cases=cases, weights=weights)
