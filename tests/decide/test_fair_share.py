"""Projects take turns by what they have for their weight; nobody waits for ever; long queues cost nothing."""

import time
from collections import defaultdict
from dataclasses import replace
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from broker.decide.fair_share import in_turn, share
from broker.model.projects import Holding
from tests.decide.placing import NOW
from tests.decide.test_quotas import job

THERE = {"cpus": 100.0, "gpus": 10.0, "L4": 10.0}
WEIGHTS = {"p": 1.0, "q": 2.0}


def turns(queues, holdings=(), weights=WEIGHTS, limit=100) -> list[str]:
    return [each.id for each in in_turn(queues, weights, holdings, THERE, limit)]


def queue(project: str, number: int, gpus: float = 1) -> list:
    return [job(f"{project}{n}", gpus, project=project) for n in range(number)]


def test_projects_take_turns_by_their_weights_and_keep_their_own_order() -> None:
    found = turns({"p": queue("p", 6), "q": queue("q", 6)}, limit=9)
    assert [name for name in found if name[0] == "p"] == ["p0", "p1", "p2"]
    assert [name for name in found if name[0] == "q"] == ["q0", "q1", "q2", "q3", "q4", "q5"]


def test_nothing_is_ordered_beyond_what_is_known_of_a_queue() -> None:
    queues = {"p": queue("p", 2), "q": queue("q", 9)}
    everything = in_turn(queues, WEIGHTS, (), THERE, 100)
    known = in_turn(queues, WEIGHTS, (), THERE, 100, ["p"])
    assert known == everything[: len(known)] and known[-1].id == "p1" and len(everything) == 11


def test_who_has_much_already_waits_until_others_have_as_much() -> None:
    has = Holding(project="q", user="a", gpu_model="L4", gpus=6, cpus=6, jobs=6)
    assert turns({"p": queue("p", 4), "q": queue("q", 4)}, [has])[:4] == ["p0", "p1", "p2", "p3"]


def test_the_dominant_resource_counts() -> None:
    assert share({"cpus": 50.0, "gpus": 1.0, "L4": 1.0, "unknown": 9.0}, THERE) == 0.5
    wide = job("wide", 0, project="p")
    assert turns({"p": [wide, *queue("p", 1)], "q": queue("q", 2)}, limit=3)[:3] == ["wide", "q0", "p0"]


@given(
    weights=st.fixed_dictionaries({name: st.sampled_from([0.5, 1.0, 3.0]) for name in "pqr"}),
    sizes=st.fixed_dictionaries({name: st.integers(1, 4) for name in "pqr"}),
    ends=st.randoms(use_true_random=False),
)
def test_nobody_starves_while_others_keep_submitting(weights, sizes, ends) -> None:
    """Every project has a queue without end of jobs of its own size; ten GPUs, of which some job always ends."""
    running, begun, at = [], defaultdict(int), count(NOW)

    def submitted(name: str):
        return replace(job(name, sizes[name], project=name), submitted_ns=next(at))

    queues = {name: [submitted(name)] for name in "pqr"}
    waits: defaultdict[str, int] = defaultdict(int)
    for _ in range(120):
        holdings = [
            Holding(project=name, user="a", gpu_model="L4", gpus=size, cpus=1, jobs=1) for name, size in running
        ]
        first = in_turn(queues, weights, holdings, THERE, 1)[0]
        name, size = first.spec.project, sizes[first.spec.project]
        least = min(share(_has(holdings, other), THERE) / weights[other] for other in "pqr")
        assert share(_has(holdings, name), THERE) / weights[name] <= least + 1e-9
        if sum(held for _, held in running) + size <= 10:
            running.append((name, size))
            begun[name] += 1
            queues[name] = [submitted(name)]
            for other in "pqr":
                waits[other] = 0 if other == name else waits[other] + 1
        else:
            running.pop(ends.randrange(len(running)))  # who is first holds the place: nobody is let past
    assert set(begun) == set("pqr")
    assert max(waits.values()) <= 70  # at most what heavier ones get meanwhile


def _has(holdings, project: str) -> dict[str, float]:
    gpus = sum(each.gpus for each in holdings if each.project == project)
    jobs = sum(1 for each in holdings if each.project == project)
    return {"gpus": gpus, "L4": gpus, "cpus": float(jobs)}


def test_a_page_of_long_queues_is_chosen_at_once() -> None:
    queues = {name: queue(name, 1_000) for name in "abcdefghij"}
    began = time.thread_time()
    assert len(turns(queues, weights=dict.fromkeys(queues, 1.0), limit=1_000)) == 1_000
    assert time.thread_time() - began < 2.0  # hundredths on a quiet machine
