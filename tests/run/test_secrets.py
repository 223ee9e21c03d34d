"""Secrets on both databases: sealed for their name, opened with their key, sealed anew with another."""

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from broker.model.errors import Conflict, InvalidInput, StoreError, UnknownName
from broker.model.projects import Project
from broker.model.secrets import Secret
from broker.ports import Store
from broker.run.secrecy.keys import Keys
from broker.run.secrecy.secrets import Secrets
from broker.run.settings.secrets import ConfiguredSecrets
from broker.run.store.sealing import KEPT

VALUE = "s3cr3t-öäü-94817"
CONFIGURED = ConfiguredSecrets(prefix="P_", environment={"P_TOKEN": "from-environment", "P_OTHER": "other"})


def secret(version: int = 1, name: str = "TOKEN") -> Secret:
    return Secret(name=name, version=version, user="mia", created_ns=version)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "secrets.key")


@pytest.fixture
def secrets(store: Store, keys: Keys) -> Secrets:
    return Secrets(store, keys, CONFIGURED)


def test_the_newest_version_counts_before_the_configuration_and_all_are_masked(secrets: Secrets, store: Store) -> None:
    assert secrets.values(["TOKEN", "OTHER"]) == {"TOKEN": "from-environment", "OTHER": "other"}
    for version, value in ((1, "first"), (2, VALUE)):
        store.add_sealed(secrets.seal(secret(version), value))
    assert secrets.values(["TOKEN", "OTHER"]) == {"TOKEN": VALUE, "OTHER": "other"}
    assert secrets.known(["TOKEN", "NONE"]) == {"first", VALUE, "from-environment"}
    store.drop_secret("TOKEN")
    assert secrets.values(["TOKEN"]) == {"TOKEN": "from-environment"}
    with pytest.raises(UnknownName, match="broker secret set NONE"):
        secrets.values(["TOKEN", "NONE"])


def test_no_value_is_in_the_database(secrets: Secrets, store: Store, url: str, tmp_path: Path) -> None:
    sealed = secrets.seal(secret(), VALUE)
    store.add_sealed(sealed)
    assert store.sealed() == store.sealed(["TOKEN"]) == (sealed,)
    assert VALUE.encode() not in sealed.box
    assert VALUE not in repr(sealed) + repr(secrets.keys.first())
    if url.startswith("sqlite"):
        written = b"".join(file.read_bytes() for file in tmp_path.glob("store.db*"))
        assert b"TOKEN" in written
        assert VALUE.encode() not in written


def test_a_box_opens_for_its_name_and_version_only_and_untouched(secrets: Secrets) -> None:
    sealed = secrets.seal(secret(), VALUE)
    assert secrets.opened(sealed) == VALUE
    for other in (
        replace(sealed, secret=secret(name="OTHER")),
        replace(sealed, secret=secret(2)),
        replace(sealed, box=sealed.box[:-1] + bytes([sealed.box[-1] ^ 1])),
    ):
        with pytest.raises(InvalidInput, match="the database was changed") as caught:
            secrets.opened(other)
        assert VALUE not in str(caught.value)


def test_versions_are_given_once_and_the_last_ones_are_kept(secrets: Secrets, store: Store) -> None:
    for version in range(1, KEPT + 4):
        store.add_sealed(secrets.seal(secret(version), VALUE))
    assert [each.secret.version for each in store.sealed()] == list(range(KEPT + 3, 3, -1))
    with pytest.raises(Conflict, match="at the same time"):
        store.add_sealed(secrets.seal(secret(KEPT), VALUE))
    store.drop_secret("TOKEN")
    with pytest.raises(UnknownName, match="secret list"):
        store.drop_secret("TOKEN")


def test_no_project_inherits_a_secret_by_its_name(secrets: Secrets, store: Store) -> None:
    for name in ("vision", "speech"):
        store.add_project(Project(name=name))
    both = replace(secret(1, "BOTH"), projects=("speech", "vision"))
    store.add_sealed(secrets.seal(replace(secret(1), projects=("speech",)), "old"))
    store.add_sealed(secrets.seal(replace(secret(2), projects=("vision",)), VALUE))
    store.add_sealed(secrets.seal(both, VALUE))
    with pytest.raises(Conflict, match="'vision' has secrets, TOKEN for one: delete them"):
        store.drop_project("vision")
    store.drop_project("speech")
    store.add_project(Project(name="speech"))  # for which only an old version of TOKEN was
    assert [each.secret.projects for each in store.sealed(["BOTH"])] == [("vision",)]
    assert secrets.values(["BOTH"]) == {"BOTH": VALUE}
    store.drop_secret("TOKEN")
    store.add_sealed(secrets.seal(replace(secret(3), projects=("gone",)), VALUE))
    with pytest.raises(Conflict, match="TOKEN is for an earlier project 'gone'"):
        store.add_project(Project(name="gone"))


def test_the_key_file_is_its_owner_s_alone(keys: Keys, tmp_path: Path) -> None:
    file = tmp_path / "secrets.key"
    first = keys.first()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Keys(file).first() == first
    file.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600"):
        Keys(file).first()


def test_without_its_key_a_secret_says_which_is_missing(secrets: Secrets, store: Store, tmp_path: Path) -> None:
    store.add_sealed(secrets.seal(secret(), VALUE))
    (tmp_path / "secrets.key").unlink()
    elsewhere = Secrets(store, Keys(tmp_path / "secrets.key"), CONFIGURED)
    with pytest.raises(InvalidInput, match=secrets.keys.first().id):
        elsewhere.values(["TOKEN"])
    assert elsewhere.known(["TOKEN"]) == {"from-environment"}


def rotated(secrets: Secrets, store: Store) -> None:
    values = [(each.secret, secrets.opened(each)) for each in store.sealed()]
    secrets.keys.rotate()
    store.reseal([secrets.seal(made, value) for made, value in values])
    secrets.keys.keep_only({each.key_id for each in store.sealed()})


def test_a_key_that_is_exchanged_opens_nothing_any_more(secrets: Secrets, store: Store, tmp_path: Path) -> None:
    store.add_sealed(secrets.seal(secret(), VALUE))
    (before,) = store.sealed()
    rotated(secrets, store)
    (after,) = store.sealed()
    assert before.key_id != after.key_id
    assert len((tmp_path / "secrets.key").read_text().split()) == 1
    afresh = Secrets(store, Keys(tmp_path / "secrets.key"), CONFIGURED)
    assert afresh.values(["TOKEN"]) == {"TOKEN": VALUE}
    with pytest.raises(InvalidInput, match=before.key_id):
        afresh.opened(before)


def test_an_exchange_that_ends_halfway_loses_nothing_and_is_finished_by_the_next(
    secrets: Secrets, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_sealed(secrets.seal(secret(), VALUE))

    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "reseal", fail)
        with pytest.raises(StoreError):
            rotated(secrets, store)
    afresh = Secrets(store, Keys(tmp_path / "secrets.key"), CONFIGURED)
    assert afresh.values(["TOKEN"]) == {"TOKEN": VALUE}
    rotated(afresh, store)
    assert len((tmp_path / "secrets.key").read_text().split()) == 1
    assert afresh.values(["TOKEN"]) == {"TOKEN": VALUE}


def test_a_version_that_was_dropped_meanwhile_does_not_come_back(secrets: Secrets, store: Store) -> None:
    store.add_sealed(secrets.seal(secret(), VALUE))
    held = store.sealed()
    store.drop_secret("TOKEN")
    store.reseal(held)
    assert store.sealed() == ()


def test_keys_come_from_a_command_and_its_first_is_the_new_one(store: Store, tmp_path: Path) -> None:
    first, second = Keys(tmp_path / "a"), Keys(tmp_path / "b")
    first.first(), second.first()
    said = tmp_path / "said"
    said.write_text((tmp_path / "a").read_text())
    secrets = Secrets(store, Keys(tmp_path / "none", f"cat {said}"), CONFIGURED)
    store.add_sealed(secrets.seal(secret(), VALUE))
    said.write_text((tmp_path / "b").read_text() + (tmp_path / "a").read_text())
    rotated(secrets, store)
    assert store.sealed()[0].key_id == second.first().id
    said.write_text((tmp_path / "b").read_text())
    assert Secrets(store, Keys(tmp_path / "none", f"cat {said}"), CONFIGURED).values(["TOKEN"]) == {"TOKEN": VALUE}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "command",
    [
        "no-such-program --key",
        f"{sys.executable} -c 'import sys; sys.exit(3)'",
        f"{sys.executable} -c 'print(\"hunter2-hunter2\")'",
        "true",
    ],
)
def test_a_command_that_gives_no_key_is_named_and_what_it_says_is_not(command: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=os.path.basename(command.split()[0])) as caught:
        Keys(tmp_path / "none", command).first()
    assert "hunter2" not in str(caught.value)
