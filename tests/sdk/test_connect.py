import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from broker.model.errors import DaemonError, InvalidInput
from broker.run import lifecycle
from broker.run.lifecycle import DaemonFile, only_daemon
from broker.sdk import connect as connecting
from broker.sdk.connect import connect, elsewhere
from broker.sdk.transport import unanswered
from tests.sdk.conftest import Served, serve


def test_the_daemon_is_found_by_its_state_folder(served: Served) -> None:
    assert connect(served.state_dir).status()["counts"]["queued"] == 0


def test_on_loopback_the_token_goes_along(tmp_path: Path) -> None:
    for served in serve(tmp_path, token="s3cret"):
        assert connect(served.state_dir).status()["pid"] == os.getpid()
        (tmp_path / "token").write_text("another")
        with pytest.raises(DaemonError, match="token"):
            connect(served.state_dir).status()
        (tmp_path / "token").unlink()
        with pytest.raises(DaemonError, match="token"):
            connect(served.state_dir)


def test_where_no_daemon_is_one_is_told_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="broker up"):
        connect(tmp_path)


def test_a_stale_socket_is_no_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "broker.sock"))
    address = f"unix:{tmp_path / 'broker.sock'}"
    DaemonFile(pid=1, address=address, token_file="", dashboard="", version="0", started="").write(tmp_path)
    with pytest.raises(DaemonError, match="no broker runs"):
        connect(tmp_path)


def test_a_daemon_is_started_where_that_is_wished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(state_dir: Path, config: Path | None, progress) -> None:
        progress("pool ray: starting")
        started.append(serve(state_dir))
        next(started[-1])

    monkeypatch.setattr(connecting, "start_daemon", start)
    said: list[str] = []
    client = connect(tmp_path, start=True, progress=said.append)
    assert client.healthy()
    assert connect(tmp_path, start=True).healthy()
    assert (len(started), said) == (1, ["pool ray: starting"])
    started[0].close()


def test_a_daemon_that_is_there_but_silent_is_not_started_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(connecting, "_COMES_UP_S", 0.2)
    monkeypatch.setattr(lifecycle.subprocess, "Popen", lambda *_, **__: pytest.fail("a second daemon was started"))
    with only_daemon(tmp_path), pytest.raises(DaemonError, match="did not answer"):
        connect(tmp_path, start=True)


def test_the_client_loads_nothing_heavy() -> None:
    code = "import sys, json, broker.sdk.connect; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {"httpx", "pydantic", "fastapi", "sqlalchemy", "rich", "cloudpickle", "structlog"} & set(loaded)


@pytest.mark.parametrize(
    ("address", "error", "advice"),
    [
        ("https://broker.example", ssl.SSLCertVerificationError(1, "self-signed certificate"), "SSL_CERT_FILE"),
        ("https://broker.example", ConnectionRefusedError(111, "Connection refused"), "BROKER_URL"),
        ("unix:/run/broker.sock", FileNotFoundError(2, "No such file"), "`broker up`"),
    ],
)
def test_a_broker_that_does_not_answer_is_told_with_what_to_do(address: str, error: Exception, advice: str) -> None:
    assert advice in str(unanswered(address, error, late=False))


@pytest.mark.parametrize("url", ["https://h:port", "https://", "https://mia:secret@h", "https://h/x", "http://h", ""])
def test_an_address_that_is_none_is_refused_and_shows_no_password(url: str) -> None:
    with pytest.raises(InvalidInput, match="BROKER_URL") as refused:
        elsewhere(url, "broker_x")
    assert "secret" not in str(refused.value)


def test_a_token_that_can_be_none_is_refused_and_not_shown() -> None:
    elsewhere("https://h", "broker_a-b_c\n")
    with pytest.raises(InvalidInput, match="BROKER_TOKEN") as refused:
        elsewhere("https://h", "broker_café")
    assert "caf" not in str(refused.value)


def test_who_has_no_good_token_is_told_of_the_variable_that_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for served in serve(tmp_path, token="s3cret"):
        address = DaemonFile.read(served.state_dir).address  # type: ignore[union-attr]
        monkeypatch.delenv("BROKER_TOKEN", raising=False)
        with pytest.raises(DaemonError, match="set BROKER_TOKEN"):
            elsewhere(address, None).status()
        monkeypatch.setenv("BROKER_TOKEN", "another")
        with pytest.raises(DaemonError, match="refuses the token in BROKER_TOKEN"):
            elsewhere(address, "another").status()


def test_a_state_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DaemonError, match="BROKER_STATE_DIR"):
        lifecycle.start_daemon(tmp_path / "file" / "state", None)


def test_files_of_the_folder_in_which_it_is_started_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lifecycle, "SERVER_MODULE", "json.tool")  # which knows no --ready-fd, and ends with 2
    with pytest.raises(DaemonError, match="exit code 2"):
        lifecycle.start_daemon(tmp_path / "state", None)
