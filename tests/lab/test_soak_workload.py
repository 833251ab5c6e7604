"""The programs that a search runs on machines, and what is made of what they tell."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab import spec, wait
from lab.inside import program
from lab.soak import inside, workload
from lab.soak.evidence import Gap, Missing
from lab.soak.inside.streams import HEADER, message
from lab.soak.records import Line, lines_of
from lab.soak.workload import Rows, Told
from tests.lab.examples import SPEC

ONE, TWO, MASTER = "centos-minion01", "centos-minion02", "centos-master"


class Talk:
    """A program of the workload, on this machine."""

    def __init__(self, name: str, asked: Mapping[str, Any]) -> None:
        argv = [sys.executable, *program(inside, name, json.dumps({"shift": 0.0, **asked}))[1:]]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> str:
        return self.process.communicate(timeout=60)[0]


@contextmanager
def talking(name: str, *asked: Mapping[str, Any]) -> Iterator[list[Talk]]:
    """The program, as often as it is asked for something; all have begun."""
    talks = [Talk(name, each) for each in asked]
    try:
        for talk in talks:
            assert talk.hear() == {"ready": True}
        for talk in talks:
            talk.say("begin")
        for talk in talks:
            assert talk.hear()["now"] > 0
        yield talks
    finally:
        for talk in talks:
            talk.process.kill()
            talk.process.communicate()


def free_port(kind: int, address: str) -> int:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind((address, 0))
        port: int = free.getsockname()[1]
        return port


NAMES = {"a": "127.0.0.2", "b": "127.0.0.3"}


def peers_of(name: str) -> Mapping[str, str]:
    return {other: address for other, address in NAMES.items() if other != name}


def test_datagrams_that_arrive_are_counted_and_so_are_those_that_do_not() -> None:
    port = free_port(socket.SOCK_DGRAM, NAMES["a"])
    asked = [
        {"own": own, "name": name, "peers": peers_of(name), "port": port, "every": 0.01}
        for name, own in NAMES.items()
    ]
    with talking("datagrams", *asked) as talks:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:  # b hears of a number far ahead
            forger.sendto(json.dumps(["c", 5, 1.0]).encode(), (NAMES["b"], port))
            forger.sendto(json.dumps(["c", 3, 0.5]).encode(), (NAMES["b"], port))  # one was overtaken
        told = [json.loads(talk.end()) for talk in talks]
    heard = told[1]["heard"]
    assert heard["c"]["next"] == 6
    assert sum(count for _, _, count in heard["c"]["lost"]) == 4
    assert heard["a"]["lost"] == []
    assert heard["a"]["count"] > 0


def test_messages_over_tcp_are_acknowledged_and_one_with_another_content_is_told() -> None:
    port = free_port(socket.SOCK_STREAM, NAMES["a"])
    asked = [{"own": own, "name": name, "peers": peers_of(name), "port": port} for name, own in NAMES.items()]
    with talking("streams", *asked) as (first, second):
        with socket.create_connection((NAMES["b"], port), timeout=30) as other:
            for text in (message("c", 7, 100), b"x" * 100):
                other.sendall(HEADER.pack(b"c", 7, 100) + text)
                assert other.recv(1) == (b"-" if text.startswith(b"x") else b"+")
        first.say("")
        told = first.hear()
        assert told["troubles"] == []
        second.say("")  # and goes on serving, for the first may not have ended yet
        assert second.hear()["troubles"] == []
        socket.create_connection((NAMES["b"], port), timeout=30).close()
        assert first.end() == second.end() == ""


HOURS = 36_000.0
"""A shift, in seconds."""


def test_what_a_machine_with_another_clock_sends_is_told_by_the_common_one() -> None:
    """As on two engines: a's machine was booted hours before that of b."""
    port = free_port(socket.SOCK_DGRAM, NAMES["a"])
    both = {"port": port, "every": 0.01}
    shifted = {"own": NAMES["a"], "name": "a", "peers": peers_of("a"), **both, "shift": HOURS}
    plain = {"own": NAMES["b"], "name": "b", "peers": peers_of("b"), **both}
    before = time.monotonic() + HOURS
    with talking("datagrams", shifted, plain) as talks:
        _, told = [json.loads(talk.end()) for talk in talks]
    assert before < told["heard"]["a"]["last"] < time.monotonic() + HOURS


def test_a_record_is_in_the_common_clock(tmp_path: Path) -> None:
    before, out = time.monotonic() + HOURS, tmp_path / "record"
    shows = {"commands": {}, "watches": {}, "files": {"env": str(tmp_path / "none")}, "urls": {}}
    with talking("record", {"out": str(out), **shows, "shift": HOURS}) as (talk,):
        wait.until(lambda: bool(out.read_text()) or wait.NotYet("nothing"), what="a line", timeout=60)
        talk.end()
    (line,) = lines_of("a", out.read_text(), 0.0)
    assert before < line.at < time.monotonic() + HOURS


def test_a_connection_that_the_peer_ends_is_told_in_the_common_clock() -> None:
    port = free_port(socket.SOCK_STREAM, NAMES["a"])
    asked = {"own": NAMES["a"], "name": "a", "peers": peers_of("a"), "port": port, "shift": HOURS}
    before = time.monotonic() + HOURS
    with socket.socket() as server:
        server.bind((NAMES["b"], port))
        server.listen()
        with talking("streams", asked) as (talk,):
            for _ in range(3):  # two clients, so by the third connection one has seen its first end
                connection, _ = server.accept()
                assert len(connection.recv(HEADER.size)) == HEADER.size
                connection.close()
            talk.say("")
            troubles = talk.hear()["troubles"]
    assert {(peer, kind) for peer, kind, *_ in troubles} == {("b", "broken")}
    assert all(before < since <= until < time.monotonic() + HOURS for _, _, since, until, _ in troubles)


@contextmanager
def answering(answers: list[tuple[int, str]]) -> Iterator[str]:
    """A server that gives the last of these answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers[-1]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        task = threading.Thread(target=server.serve_forever)
        task.start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()
        task.join()


def test_what_a_machine_shows_is_written_down_when_it_is_something_else(tmp_path: Path) -> None:
    out, file = tmp_path / "record", tmp_path / "subnet.env"
    answers = [(200, "flanneld is ready\n")]
    command = ["sh", "-c", "echo one; echo two; exec sleep 600"]

    def seen() -> list[tuple[str, str | None]]:
        return [(line.source, line.text) for line in lines_of("a", out.read_text(), 0.0)]

    def shown(*wanted: tuple[str, str | None]) -> None:
        def there() -> bool | wait.NotYet:
            return set(wanted) <= set(seen()) or wait.NotYet(seen())

        wait.until(there, what="it to be written down", timeout=60)

    with answering(answers) as url:
        asked = {"out": str(out), "commands": {"kernel": command}, "watches": {}}
        shows = {"files": {"env": str(file)}, "urls": {"ready": url}}
        with talking("record", {**asked, **shows}) as (talk,):
            shown(("kernel", "one"), ("kernel", "two"), ("env", None), ("ready", "200 flanneld is ready"))
            file.write_text("A=1\n")
            answers.append((503, "not yet"))
            shown(("env", "A=1\n"), ("ready", "503 not yet"))
            talk.say("")
            assert talk.hear() == {"left_out": 0}
            assert talk.end() == ""
    assert [text for source, text in seen() if source == "env"] == [None, "A=1\n"]
    assert [line.at for line in lines_of("a", out.read_text(), 0.0)] == sorted(
        line.at for line in lines_of("a", out.read_text(), 0.0)
    )


def test_a_command_that_ends_is_begun_anew_and_none_outlives_its_recorder(tmp_path: Path) -> None:
    out = tmp_path / "record"
    asked: dict[str, Any] = {"watches": {}, "files": {}, "urls": {}}
    asked |= {"out": str(out), "commands": {"x": ["sh", "-c", "echo $$"]}}
    stays = {
        **asked,
        "out": str(tmp_path / "other"),
        "commands": {"x": ["sh", "-c", "echo $$; exec sleep 600"]},
    }

    def lines(path: str, number: int) -> list[Line]:
        def there() -> list[Line] | wait.NotYet:
            found = lines_of("a", Path(path).read_text(), 0.0)
            return found if len(found) >= number else wait.NotYet(found)

        return wait.until(there, what="it to print", timeout=60)

    with talking("record", asked, stays) as (_, killed):
        assert len({line.text for line in lines(str(out), 3)}) >= 3
        (pid,) = (line.text for line in lines(str(stays["out"]), 1))
        killed.process.kill()

        def gone() -> bool | wait.NotYet:
            return not Path(f"/proc/{pid}/cwd").exists() or wait.NotYet("it runs")

        wait.until(gone, what="sleep to end", timeout=60)


ETCDCTL = """\
#!/bin/sh
case "$*" in
  get*) {get} ;;
  *--rev=8) echo '{{"Header": {{}}, "Events": [{{"kv": {{"mod_revision": 9}}}}], "CompactRevision": 0}}' ;;
  *--rev=10) echo '{{"Header": {{}}, "Events": null, "CompactRevision": 12, "Canceled": true}}' ;;
  *) echo "$*"; exec sleep 600 ;;
esac
"""


@pytest.mark.parametrize(
    ("get", "last"),
    [
        ("""echo '{"header": {"revision": 7}}'""", " --rev=12"),  # what is before that was compacted
        ("echo no; exit 1", ""),
    ],
)
def test_a_watch_that_ends_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: str, last: str
) -> None:
    etcdctl, out = tmp_path / "etcdctl", tmp_path / "record"
    etcdctl.write_text(ETCDCTL.format(get=get))
    etcdctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked: dict[str, Any] = {"out": str(out), "commands": {}, "files": {}, "urls": {}}
    with talking("record", {**asked, "watches": {"etcd": "/x/"}}):

        def there() -> bool | wait.NotYet:
            said = [line.text for line in lines_of("a", out.read_text(), 0.0)]
            return f"watch --prefix /x/ --write-out=json{last}" in said or wait.NotYet(said)

        wait.until(there, what="a watch that goes on", timeout=60)


def test_a_record_that_a_reboot_has_cut_is_read_up_to_there() -> None:
    text = '[12.5, "kernel", "one"]\n[12.75, "ready", null]\n[13.0, "ker'
    assert lines_of("a", text, 10.0) == [Line(2.5, "a", "kernel", "one"), Line(2.75, "a", "ready", None)]


def test_what_one_receiver_did_not_hear_is_told_with_when_it_was_sent() -> None:
    told: Told = {
        ("a", "datagrams"): {
            "sent": {"b": 40},
            "heard": {"b": {"next": 40, "last": 12.0, "lost": [[10.5, 10.875, 3]]}},
        },
        ("b", "datagrams"): {"sent": {"a": 40}, "heard": {"a": {"next": 20, "last": 11.0, "lost": []}}},
        ("c", "datagrams"): {"sent": {}, "heard": {}},
    }
    assert workload.gaps(told, 10.0) == [
        Gap("datagrams", "b", "a", 0.5, 0.875, "3 lost"),
        Gap("datagrams", "a", "b", 1.0, 2.0, "20 lost"),
    ]


def test_troubles_of_tcp_that_follow_each_other_are_one_and_those_of_a_peer_that_tells_nothing_none() -> None:
    troubles = [
        ["b", "refused", 16.0, 19.0, "timed out"],
        ["b", "refused", 11.0, 14.0, "timed out"],
        ["b", "broken", 11.0, 11.5, "reset"],
        ["b", "refused", 30.0, 33.0, "timed out"],
        ["gone", "refused", 11.0, 14.0, "timed out"],
        ["b", "content", 12.0, 12.0, "message 3 of 1024 bytes was another one"],
    ]
    told: Told = {("a", "streams"): {"troubles": troubles}, ("b", "streams"): {"troubles": []}}
    assert sorted(workload.gaps(told, 10.0), key=lambda gap: (gap.kind, gap.after)) == [
        Gap("broken", "a", "b", 1.0, 1.5, "reset"),
        Gap("refused", "a", "b", 1.0, 9.0, "timed out"),
        Gap("refused", "a", "b", 20.0, 23.0, "timed out"),
    ]
    assert workload.other_content(told) == ("a -> b: message 3 of 1024 bytes was another one",)


def test_rows_that_are_missing_are_told_and_servers_that_nobody_could_ask() -> None:
    told: Told = {
        ("a", "rows"): {"acknowledged": {"mysql01": [1, 3, 4], "mysql02": [1]}},
        ("b", "rows"): {"acknowledged": {"mysql01": [1], "mysql02": []}},
    }
    rows = frozenset({("a", 1), ("a", 2), ("b", 1)})  # more than was acknowledged is well
    has: dict[str, Rows] = {"mysql01": rows, "mysql02": "it said: ERROR 2002 (HY000)"}
    assert workload.missing_rows(told, has) == (Missing("a", "mysql01", (3, 4)),)
    assert workload.unasked_servers(told, has) == {"mysql02": "it said: ERROR 2002 (HY000)"}
    assert workload.unasked_servers(told, {"mysql01": rows}) == {
        "mysql02": "no pod of that name has an address"
    }
    assert workload.unasked_servers({}, {}) == {}


def test_a_machine_whose_recorder_tells_nothing_is_known() -> None:
    whole, full = {"left_out": 0}, {"left_out": 3}
    assert workload.cut_records(SPEC, {(MASTER, "record"): whole, (TWO, "datagrams"): {}}) == {ONE, TWO}
    assert workload.cut_records(SPEC, {(name, "record"): whole for name in (MASTER, ONE, TWO)}) == set()
    assert workload.cut_records(SPEC, {(name, "record"): full for name in (MASTER, ONE)}) == {
        MASTER,
        ONE,
        TWO,
    }


@pytest.mark.parametrize(
    ("options", "urls"),
    [([], {}), (["-healthz-port=8290"], {"ready": "http://127.0.0.1:8290/readyz"})],
)
def test_each_machine_is_asked_for_what_it_has(options: list[str], urls: Mapping[str, str]) -> None:
    lab = SPEC.model_copy(update={"flanneld_options": (*SPEC.flanneld_options, *options)})
    asked = workload.wanted(lab, {}, ())
    assert set(asked) == {(name, "record") for name in (MASTER, ONE, TWO)}
    assert asked[MASTER, "record"]["watches"] == {"etcd": "/coreos.com/network/"}
    assert asked[ONE, "record"]["urls"] == urls
    assert set(asked[ONE, "record"]["commands"]) == {"kernel", "fdb"}


def test_a_flannel_of_somebody_elses_has_no_readiness_that_is_known() -> None:
    text = """
name: other
nodes:
- {name: m, role: master, host: 10}
- {name: a, role: minion, host: 11}
flannel: {options: [-iface=eth0, -healthz-port=8290]}
pods: []
"""
    lab = spec.load(text, "lab.yaml")
    first, second = lab.nodes
    foreign = second.model_copy(
        update={"flanneld": second.flanneld.model_copy(update={"program": "/bin/flanneld"})}
    )
    other = lab.model_copy(update={"nodes": (first, foreign)})
    assert workload.wanted(lab, {}, ())["a", "record"]["urls"]
    assert workload.wanted(other, {}, ())["a", "record"]["urls"] == {}
