"""Cards that do not fill in checksums of encapsulated packets: ping works, and TCP only if we see to it."""

import json
from collections.abc import Iterator

import pytest

from lab import wait
from tests.kernel.harness import Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel


@pytest.fixture
def hosts(sandbox: Sandbox) -> Iterator[tuple[Host, Host]]:
    """Two machines with faulty cards eth1 and a cable between them; eth0 is for etcd."""
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": "vxlan"}}))
    made = sandbox.host("a"), sandbox.host("b")
    for number, host in enumerate(made, 11):
        script = f"""
            ip link add name wire-{host.name} type veth peer name eth1 netns {host.name}
            ip link set wire-{host.name} up
            ip -n {host.name} link set eth1 up gso_max_segs 1
            ip -n {host.name} address add 192.168.60.{number}/24 dev eth1
        """
        sandbox.run("sh", "-ec", script)
    sandbox.start("faulty_card", "wire-a", "wire-b").says("plugged in")
    yield made
    for host in made:
        sandbox.run("ip", "link", "delete", f"wire-{host.name}")


def start(hosts: tuple[Host, Host], *options: str) -> list[Process]:
    daemons = [host.flanneld(*options, iface="eth1") for host in hosts]
    for daemon in daemons:
        daemon.says("Subnet added: ")
    return daemons


def offload(host: Host) -> bool:
    return host.run_python("tx_checksum").text.strip() == "True"


def serve(hosts: tuple[Host, Host]) -> tuple[str, str]:
    """A server on the second machine; the addresses of the first and of the second."""
    source, destination = (host.bridge() for host in hosts)
    hosts[0].reaches(destination, source)
    hosts[1].start("give_back_once", destination).says("listening")
    return source, destination


@pytest.mark.thorough
def test_left_alone_ping_works_and_tcp_does_not(hosts):
    start(hosts, "-vxlan-tx-checksum=on")
    source, destination = serve(hosts)
    ask = hosts[0].run_python("ask_back", destination, source, check=False)
    assert "timed out" in ask.output
    # Outside of the overlay there is no trouble with these cards.
    hosts[1].start("give_back_once", "192.168.60.12").says("listening")
    hosts[0].run_python("ask_back", "192.168.60.12", "192.168.60.11")
    assert offload(hosts[0])


@pytest.mark.thorough
def test_told_so_it_is_off_from_the_start(hosts):
    start(hosts, "-vxlan-tx-checksum=off")
    source, destination = serve(hosts)
    hosts[0].run_python("ask_back", destination, source)
    assert not offload(hosts[0])


def test_the_trouble_is_found_and_worked_around(hosts):
    daemons = start(hosts)
    for daemon in daemons:
        daemon.says("TCP gets through flannel.1 only while its transmit checksum offload is off", timeout=20)
    source, destination = serve(hosts)
    hosts[0].run_python("ask_back", destination, source)
    # The next daemon need not find out again.
    daemons[0].signal("TERM")
    assert daemons[0].ends() == 0
    again = hosts[0].flanneld(iface="eth1")
    again.says("Watching for new subnet leases")
    assert not offload(hosts[0])
    hosts[0].run_python("ask_back", destination, source)


@pytest.mark.thorough
def test_a_peer_that_does_not_answer_is_not_taken_for_the_fault(hosts):
    here, there = hosts
    # Whatever comes to the peer is lost.
    there.run("iptables", "-A", "INPUT", "-i", "flannel.1", "-p", "tcp", "-j", "DROP")
    daemon, _ = start(hosts, "-v=1")
    daemon.says("Cannot judge checksums", timeout=15)
    assert offload(here)
    assert "only while its transmit checksum offload is off" not in daemon.log


def test_with_good_cards_offload_stays_on(sandbox):
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": "vxlan"}}))
    made = sandbox.host("a"), sandbox.host("b")
    daemons = [host.flanneld("-v=1") for host in made]
    for daemon in daemons:
        daemon.says("TCP gets through flannel.1 with checksums left to the card")

    def probe() -> bool | wait.NotYet:
        seen = [offload(host) for host in made]
        return seen == [True, True] or wait.NotYet(seen)

    eventually(probe, "offload on both machines")
