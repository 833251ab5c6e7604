"""The extension backend: which command is run when, with what, and that no shell sees any of it."""

import os
import resource
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.backend.extension import commands
from flanneld_py.backend.extension.backend import ExtensionBackend
from flanneld_py.backend.extension.config import Extension
from flanneld_py.backend.kind import NodeContext
from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerRemoved
from flanneld_py.runtime import clock, shutdown
from flanneld_py.underlay.interface import Interface
from lab import wait
from tests.flanneld_py.made import addresses, config, pool4, subnet

NETWORK = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))
ETH0 = Interface("eth0", 2, 1500)
OURS, THEIRS = subnet("10.2.35.0/24"), subnet("10.2.52.0/24")


def peer(data: object = "hello", address: str = "192.168.199.53", kind: str = "extension") -> Lease:
    return Lease(THEIRS, LeaseAttrs(addresses(address), kind, data))


@pytest.fixture(autouse=True)
def _nothing_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "_steps", [])


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


Make = Callable[..., ExtensionBackend]


@pytest.fixture
def make(journal: Path, tmp_path: Path) -> Make:
    """A backend whose commands write a line each: their arguments, their SUBNET, and their standard input."""
    script = tmp_path / "tell"
    script.write_text(
        '#!/bin/sh\nread -r given\nprintf \'%s|%s|%s|%s\\n\' "$*" "$SUBNET" "$PUBLIC_IP" "$given" >> '
        f"{journal}\necho told\n"
    )
    script.chmod(0o755)

    def backend(longest: float = 20, **told: str) -> ExtensionBackend:
        config = Extension(**{name: text.replace("TELL", str(script)) for name, text in told.items()})
        node = NodeContext(ETH0, addresses("192.168.199.52"))
        return ExtensionBackend(NETWORK, config, node, longest=longest)

    return backend


def test_what_the_first_command_prints_is_in_our_lease(make):
    backend = make(pre_startup_command="printf '  a key\\n'")
    assert backend.attrs() == LeaseAttrs(addresses("192.168.199.52"), "extension", "a key")
    assert backend.mtu == 1500
    backend.close()


def test_without_a_first_command_the_lease_has_no_data(make):
    backend = make()
    assert backend.attrs() == LeaseAttrs(addresses("192.168.199.52"), "extension", None)
    backend.close()


def test_commands_run_when_flannel_says_and_with_its_variables(make, journal):
    backend = make(
        post_startup_command="TELL up $NETWORK $SUBNET ${PUBLIC_IP}",
        subnet_add_command="TELL add $SUBNET $PUBLIC_IP",
        subnet_remove_command="TELL remove $SUBNET",
        shutdown_command="TELL down $SUBNET",
    )
    backend.claim(OURS)
    backend.carry({THEIRS: peer()}, until=100.0)
    backend.change([PeerRemoved(peer())])
    backend.release()
    backend.close()
    assert journal.read_text().splitlines() == [
        "up 10.2.0.0/16 10.2.35.0/24 192.168.199.52|10.2.35.0/24|192.168.199.52|",
        "add 10.2.52.0/24 192.168.199.53|10.2.52.0/24|192.168.199.53|hello",
        "remove 10.2.52.0/24|10.2.52.0/24|192.168.199.53|hello",
        "down 10.2.35.0/24|10.2.35.0/24|192.168.199.52|",
    ]


def test_a_peer_that_stays_as_it_is_is_not_added_again_and_one_that_is_gone_is_removed(make, journal):
    backend = make(subnet_add_command="TELL add $SUBNET", subnet_remove_command="TELL remove $SUBNET")
    backend.carry({THEIRS: peer()}, until=100.0)
    backend.carry({THEIRS: peer()}, until=200.0)
    backend.change([PeerAdded(peer(data="other"))])
    backend.carry({}, until=300.0)
    backend.close()
    assert [line.split("|")[0].split()[0] for line in journal.read_text().splitlines()] == [
        "add",
        "add",
        "remove",
    ]


def test_a_lost_lease_removes_every_peer_before_anything_else(make, journal):
    backend = make(subnet_add_command="TELL add", subnet_remove_command="TELL remove")
    backend.carry({THEIRS: peer()}, until=100.0)
    backend.release()
    assert [line.split("|")[0] for line in journal.read_text().splitlines()] == ["add", "remove"]
    backend.close()


def test_peers_of_other_backends_are_told_once_and_left_alone(make, journal, caplog):
    backend = make(subnet_add_command="TELL add")
    for _ in range(2):
        backend.carry({THEIRS: peer(kind="vxlan")}, until=100.0)
    backend.close()
    assert not journal.exists()
    assert caplog.text.count("Ignoring non-extension subnet 10.2.52.0/24: type=vxlan") == 1


def test_no_shell_sees_what_a_lease_says(make, journal, tmp_path):
    backend = make(subnet_add_command="TELL $PUBLIC_IP '$(touch x)' ; touch y")
    backend.carry({THEIRS: peer(data=f"$(touch {tmp_path}/pwned)`touch {tmp_path}/pwned`")}, until=100.0)
    backend.release()
    backend.close()
    assert journal.read_text().startswith("192.168.199.53 $(touch x) ; touch y|")
    assert not (tmp_path / "pwned").exists()


def test_a_first_command_that_fails_is_fatal_and_told_with_its_output(make):
    with pytest.raises(Fatal, match=r"PreStartupCommand: \['ls', '/nope'\] .*exit status 2") as refused:
        make(pre_startup_command="ls /nope")
    assert refused.value.code == Exit.CONFIG


@pytest.mark.parametrize("command", ["/nope/nothing", "'", "   "])
def test_a_command_that_cannot_be_run_is_fatal(make, command):
    with pytest.raises(Fatal, match="PostStartupCommand"):
        make(post_startup_command=command).claim(OURS)


def test_a_command_for_a_peer_that_fails_is_told_and_the_next_is_run(make, journal, caplog):
    backend = make(subnet_add_command="ls /nope", subnet_remove_command="TELL remove")
    backend.carry({THEIRS: peer()}, until=100.0)
    backend.release()
    backend.close()
    assert "Running SubnetAddCommand: ['ls', '/nope'] ended with exit status" in caplog.text
    assert journal.read_text().startswith("remove|")


def test_a_command_that_hangs_is_killed_with_its_children(make, tmp_path, caplog, monkeypatch):
    time = [0.0]
    monkeypatch.setattr(clock, "now", lambda: time[0])
    pid_file = tmp_path / "pid"
    hang = tmp_path / "hang"
    hang.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {pid_file}\nwait\n")
    hang.chmod(0o755)
    backend = make(longest=0.5, subnet_add_command=str(hang))
    backend.carry({THEIRS: peer()}, until=100.0)
    pid = written(pid_file)
    time[0] = 1.0
    backend.release()
    backend.close()
    assert "was killed after" in caplog.text
    stat = Path(f"/proc/{pid}/stat")

    def probe() -> bool | wait.NotYet:
        # Gone, or dead and not yet reaped by whoever inherited it.
        return not stat.exists() or ") Z " in stat.read_text() or wait.NotYet(stat.read_text())

    wait.until(probe, what="the command's child to end", timeout=30, interval=0.01)


def written(pid_file: Path) -> int:
    """The number of a process, once it is there; never 0, which would mean the tests themselves."""

    def probe() -> int | wait.NotYet:
        text = pid_file.read_text().strip() if pid_file.exists() else ""
        return int(text) if text else wait.NotYet("nothing")

    pid = wait.until(probe, what=f"a number in {pid_file}", timeout=10)
    assert pid > 1
    return pid


def test_a_command_that_leaves_a_daemon_behind_is_not_waited_for_any_longer(make, tmp_path, caplog):
    pid_file, leave = tmp_path / "pid", tmp_path / "leave"
    # The daemon keeps the command's output open, and has a session of its own, so that it is not killed.
    leave.write_text(f"#!/bin/sh\nsetsid sh -c 'echo $$ > {pid_file}; exec sleep 100' &\necho left\n")
    leave.chmod(0o755)
    caplog.set_level("INFO")
    backend = make(subnet_add_command=str(leave))
    try:
        backend.carry({THEIRS: peer()}, until=100.0)
        backend.release()
        assert "Ran SubnetAddCommand: left" in caplog.text
        backend.close()
    finally:
        os.kill(written(pid_file), signal.SIGKILL)


def test_a_command_that_prints_for_ever_takes_no_memory(make, caplog):
    backend = make(longest=0.15, subnet_add_command="yes")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    backend.carry({THEIRS: peer()}, until=100.0)
    backend.release()
    backend.close()
    assert "was killed after" in caplog.text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_the_last_command_is_run_when_no_other_is_any_more(make, journal):
    backend = make(longest=1, subnet_add_command="sh -c 'sleep 0.3; TELL add'", shutdown_command="TELL down")
    backend.claim(OURS)
    others = [subnet(f"10.2.{number}.0/24") for number in range(60, 100)]
    backend.carry({other: Lease(other, peer().attrs) for other in others}, until=100.0)
    backend.close()
    told = journal.read_text().splitlines()
    assert told[-1].startswith("down")
    assert 1 < len(told) < 40  # the rest would take the end too long


def test_the_last_command_is_run_once_whoever_ends_it_and_whoever_comes_second_waits(make, journal, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    backend = make(shutdown_command=f"sh -c 'read x <{gate}; TELL down'")
    backend.claim(OURS)
    enders = [threading.Thread(target=end) for end in (backend.close, shutdown.finish, backend.close)]
    for ender in enders:
        ender.start()
    with gate.open("w"):  # until the command reads
        assert all(ender.is_alive() for ender in enders)
    for ender in enders:
        ender.join(10)
    assert [line.split("|")[0] for line in journal.read_text().splitlines()] == ["down"]
    shutdown.finish()
    assert len(journal.read_text().splitlines()) == 1


def test_the_last_command_waits_for_the_first_one_which_is_not_run_after_it(make, journal, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    backend = make(post_startup_command=f"sh -c 'read x <{gate}; TELL up'", shutdown_command="TELL down")
    beginner = threading.Thread(target=backend.claim, args=(OURS,))
    beginner.start()
    with gate.open("w"):
        ender = threading.Thread(target=shutdown.finish)
        ender.start()
        ender.join(0.2)
        assert ender.is_alive()
    ender.join(10)
    beginner.join(10)
    assert [line.split("|")[0] for line in journal.read_text().splitlines()] == ["up", "down"]
    backend.claim(OURS)
    backend.release()
    assert len(journal.read_text().splitlines()) == 2


def test_without_a_subnet_there_is_nothing_to_shut_down(make, journal):
    make(shutdown_command="TELL down")
    shutdown.finish()
    assert not journal.exists()


def test_data_that_is_no_text_is_warned_of_and_no_command_gets_it(make, journal, caplog):
    backend = make(subnet_add_command="TELL add")
    backend.carry({THEIRS: peer(data={"VNI": 1})}, until=100.0)
    backend.close()
    assert not journal.exists()
    assert "BackendData of 10.2.52.0/24 is no string" in caplog.text


@given(st.text(), st.dictionaries(st.sampled_from(["SUBNET", "PUBLIC_IP"]), st.text()))
def test_any_command_is_words_or_an_error(command, variables):
    try:
        argv = commands.words(command, variables, {})
    except ValueError:
        return
    assert argv
    assert len(argv) == len(commands.words(command, {}, {}))


def test_an_unknown_variable_stays_as_it_is_written():
    assert commands.words("echo $HOME ${SUBNET}x", {"SUBNET": "a b"}, {}) == ["echo", "$HOME", "a bx"]


@pytest.mark.parametrize(
    "command",
    [
        "echo $HOME/x ${HOME}",
        'echo "$HOME/x" "a $TITLE b"',
        "echo '$HOME'",
        r"echo \$HOME \"$HOME",
        """sh -c 'HOME=/y; echo $HOME'""",
        """echo "it's $HOME" 'say "$HOME"'""",
    ],
)
def test_the_daemons_own_variables_are_what_a_shell_makes_of_them(command):
    environ = {"HOME": "/root", "TITLE": """a "b" c' \\ d"""}
    shell = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {command}"],
        capture_output=True, text=True, check=True, env={**environ, "PATH": os.defpath},
    ).stdout.split("\0")[:-1]  # fmt: skip
    assert commands.words(command, {}, environ) == shell


def test_a_value_of_the_environment_stays_one_word():
    """Where a shell would split it."""
    assert commands.words("echo $TITLE", {}, {"TITLE": "a b; rm *"}) == ["echo", "a b; rm *"]


def test_peers_whose_command_fails_when_the_lease_is_lost_are_removed_again(make, journal, tmp_path):
    marker = tmp_path / "works"
    backend = make(subnet_remove_command=f"sh -c 'test -e {marker} && TELL remove'")
    backend.claim(OURS)
    backend.carry({THEIRS: peer()}, 0)
    for _ in range(2):
        with pytest.raises(OSError, match=r"SubnetRemoveCommand has failed for 10\.2\.52\.0/24"):
            backend.release()
    marker.touch()
    backend.release()
    assert journal.read_text() == "remove|10.2.52.0/24|192.168.199.53|hello\n"
    backend.release()
    assert journal.read_text().count("remove") == 1
    backend.close()


def test_a_peer_that_is_carried_to_again_is_not_removed_any_more(make, journal):
    backend = make(subnet_remove_command="false", subnet_add_command="TELL add")
    backend.claim(OURS)
    backend.carry({THEIRS: peer()}, 0)
    with pytest.raises(OSError, match="SubnetRemoveCommand"):
        backend.release()
    backend.carry({THEIRS: peer()}, 0)
    backend.change([])
    with pytest.raises(OSError, match="SubnetRemoveCommand"):
        backend.release()
    assert journal.read_text().count("add") == 2
    backend.close()
