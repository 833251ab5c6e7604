"""The service's wiring: what a signal does while the daemon is still being made."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from flanneld_py.daemon import host, service
from flanneld_py.options import Options


class Recorder:
    """Stands in for the daemon."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(self) -> None:
        self.calls.append("run")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    made_by(monkeypatch, lambda: made)
    return made


def made_by(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Recorder]) -> None:
    """Have the machine make its daemon so."""

    class Host:
        def __init__(self, *_: object) -> None:
            pass

        def daemon(self, *_: object) -> Recorder:
            return make()

    monkeypatch.setattr(host, "Host", Host)


def test_a_daemon_that_is_told_to_end_while_it_is_being_made_takes_no_lease(monkeypatch):
    daemon, begun, go_on = Recorder(), threading.Event(), threading.Event()

    def make() -> Recorder:
        begun.set()
        assert go_on.wait(10)
        return daemon

    made_by(monkeypatch, make)
    made = service._Service(Options())
    worker = threading.Thread(target=made.run)
    worker.start()
    assert begun.wait(10)
    made.stop()
    go_on.set()
    worker.join(10)
    assert not worker.is_alive()
    assert "run" not in daemon.calls


def test_a_daemon_that_ends_takes_away_what_it_made(daemon):
    service._Service(Options()).run()
    assert daemon.calls[:2] == ["run", "close"]


# The kernel may give a process's signal to any of its threads; here it is never the one that listens.
ANOTHER_THREAD_TAKES_IT = """
import signal, sys, threading, types
from flanneld_py.daemon import service
from flanneld_py.options import Options

class Daemon:
    stopped = threading.Event()

    def __init__(self, *_): pass
    def daemon(self, *_): return self
    def run(self):
        signal.pthread_kill(threading.get_ident(), int(sys.argv[1]))
        self.stopped.wait()
    def stop(self): self.stopped.set()
    def close(self): print("closed")

# In the place of the module itself, which imports most of the daemon.
sys.modules["flanneld_py.daemon.host"] = types.SimpleNamespace(Host=Daemon)
service.GRACE = 20
sys.exit(service.run(Options()))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_whichever_of_its_threads_takes_it(number):
    argv = [sys.executable, "-c", ANOTHER_THREAD_TAKES_IT, str(int(number))]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (0, "closed\n"), ended.stderr
