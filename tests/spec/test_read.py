"""Three ways in, one validation: each problem has its place, all are said at once, and flags win over the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import InvalidInput
from broker.spec.check import World
from broker.spec.document import JobDocument
from broker.spec.read import Parsed, from_flags, from_mapping, from_python, read_yaml

NOW_NS = 1_800_000_000 * 10**9  # 2027-01-15


def refused(text: str, world: World | None = None) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read_yaml(text, world=world or World(now_ns=NOW_NS, gpu_models=()))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("acelerators: H100", "job.yaml:2: acelerators: unknown field (did you mean 'accelerators'?)"),
        (
            "resources: {acelerators: H100}",
            "job.yaml:2: resources.acelerators: unknown field (did you mean 'accelerators'?)",
        ),
        ("resources:\n  cpus: -1", "job.yaml:3: resources.cpus: must be more than zero, not '-1'"),
        (
            "resources: {memory: .nan}",
            "resources.memory: must be a size like 32GB, 16GiB or 32 (GB), not '.nan'",
        ),
        ("resources: {memory: 1000000}", "is more than 64 TB"),
        ("resources: {num_nodes: 0}", "resources.num_nodes: must be a number of nodes between 1 and 1,000, not '0'"),
        ("gpus: 10000", "job.yaml:2: gpus: 10000 GPUs are more than 128, the most of one node"),
        ("gpu: H100:100\nnodes: 100", "job.yaml:2: gpu: 10000 GPUs on all nodes are more than 4096"),
        ("gpu: H10O:8", "job.yaml:2: gpu: unknown GPU H10O (did you mean H100"),
        ("argv: [ls]", "job.yaml:2: argv: run is given too: a job runs one of them"),
        ("priority: 101", "job.yaml:2: priority: must be a priority between 0 and 100, not '101'"),
        ("priority: high", "job.yaml:2: priority: must be a number, not 'high'"),
        ("envs: [1X=2]", "job.yaml:2: envs.1X: '1X' is no name of an environment variable"),
        ("envs: {BROKER_POOL: x}", "job.yaml:2: envs.BROKER_POOL: BROKER_POOL is set by the broker"),
        ("envs: {A: [1]}", "job.yaml:2: envs.A: must be text, not a list"),
        ("envs: {A: 1}\nsecrets: [A]", "job.yaml:3: secrets: A is an environment variable with a value, too"),
        (
            "envs: {A: 1}\nsecret_files: {A: S}",
            "job.yaml:3: secret_files.A: is an environment variable with a value, too",
        ),
        (
            "secrets: [A]\nsecret_files: {A: S}",
            "job.yaml:3: secret_files.A: is an environment variable with a value, too",
        ),
        ("secret_files: [KEY]", "job.yaml:2: secret_files"),
        ("secrets: {A: hunter2}", "job.yaml:2: secrets.A: must have no value here"),
        ("setup: ''", "job.yaml:2: setup: must not be empty"),
        ("requirements: {a: b}", "job.yaml:2: requirements: must be a list, not a map"),
        ("requirements: ['--index-url=x']", "job.yaml:2: requirements[0]: --index-url=x is an option of pip"),
        ("resources: [1]", "job.yaml:2: resources: any_of and ordered must be lists of maps"),
        ("resources: x", "job.yaml:2: resources: must be a map of fields (name: value), not 'x'"),
        ("placement: [ray]", "job.yaml:2: placement: must be a map of fields (name: value), not a list"),
        ("max_duration: soon", "job.yaml:2: max_duration: must be a time like 30s, 10m, 6h, 2d or 1h30m"),
        ("timeout: 0", "job.yaml:2: timeout: must be longer than zero"),
        ("max_duration: 1h\nest_runtime: 2h", "job.yaml:3: est_runtime: is 7200 s, longer than max_duration (3600 s)"),
        ("deadline: 2020-01-01T00:00:00Z", "job.yaml:2: deadline: 2020-01-01T00:00:00Z is in the past"),
        ("deadline: 2030-01-01", "job.yaml:2: deadline: 2030-01-01 says no time zone"),
        ("deadline: +1h\nmax_wait: 2h", "job.yaml:3: max_wait: is 7200 s, beyond the deadline"),
        (
            "deadline: +1h\nest_runtime: 2h",
            "job.yaml:3: est_runtime: is 7200 s, longer than the 3600 s until",
        ),
        ("array: 100001", "job.yaml:2: array: must be a number of tasks between 1 and 100,000"),
        ("array: 1000\nmatrix: {A: [1, 2], B: [" + "1, " * 99 + "1]}", "job.yaml:3: matrix: makes 200,000 tasks"),
        ("matrix: {" + ", ".join(f"A{n}: [1, 2]" for n in range(20_000)) + "}", "matrix: makes 131,072 tasks or more"),
        ("array: 100000\nmatrix: {A: [" + 200 * "x" + "]}", "matrix: gives all tasks together 19 MiB of variables"),
        ("tags: {" + ", ".join(f"k{n}: v" for n in range(65)) + "}", "job.yaml:2: tags: are 65, and 64 are the most"),
        (
            "array: 100000\ntags: {" + ", ".join(f"k{n}: v" for n in range(11)) + "}",
            "job.yaml:3: tags: are kept for each",
        ),
        ("secrets: [" + ", ".join(f"S{n}" for n in range(129)) + "]", "job.yaml:2: secrets: are 129, and 128 are the"),
        (
            "secret_files: {" + ", ".join(f"S{n}: T" for n in range(129)) + "}",
            "secret_files: are 129, and 128 are the most",
        ),
        (
            "gpus: [" + ", ".join(f"G{n}" for n in range(65)) + "]",
            "job.yaml:2: gpus: are 65, and 64 are the most of one job",
        ),
        ("regions: [" + ", ".join(f"r{n}" for n in range(1_001)) + "]", "regions: are 1,001, and 1,000 are the most"),
        ("matrix: {A: []}", "job.yaml:2: matrix.A: has no values"),
        ("matrix: {A: 1}", "job.yaml:2: matrix.A: must be a list, not '1'"),
        ("matrix: {A: [1]}\nenvs: {A: 2}", "job.yaml:2: matrix.A: is set in envs, too"),
        ("infra: a\nplacement: {not_pools: [a]}", "job.yaml:3: placement.not_pools: a is allowed in pools, too"),
        ("placement: {isolation: none}", "placement.isolation: must be 'shared' or 'dedicated', not 'none'"),
        (
            "spot_policy: spt",
            "must be 'auto', 'spot' or 'on-demand', not 'spt' (did you mean 'spot'?)",
        ),
        ("id: Train", "job.yaml:2: id: must be 1 to 63 of a-z, 0-9"),
        ("id: train.7", "job.yaml:2: id: train.7 looks like a task of an array"),
        ("type: service", "job.yaml:2: type: service is not run here, only jobs that end: task"),
        ("retry: {max_attempts: 0}", "job.yaml:2: retry.max_attempts: must be a number of attempts between 1 and 100"),
        ("retry: {backoff: 1h}", "job.yaml:2: retry.max_backoff: is less than backoff (3600 s)"),
        (
            "retry: {on: [eror]}",
            "retry.on[0]: must be 'no-capacity', 'interruption' or 'error', not 'eror'",
        ),
        ("max_cost: 0", "job.yaml:2: max_cost: must be more than $0"),
        ("image_id: ami-0123", "job.yaml:2: image_id: ami-0123 is an image of a virtual machine"),
        ("name: 'a\tb'", "job.yaml:2: name: must be 1 to 100 letters"),
        ("tags: {a: 'x'}\nlabels: {b: y}", "job.yaml:3: labels: is the same field as tags"),
        ("runtime_env: {konda: x}", "job.yaml:2: runtime_env.konda: unknown field"),
        ("workdir: nowhere", "job.yaml:2: workdir: "),
        ("file_mounts: {a: nowhere}", "job.yaml:2: file_mounts.a: "),
    ],
)
def test_is_refused_with_line_and_field(written: str, said: str) -> None:
    (line,) = refused(f"run: x\n{written}\n")
    assert said in line


def test_nothing_to_run() -> None:
    assert refused("name: x") == ["job.yaml: nothing to run: give run, or a command after --"]
    assert refused("") == ["job.yaml: nothing to run: give run, or a command after --"]


def test_every_problem_is_said_in_the_order_of_the_file() -> None:
    said = refused("run: x\npriority: 1000\nresources:\n  cpus: 0\nnmae: y\narray: -1\n")
    assert [line.split(": ")[0] for line in said] == [f"job.yaml:{line}" for line in (2, 4, 5, 6)]


def test_a_file_of_nothing_but_problems_says_the_first_hundred() -> None:
    said = refused("run: x\n" + "".join(f"X{n}: y\n" for n in range(50_000)))
    assert said[:2] == [f"job.yaml:{line}: X{line - 2}: unknown field, and none has a name like it" for line in (2, 3)]
    assert len(said) == 100


def test_a_value_of_the_environment_is_never_repeated() -> None:
    secret = "hunter2" * 20_000
    for text in (f"envs: {{A: {secret}}}", f"secrets: {{A: {secret[:100]}}}", f"env: {{'1A': {secret[:100]}}}"):
        assert "hunter2" not in "".join(refused(f"run: x\n{text}"))
    for name, value in (
        ("envs", b"hunter2"),
        ("secrets", b"hunter2"),
        ("secrets", ["A=hunter2"]),
        ("secret_files", {"A": "hunter2-hunter2"}),
    ):
        with pytest.raises(InvalidInput) as caught:
            from_python(run="x", **{name: value})
        assert "hunter2" not in str(caught.value)


def test_flags_are_named_as_flags() -> None:
    with pytest.raises(InvalidInput) as caught:
        from_flags({"resources.accelerators": "H100:x", "priority": "9000", "max_cost": "-1"}, ["ls"])
    assert sorted(problem.field for problem in caught.value.problems) == ["--gpus", "--max-cost", "--priority"]
    assert all(problem.file == "" and problem.line is None for problem in caught.value.problems)


def test_a_flag_for_a_part_of_what_another_gives() -> None:
    with pytest.raises(InvalidInput, match="--attempts: is part of what another flag gives whole"):
        from_flags({"retry": "3", "retry.max_attempts": "5"}, ["ls"])


def test_flags_override_the_file(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text(
        "run: old\ngpu: L4\ncpus: 2\nenv: [A=1, B=2]\nsecrets: [S]\nmax_duration: 1h\nretries: 2\ntags: {x: y}"
    )
    flags = {
        "resources.accelerators": "H100:2",
        "envs": ["B=3", "C=4"],
        "secrets": ("T",),
        "retry.max_attempts": "9",
        "max_cost": None,
        "tags": [],
    }
    job = from_flags(flags, ["python", "new.py"], file=file).document
    assert (job.name, job.run, job.argv) == ("train", None, ("python", "new.py"))
    assert [gpu.model for gpu in job.resources.accelerators.choices] == ["H100"] and job.resources.cpus == 2
    assert job.envs == {"A": "1", "B": "3", "C": "4"} and job.secrets == ("S", "T")
    assert (job.max_duration, job.retry.max_attempts, "error" in job.retry.on_events) == (3_600, 9, True)
    assert job.tags == {"x": "y"}


def test_a_problem_is_placed_where_the_value_that_counts_was_written(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("run: x\npriority: 1000\narray: 0\n")
    with pytest.raises(InvalidInput) as caught:
        from_flags({"priority": "2000"}, file=file)
    assert str(caught.value).splitlines() == [
        "--priority: must be a priority between 0 and 100, not '2000'",
        f"{file}:3: array: must be a number of tasks between 1 and 100,000, not '0'",
    ]


def test_three_ways_in_say_the_same() -> None:
    text = "run: python t.py\ngpu: H100:8\nmemory: 32+\nmax_duration: 1h30m\nenvs: {A: 1}\narray: 3\ninfra: ray"
    flags = {
        "run": "python t.py",
        "resources.accelerators": "H100:8",
        "resources.memory": "32+",
        "max_duration": "1h30m",
        "envs": ["A=1"],
        "array": "3",
        "placement.pools": ["ray"],
    }
    call = {"gpu": {"H100": 8}, "memory": 32, "max_duration": 5400, "envs": {"A": "1"}, "array": 3, "pools": ["ray"]}
    documents = [read_yaml(text), from_flags(flags), from_python(run="python t.py", **call)]
    assert len({parsed.document.model_dump_json() for parsed in documents}) == 1


def test_paths_are_meant_from_the_file_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "data.csv").write_text("1")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    file = tmp_path / "job.yaml"
    file.write_text("run: x\nworkdir: code\nfile_mounts: {in/data.csv: data.csv}\nrequirements: requirements.txt\n")
    job = read_yaml(file).document
    assert job.workdir == str(tmp_path / "code")
    assert job.file_mounts == {"in/data.csv": str(tmp_path / "data.csv")}
    assert job.requirements == ("numpy",)


def test_a_body_of_a_request_has_no_folder_of_its_own() -> None:
    with pytest.raises(InvalidInput, match="workdir: code must be an absolute path"):
        from_mapping({"run": "x", "workdir": "code"})


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none.yaml: can't be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InvalidInput, match="can't be read: Is a directory"):
        read_yaml(tmp_path)


@pytest.mark.parametrize("text", ["a\0b", "\udcff"])
def test_text_that_no_process_can_be_given(text: str) -> None:
    with pytest.raises(InvalidInput):
        from_flags({}, ["echo", text])
    with pytest.raises(InvalidInput):
        from_python(run="x", envs={"A": text})


def test_a_script_that_is_too_long_for_a_process() -> None:
    with pytest.raises(InvalidInput, match="run: is longer than 131,071 bytes"):
        from_python(run="x" * 131_072)


def test_models_of_pools_are_known() -> None:
    text = "run: x\ngpu: MI300X:8"
    assert "unknown GPU MI300X" in refused(text)[0]
    assert read_yaml(text, world=World(gpu_models=["MI300X"])).document
    assert read_yaml(text, world=World()).document, "nothing is known of models: nothing is refused"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = [*JobDocument.model_fields, "gpu", "retries", "job_recovery", "runtime_env", "infra", "env", "files", "repos"]


@given(st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=4))
def test_any_values_are_a_job_or_are_refused(fields: dict) -> None:
    try:
        assert isinstance(from_mapping({"run": "x", **fields}), Parsed)
    except InvalidInput as error:
        assert error.problems and all(problem.message for problem in error.problems)


@given(st.sampled_from(["resources", "retry", "placement"]), st.data())
def test_any_values_inside_are_a_job_or_are_refused(part: str, data: st.DataObject) -> None:
    known = list(JobDocument.model_fields[part].annotation.model_fields)
    names = st.sampled_from([*known, "any_of", "ordered", "infra", "use_spot", "on", "max_retries"])
    fields = data.draw(st.dictionaries(names, JUNK | st.lists(st.dictionaries(names, JUNK, max_size=2), max_size=2)))
    try:
        from_mapping({"run": "x", part: fields})
    except InvalidInput as error:
        assert error.problems


def test_what_is_wrong_in_different_ways_is_said_at_once() -> None:
    said = refused("run: x\nservice: {a: b}\nfile_mounts: {a: nowhere}\nest_runtime: 2h\nmax_duration: 1h\n")
    assert [line.split(": ")[1] for line in said] == ["service", "file_mounts.a", "est_runtime"]
