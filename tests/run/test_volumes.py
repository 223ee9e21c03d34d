"""Volumes on both databases, and their folders: what is in use stays, and nobody's data is taken for a new volume."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.model.errors import Conflict, InvalidInput, UnknownName
from broker.model.jobs import Job, JobSpec, JobState
from broker.model.projects import Project
from broker.model.volumes import Access, Volume, variable
from broker.ports import Store
from broker.run.volume_access import check_access, with_volumes
from broker.run.volumes import MOST_FILES, Volumes
from broker.testing.store_values import job

DATA = Volume(name="data", place="local", user="mia", created_ns=5)


def using(job_id: str, run: str, **fields: Any) -> Job:
    return job(job_id, spec=JobSpec(name="work", run=run, volumes_at="local", **fields))


def test_volumes_are_kept_listed_and_removed(store: Store) -> None:
    other = replace(DATA, name="a-1", place="modal")
    for volume in (DATA, other):
        store.add_volume(volume)
    assert store.volumes() == (other, DATA)
    assert store.volume("data") == DATA
    with pytest.raises(Conflict, match="data"):
        store.add_volume(replace(DATA, place="modal"))
    store.drop_volume("data")
    for ask in (store.volume, store.drop_volume):
        with pytest.raises(UnknownName, match="volume list"):
            ask("data")


def test_one_that_a_job_uses_which_has_not_ended_is_not_removed(store: Store) -> None:
    store.add_volume(DATA)
    uses = using("uses", "true", volumes={"/d": "data"})
    names = using("names", "echo data", tags={"data": "data"}, volumes={"/d": "data-2"})
    store.add_jobs([uses], "{}", "1")
    store.add_jobs([names], "{}", "2")
    assert store.job("uses").spec == uses.spec
    assert store.jobs_with("data", 10) == ("uses",)
    with pytest.raises(Conflict, match="in use by uses"):
        store.drop_volume("data")
    store.record(jobs=[replace(uses, state=JobState.SUCCEEDED)])
    assert store.jobs_with("data", 10) == ()
    store.drop_volume("data")


def test_who_uses_it_is_named_at_most_three_times(store: Store) -> None:
    store.add_volume(DATA)
    for number in range(5):
        store.add_jobs([using(f"j{number}", f"echo {number}", volumes={"d": "data"})], "{}", str(number))
    with pytest.raises(Conflict, match="in use by j0, j1, j2 and others"):
        store.drop_volume("data")


def test_folders_are_made_measured_and_removed(tmp_path: Path) -> None:
    folders = Volumes(tmp_path / "volumes")
    folders.make(DATA)
    folder = folders.folder(DATA)
    assert folder == tmp_path / "volumes" / "data"
    assert folder.stat().st_mode & 0o077 == 0
    assert folders.size_bytes(DATA) == 0
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_bytes(b"x" * 1_000)
    (folder / "link").symlink_to("/etc/passwd")
    assert folders.size_bytes(DATA) == 1_000 + len("/etc/passwd")
    with pytest.raises(Conflict, match="not empty"):
        folders.make(DATA)
    assert folders.remove(DATA) and folders.remove(DATA)
    assert not folder.exists()


def test_what_is_elsewhere_is_neither_measured_nor_removed(tmp_path: Path) -> None:
    folders, at_modal = Volumes(tmp_path), replace(DATA, place="modal")
    folders.make(at_modal)
    assert (folders.size_bytes(at_modal), folders.remove(at_modal), list(tmp_path.iterdir())) == (None, False, [])
    shared = replace(DATA, place=str(tmp_path))
    folders.make(shared)
    assert folders.size_bytes(shared) == 0
    assert (folders.root("local"), folders.root("/mnt/x")) == (str(tmp_path), "/mnt/x")


def test_too_many_files_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Volumes(tmp_path)
    folders.make(DATA)
    monkeypatch.setattr("os.walk", lambda _: iter([("there", [], ["x"] * (MOST_FILES + 1))]))
    assert folders.size_bytes(DATA) is None


def spec(project: str = DATA.project, **volumes: str) -> JobSpec:
    return JobSpec(name="work", run="true", volumes=volumes, project=project)


def test_all_volumes_of_a_job_are_in_one_place() -> None:
    known = (DATA, replace(DATA, name="cache"), replace(DATA, name="far", place="modal"))
    assert with_volumes(spec(a="data", b="cache"), known).volumes_at == "local"
    with pytest.raises(InvalidInput, match="data is at local and far is at modal"):
        with_volumes(spec(a="data", b="far"), known)
    with pytest.raises(InvalidInput, match=r"volumes.b: .*default has no volume 'none'.*volume create none") as caught:
        with_volumes(spec(a="data", b="none"), known)
    assert not isinstance(caught.value, UnknownName)


def test_a_volume_is_its_projects_and_of_whom_it_is_shared_with() -> None:
    hers = replace(DATA, project="vision", shares={"speech": Access.READ})
    assert [hers.access(each) for each in ("vision", "speech", "default")] == [Access.WRITE, Access.READ, None]
    assert with_volumes(spec("vision", a="data"), [hers]).volumes_read_only == ()
    assert with_volumes(spec("speech", a="data", b="data"), [hers]).volumes_read_only == ("data",)
    said = r"default has no volume '{}'.*volume share {} --project default`; it may use: none"
    for name in ("data", "none"):  # what is another project's is as if it were not there
        with pytest.raises(InvalidInput, match=said.format(name, name)):
            with_volumes(spec(a=name), [hers])


def test_the_wider_of_two_shares_counts() -> None:
    assert replace(DATA, project="v", shares={"*": Access.READ, "s": Access.WRITE}).access("s") is Access.WRITE
    assert replace(DATA, project="v", shares={"*": Access.WRITE, "s": Access.READ}).access("s") is Access.WRITE


def test_who_may_do_less_than_when_a_job_was_submitted_is_told_so() -> None:
    submitted = with_volumes(spec("speech", a="data"), [replace(DATA, shares={"*": Access.WRITE})])
    check_access(submitted, replace(DATA, shares={"*": Access.WRITE}))
    with pytest.raises(InvalidInput, match="speech may only read the volume data by now"):
        check_access(submitted, replace(DATA, shares={"*": Access.READ}))
    with pytest.raises(InvalidInput, match="speech has no volume 'data'"):
        check_access(submitted, DATA)
    check_access(replace(submitted, volumes_read_only=("data",)), replace(DATA, shares={"*": Access.READ}))


def test_it_is_shared_unshared_and_given_away(store: Store) -> None:
    for name in ("vision", "speech"):
        store.add_project(Project(name=name))
    store.add_volume(replace(DATA, project="vision"))
    with pytest.raises(InvalidInput, match="no project 'nobody'"):
        store.add_volume(replace(DATA, name="other", project="nobody"))
    assert store.share_volume("data", "speech", Access.READ).shares == {"speech": Access.READ}
    store.share_volume("data", "*", Access.READ)
    both = {"speech": Access.WRITE, "*": Access.READ}
    assert store.share_volume("data", "speech", Access.WRITE) == replace(DATA, project="vision", shares=both)
    assert store.volume("data").shares == both
    assert store.share_volume("data", "*", None).shares == {"speech": Access.WRITE}
    for change in (store.share_volume, store.give_volume):
        rest = (Access.READ,) if change == store.share_volume else ()
        with pytest.raises(InvalidInput, match="no project 'nobody'"):
            change("data", "nobody", *rest)
        with pytest.raises(UnknownName, match="volume list"):
            change("none", "speech", *rest)
    given = store.give_volume("data", "speech")
    assert (given.project, given.shares) == ("speech", {})  # its own share is none


def test_a_project_with_volumes_stays_and_leaves_no_share_behind(store: Store) -> None:
    for name in ("vision", "speech"):
        store.add_project(Project(name=name))
    store.add_volume(replace(DATA, project="vision"))
    store.share_volume("data", "speech", Access.WRITE)
    with pytest.raises(Conflict, match="'vision' has volumes, data for one"):
        store.drop_project("vision")
    assert "vision" in {each.name for each in store.projects()}
    store.drop_project("speech")
    store.add_project(Project(name="speech"))
    assert store.volume("data").shares == {}


def test_volumes_from_before_they_had_projects_stay_everybodys(store: Store) -> None:
    """As the migration leaves them: by what the columns are without being said."""
    with store._write() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql(
            "INSERT INTO volumes (name, place, user_name, created_ns) VALUES ('data', 'local', 'mia', 5)"
        )
    assert store.volume("data") == replace(DATA, shares={"*": Access.WRITE})


def test_a_job_finds_a_volume_by_its_name() -> None:
    assert variable("run-1_data") == "BROKER_VOLUME_RUN_1_DATA"
