"""Quotas: never passed, with who uses them said, and nobody overtakes who waits for one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.quotas import Quotas, held, impossible
from broker.model.jobs import Job, JobSpec, JobState
from broker.model.placement import Verdict
from broker.model.projects import Holding, Project, Quota
from broker.model.resources import Gpu, ResourceRequest
from tests.decide.placing import NO_RULES, NOW, cluster, dispatch, estimate, node, state

BIG = cluster(unit=node(cpus=64, gib=512, gpus=16), max_units=4)


def job(id: str, gpus: float = 1, user: str = "mia", project: str = "vision", nodes: int = 1, model: str = "L4") -> Job:
    asked = ResourceRequest(gpu_choices=(Gpu(model=model, count=gpus),) if gpus else (), num_nodes=nodes)
    spec = JobSpec(name="work", argv=("true",), resources=asked, project=project)
    return Job(id=id, spec=spec, state=JobState.QUEUED, user=user, submitted_ns=NOW)


def place(jobs: list[Job], projects: list[Project], holdings: Sequence[Holding] = ()):
    durations = {each.id: estimate(each.spec, ()) for each in jobs}
    quotas = Quotas(projects, holdings)
    return dispatch(jobs, [state(BIG, units=4)], durations, NOW, NO_RULES, quotas=quotas)


def vision(**fields) -> Project:
    return Project(name="vision", **fields)


def test_a_job_over_quota_waits_and_says_for_which_and_who_uses_it() -> None:
    users = [("ann", 3), ("ben", 2), ("cem", 1), ("dea", 1)]
    holdings = [Holding(project="vision", user=u, gpu_model="L4", gpus=n, cpus=1, jobs=1) for u, n in users]
    (placement,) = place([job("a", 2)], [vision(quota=Quota(gpus={"L4": 8}))], holdings)
    assert held(placement)
    said = "quota of project vision: 7 of 8 L4 in use (ann 3, ben 2, dea 1, and 1 more), and this job needs 2"
    assert placement.reason == f"held by {said}"
    (mine,) = place([job("a", 2, user="ann")], [vision(user_quota=Quota(gpus={"L4": 4}))], holdings)
    assert mine.reason == "held by quota of ann in project vision: 3 of 4 L4 in use, and this job needs 2"


def test_nobody_overtakes_who_waits_for_a_quota_but_others_go_on() -> None:
    jobs = [job("large", 4), job("small", 1), job("plain", 0), job("other", 1, project="speech")]
    holding = Holding(project="vision", user="ann", gpu_model="L4", gpus=2, cpus=1, jobs=1)
    placements = place(jobs, [vision(quota=Quota(gpus={"L4": 4}))], [holding])
    assert [each.verdict for each in placements] == [Verdict.WAIT, Verdict.WAIT, Verdict.RUN, Verdict.RUN]
    assert "jobs that came before wait for it" in placements[1].reason


def test_a_job_with_a_choice_takes_what_its_quota_has_room_for() -> None:
    either = job("a")
    choices = (Gpu(model="H100", count=1), Gpu(model="L4", count=1))
    either = replace(either, spec=replace(either.spec, resources=ResourceRequest(gpu_choices=choices)))
    (placement,) = place([either], [vision(quota=Quota(gpus={"H100": 0}))])
    assert (placement.verdict, placement.chosen.resources.gpu_model) == (Verdict.RUN, "L4")


limits = st.none() | st.integers(0, 4)
quota = st.builds(Quota, gpus=st.dictionaries(st.just("L4"), st.integers(0, 6), max_size=1), jobs_running=limits)
jobs_ = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab"), st.sampled_from(["p", "q"])), max_size=12)


@given(projects=st.fixed_dictionaries({name: st.tuples(quota, quota) for name in ("p", "q")}), asked=jobs_, held_=jobs_)
def test_no_quota_is_ever_passed_by_what_begins(projects, asked, held_) -> None:
    jobs = [job(f"j{n}", gpus, user, project) for n, (gpus, user, project) in enumerate(asked)]
    there = [Project(name=name, quota=q, user_quota=u) for name, (q, u) in projects.items()]
    holdings = [Holding(project=p, user=u, gpu_model="L4" if g else "", gpus=g, cpus=1, jobs=1) for g, u, p in held_]
    placements = place(jobs, there, holdings)
    before, after = Counter(), Counter()
    for gpus, user, project in held_:
        for whose in (None, user):
            before.update({(project, whose, "L4"): gpus, (project, whose, "jobs"): 1})
    for each, placement in zip(jobs, placements, strict=True):
        if placement.verdict is Verdict.RUN:
            for whose in (None, each.user):
                gpus = sum(gpu.count for gpu in each.spec.resources.gpu_choices)
                after.update({(each.spec.project, whose, "L4"): gpus, (each.spec.project, whose, "jobs"): 1})
    for project in there:
        for whose in (None, "a", "b"):
            limit = project.quota if whose is None else project.user_quota
            for what, most in (*limit.gpus.items(), ("jobs", limit.jobs_running)):
                key = (project.name, whose, what)
                assert most is None or not after[key] or before[key] + after[key] <= most, key


@pytest.mark.parametrize(
    ("project", "field"),
    [
        (vision(max_priority=49), "priority"),
        (vision(quota=Quota(gpus={"L4": 3})), "resources.accelerators"),
        (vision(user_quota=Quota(gpus={"L4": 3})), "resources.accelerators"),
        (vision(quota=Quota(jobs_running=0)), "project"),
        (vision(max_priority=50, quota=Quota(gpus={"L4": 4, "H100": 0}, jobs_running=1)), None),
    ],
)
def test_what_can_never_fit_is_told(project: Project, field: str | None) -> None:
    found = impossible(job("a", gpus=2, nodes=2).spec, project)
    assert [each.field for each in found] == ([field] if field else [])
