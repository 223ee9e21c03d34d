"""Ports for a node are nobody's, and stay so until Ray takes them."""

import socket
from pathlib import Path

import pytest

from executors.ray_cluster import ports


def test_they_differ_and_no_outgoing_connection_is_given_one() -> None:
    found = ports.free_ports(200)
    assert len(set(found)) == 200
    assert max(found) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_a_port_that_is_taken_on_any_address_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_FIRST", port)
        monkeypatch.setattr(ports.random, "randrange", lambda low, high: port)
        with pytest.raises(OSError, match="no free port"):
            ports.free_ports(1)
