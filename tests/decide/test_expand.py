from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from broker.decide.expand import expand, task_count, tasks
from broker.model.jobs import JobSpec, JobState

NOW = 1_795_000_000 * 10**9


def test_one_job_keeps_the_id() -> None:
    (job,) = expand(JobSpec(name="one", run="true"), "abc", "ann", NOW)
    assert (job.id, job.user, job.submitted_ns, job.state) == ("abc", "ann", NOW, JobState.QUEUED)
    assert job.array_id is None and job.array_index is None and job.task_envs == {}


def test_an_array_of_one_is_an_array() -> None:
    (job,) = expand(JobSpec(name="one", run="true", array_size=1), "abc", "ann", NOW)
    assert (job.id, job.array_id, job.array_index) == ("abc.0", "abc", 0)


def test_the_first_of_very_many_is_made_alone() -> None:
    job = next(tasks(JobSpec(name="m", run="true", array_size=10**15, matrix={"SEED": ("1", "2")}), "m", "ann", NOW))
    assert (job.id, job.task_envs) == ("m.0", {"SEED": "1"})


@given(
    size=st.none() | st.integers(1, 5),
    matrix=st.dictionaries(
        st.sampled_from(["LR", "SEED", "MODEL"]),
        st.lists(st.text("abc", min_size=1), min_size=1, max_size=3).map(tuple),
    ),
)
def test_each_combination_runs_as_often_as_asked(size: int | None, matrix: dict[str, tuple[str, ...]]) -> None:
    spec = JobSpec(name="m", run="true", array_size=size, matrix=matrix)
    jobs = expand(spec, "m", "ann", NOW)
    assert len(jobs) == task_count(spec)
    if size is None and not matrix:
        return
    assert [job.id for job in jobs] == [f"m.{index}" for index in range(len(jobs))]
    assert [job.array_index for job in jobs] == list(range(len(jobs)))
    combinations = [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]
    assert [job.task_envs for job in jobs] == [envs for envs in combinations for _ in range(size or 1)]
