"""A working folder serves another attempt only as it was made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.model.jobs import AttemptState
from broker.testing.builders import launch_request
from executors.local_serverless.places import Places
from tests.executors.local_serverless.driving import open_pool


def test_one_that_is_left_empty_is_given_again(tmp_path: Path) -> None:
    places = Places(tmp_path)
    first, second = places.take(), places.take()
    assert first != second and first.stat().st_mode & 0o777 == 0o700
    (first / "x").touch()
    (first / "x").unlink()
    assert places.leave(first)
    assert places.take() == first
    assert places.take() not in (first, second)


def link(place: Path) -> None:
    place.rmdir()
    place.symlink_to(place.parent)


@pytest.mark.parametrize(
    "change",
    [lambda place: (place / "x").touch(), lambda place: place.chmod(0o755), Path.rmdir, link],
    ids=["filled", "opened", "removed", "a link"],
)
def test_one_that_is_not_as_it_was_is_not(tmp_path: Path, change: Callable[[Path], None]) -> None:
    places = Places(tmp_path)
    first = places.take()
    change(first)
    assert not places.leave(first)
    assert places.take() != first


def test_what_lies_where_one_would_be_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work-1").symlink_to("/")
    assert Places(tmp_path).take() == tmp_path / "work-2"


async def test_nothing_of_an_attempt_is_left_for_the_next() -> None:
    async with open_pool(max_units=1) as watch:
        said = []
        for script in (
            "pwd; touch left",
            "pwd; ls -A; chmod 755 .",
            "pwd; ls -A; stat -c %a .",
            "pwd; ls -A; stat -c %a .",
        ):
            request = launch_request(script)
            assert (await watch.run(request)).state is AttemptState.SUCCEEDED
            said.append((await watch.output(request.attempt_id)).decode().splitlines())
        assert [lines[1:] for lines in said] == [[], [], ["700"], ["700"]]
        assert said[2] == said[3] and len({lines[0] for lines in said}) == 3
