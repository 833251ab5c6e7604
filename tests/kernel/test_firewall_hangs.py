"""An iptables that hangs, for the xtables lock that another holds say: the lease does not wait for it."""

import json

import pytest

from lab import wait
from lab.engine import FileContent
from tests.kernel.faults import TTL, Node, configure, cut, start
from tests.kernel.harness import PREFIX, Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

FOLDER = "/opt/hanging"
# Works as ever, and once there is a file `now` not at all: a file then tells who has begun to hang.
PROGRAM = f"""#!/bin/sh
[ ! -e {FOLDER}/now ] || {{ touch {FOLDER}/hangs; exec sleep 1000; }}
PATH=${{PATH#{FOLDER}:}} exec "${{0##*/}}" "$@"
"""


@pytest.fixture
def here(sandbox: Sandbox) -> Node:
    """A machine with a peer, a lease of `TTL` seconds, and an iptables-save that has begun to hang."""
    configure(sandbox, "host-gw")
    host = sandbox.host("a")
    install(sandbox)
    node = Node(host, hanging(host))
    start(sandbox.host("b"))
    node.daemon.says("Subnet added: ")
    sandbox.run("touch", f"{FOLDER}/now")
    hangs(sandbox, node.daemon)
    return node


def install(sandbox: Sandbox) -> None:
    sandbox.run("rm", "-rf", FOLDER)
    program = FileContent(PROGRAM.encode(), 0o755)
    sandbox.put({f"{FOLDER}/{name}": program for name in ("iptables-save", "ip6tables-save")})


def hangs(sandbox: Sandbox, daemon: Process) -> None:
    """Wait until iptables-save does."""

    def probe() -> bool | wait.NotYet:
        found = sandbox.run("ls", FOLDER).text
        return "hangs" in found or wait.NotYet(found + daemon.log)

    eventually(probe, "iptables-save to hang")


def hanging(host: Host) -> Process:
    path = f"{FOLDER}:/usr/sbin:/usr/bin:/sbin:/bin"
    return start(host, "-ip-masq", "-iptables-resync=1", altered={"ttl": TTL}, path=path)


# `firewall.program` waits 15 seconds for it, and a lease lives 6 for its holder here.


@pytest.mark.thorough
def test_the_lease_is_renewed_while_iptables_hangs(here):
    so_far = here.daemon.log.count("Lease renewed: ")
    here.daemon.says("Lease renewed: ", times=so_far + 3, timeout=3 * TTL)
    assert "lost: " not in here.daemon.log


@pytest.mark.thorough
def test_a_lease_that_cannot_be_renewed_is_fenced_in_time_while_iptables_hangs(here):
    assert "proto 241" in here.host.run("ip", "route").text
    with cut(here.host, outgoing=["ip daddr 192.168.50.1"]):
        here.daemon.says("lost: it could not be renewed in time", timeout=TTL)
        assert "proto 241" not in here.host.run("ip", "route").text


def test_a_lease_that_was_taken_away_is_fenced_at_once_while_iptables_hangs(here, sandbox):
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{here.host.subnet}.0-24")
    here.daemon.says("lost: its key was deleted or has expired", timeout=3)
    assert "proto 241" not in here.host.run("ip", "route").text


@pytest.mark.thorough
def test_it_is_told_once_that_it_hangs_and_what_was_changed_meanwhile_is_put_right(here, sandbox):
    here.host.run("iptables", "-F", "FLANNEL-FWD")
    here.daemon.says("The packet filter rules cannot be installed: ", timeout=40)
    sandbox.run("rm", f"{FOLDER}/now")
    here.daemon.says("The packet filter rules are in place again", timeout=40)
    assert "10.2.0.0/16" in here.host.run("iptables", "-S", "FLANNEL-FWD").text


@pytest.mark.thorough
def test_the_users_last_command_is_run_though_the_daemon_waits_for_iptables(sandbox):
    commands = {"PostStartupCommand": "true", "ShutdownCommand": "ip link add name farewell type bridge"}
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": "extension", **commands}}))
    install(sandbox)
    sandbox.run("touch", f"{FOLDER}/now")
    host = sandbox.host("a")
    daemon = hanging(host)
    hangs(sandbox, daemon)
    daemon.signal("TERM")
    assert daemon.ends(5) == 0
    assert "farewell" in host.links()
    assert "Ran ShutdownCommand" in daemon.log
