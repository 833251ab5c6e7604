import logging
import secrets
import socket
from pathlib import Path

import pytest

from flanneld_py.runtime.sd_notify import notify


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds that sd_notify(3) knows."""
    return str(tmp_path / "notify") if request.param == "path" else f"@flanneld-{secrets.token_hex(8)}"


def test_the_service_manager_is_told_in_one_datagram(address, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1))
        manager.settimeout(30)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_without_a_service_manager_nothing_happens(monkeypatch, caplog):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    assert caplog.records == []


def test_a_manager_that_does_not_listen_is_a_warning_and_no_end(address, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert address in record.getMessage()
