"""The door of `broker serve`: what is not loopback needs TLS, and what can't be is refused before anything starts."""

from pathlib import Path

import pytest

from broker.api.door import door, opened
from broker.model.errors import DaemonError, InvalidInput


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.8.9.10:1"])
def test_on_loopback_nothing_more_is_asked_for(listen: str) -> None:
    assert not door(listen).behind_proxy


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "10.0.0.7:443", "broker.example:443"])
def test_elsewhere_tokens_don_t_go_in_clear(listen: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"--listen: .*not loopback.*--tls-cert.*--behind-proxy"):
        door(listen)
    assert door(listen, behind_proxy=True).shown == f"http://{listen}"
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).touch()
    safe = door(listen, certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")
    assert safe.shown == f"https://{listen}"


@pytest.mark.parametrize("listen", ["", "8080", ":8080", "host:", "host:http", "host:70000", "host:-1"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(InvalidInput, match="must be HOST:PORT"):
        door(listen, behind_proxy=True)


@pytest.mark.parametrize("workers", [0, 65])
def test_workers_are_counted(workers: int) -> None:
    with pytest.raises(InvalidInput, match="--workers: must be between 1 and 64"):
        door("127.0.0.1:0", workers=workers)


def test_a_certificate_and_its_key_belong_together(tmp_path: Path) -> None:
    there = tmp_path / "tls.crt"
    there.touch()
    with pytest.raises(InvalidInput, match="belong together"):
        door("0.0.0.0:1", certificate=there)
    with pytest.raises(InvalidInput, match=r"--tls-key: there is no file .*tls\.key"):
        door("0.0.0.0:1", certificate=there, key=tmp_path / "tls.key")


def test_a_port_in_use_is_named() -> None:
    with opened(door("127.0.0.1:0")) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(DaemonError, match=f"127.0.0.1:{port} can't be listened to"):
            opened(door(f"127.0.0.1:{port}"))
