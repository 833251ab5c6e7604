"""What the fast path's programs leave to the daemon or the kernel, because these would take it otherwise."""

from collections.abc import Callable

import pytest

from lab import wait
from tests.kernel.counters import echoes, wrong_checksums
from tests.kernel.fast_path import NEEDED, goes_on_without, pair, stop
from tests.kernel.faults import UDP_WAYS, Node, configure, nodes
from tests.kernel.frames import echo_request, in_datagram, saying
from tests.kernel.harness import Process, eventually

pytestmark = NEEDED


def mac(of: Node, device: str) -> bytes:
    text = of.host.sysfs(f"class/net/{device}/address")
    return bytes.fromhex(text.strip().replace(":", ""))


def publish(between: Node, target: str, pod: str) -> None:
    """As a port that Kubernetes or Docker publishes: DNAT, masqueraded, and back through flannel0."""
    rules = f"""
        iptables -t nat -A PREROUTING -i flannel0 -d {target} -j DNAT --to {pod}
        iptables -t nat -A POSTROUTING -o flannel0 -d {pod} -j MASQUERADE
    """
    between.host.run("sh", "-ec", rules)


@pytest.mark.parametrize("way", UDP_WAYS)
@pytest.mark.parametrize("to", ["its tunnel address", "an address of its pods"])
def test_what_a_machine_hands_on_to_a_third_arrives(sandbox, way, to):
    configure(sandbox, "udp")
    here, between, there = nodes(sandbox, 3, *UDP_WAYS[way])
    target = f"{between.host.subnet}.{0 if to == 'its tunnel address' else 99}"
    pod = there.inside.address
    publish(between, target, pod)
    here.inside.reaches(target, here.inside.address)
    taker = there.inside.start("take_hashed", pod)
    taker.says("listening")
    taker.says(here.inside.run_python("send_hashed", target, "4").text.strip())
    assert wrong_checksums(*(node.host for node in (here, between, there))) == []


@pytest.mark.thorough
def test_tcp_that_a_machine_hands_on_to_a_third_needs_no_daemon_in_between(sandbox):
    configure(sandbox, "udp")
    here, between, there = nodes(sandbox, 3, *UDP_WAYS["fast path"])
    target, pod = f"{between.host.subnet}.0", there.inside.address
    publish(between, target, pod)
    here.inside.reaches(target, here.inside.address)
    goes_on_without(here.inside, there.inside, here, there)
    stop(between)
    taker = there.inside.start("take_hashed", pod)
    taker.says("listening")
    taker.says(here.inside.run_python("send_hashed", target, "4").text.strip())


@pytest.mark.thorough
@pytest.mark.parametrize("bytes_", [65467, 65468, 65495])
def test_a_super_packet_is_carried_however_long(sandbox, bytes_):
    """IPv4 ends at 65535 bytes: 65467 and 40 fit a datagram of 28 more, and 65495 and 40 a packet alone."""
    here, there = pair(sandbox)
    here.inside.reaches(there.inside.address, here.inside.address)
    counter = there.inside.start("count_tcp", there.inside.address)
    counter.says("listening")
    ends, gateway = (here.inside.address, there.inside.address), mac(here, "docker0").hex()
    here.inside.run_python("put_super_packet", *ends, gateway, str(bytes_))
    counter.says(f"came {bytes_}\n")


@pytest.mark.parametrize("wrong", ["the card's address", "the VLAN"])
def test_a_frame_that_is_not_for_this_machine_is_not_taken(sandbox, wrong):
    """The kernel, too, takes a datagram only from a frame for its own card (linux/if_packet.h, PACKET_HOST)
    and without a tag, unless there is a device for that VLAN (IEEE 802.1Q)."""
    here, there = pair(sandbox)
    packet = echo_request(f"{there.host.subnet}.0", f"{here.host.subnet}.0")
    datagram = in_datagram(packet, there.host.address, here.host.address)
    ours, theirs, ipv4 = mac(here, "eth0"), mac(there, "eth0"), b"\x08\x00"
    before = echoes(here.host)
    if wrong == "the VLAN":
        frame = ours + theirs + b"\x81\x00\x00\x05" + ipv4 + datagram
    else:
        frame = bytes([2, 0, 0, 0, 0, 99]) + theirs + ipv4 + datagram
    there.host.run_python("put_frame", frame.hex())
    # What is sent later comes later.
    there.host.run_python("put_frame", (ours + theirs + ipv4 + datagram).hex())

    def taken() -> bool | wait.NotYet:
        return echoes(here.host) > before or wait.NotYet(str(echoes(here.host)))

    eventually(taken, "the frame that is for this machine to be taken")
    assert echoes(here.host) == before + 1


def heard(hearer: Process) -> list[int]:
    """The lengths of datagrams that have come, in their order."""
    return [int(line.split()[0]) for line in hearer.log.splitlines()[1:]]


@pytest.mark.parametrize("way", UDP_WAYS)
def test_a_damaged_datagram_is_not_taken_though_nothing_within_has_a_checksum(sandbox, way):
    """IPv4's header has one (RFC 791), UDP a length and one over all (RFC 768): the kernel looks at them."""
    configure(sandbox, "udp")
    here, there = nodes(sandbox, 2, *UDP_WAYS[way])
    here.inside.reaches(there.inside.address, here.inside.address)
    hearer = here.inside.start("hear_hashed", here.inside.address)
    hearer.says("listening")
    inner = (there.inside.address, here.inside.address)
    link = mac(here, "eth0") + mac(there, "eth0") + b"\x08\x00"

    def put(size: int, damage: Callable[[bytearray], None] | None = None) -> None:
        outer = (there.host.address, here.host.address)
        datagram = bytearray(in_datagram(saying(bytes(size), *inner), *outer, summed=True))
        if damage is not None:
            damage(datagram)
        there.host.run_python("put_frame", (link + datagram).hex())

    def in_the_payload(datagram: bytearray) -> None:
        datagram[-1] ^= 1

    def in_the_checksum(datagram: bytearray) -> None:
        datagram[27] ^= 1

    def in_the_header(datagram: bytearray) -> None:
        datagram[8] ^= 1  # the TTL

    def in_the_length(datagram: bytearray) -> None:
        datagram[24:28] = (int.from_bytes(datagram[24:26]) - 2).to_bytes(2) + bytes(2)

    for size, damage in enumerate((in_the_payload, in_the_checksum, in_the_header, in_the_length), 10):
        put(size, damage)
    put(99)
    hearer.says("99 ")
    assert heard(hearer) == [99]


@pytest.mark.thorough
@pytest.mark.parametrize("way", UDP_WAYS)
def test_what_is_sent_to_a_subnets_broadcast_address_reaches_nobody_and_is_counted(sandbox, way):
    configure(sandbox, "udp")
    here, there = nodes(sandbox, 2, *UDP_WAYS[way])
    here.inside.reaches(there.inside.address, here.inside.address)
    hearer = here.host.start("hear_hashed", "0.0.0.0")
    hearer.says("listening")
    for target, words in ((255, "to many"), (1, "to one")):
        say = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto("
        say += "sys.argv[2].encode(), (sys.argv[1], 4244))"
        there.inside.run("python3", "-c", say, f"{here.host.subnet}.{target}", words)
    hearer.says("6 ")
    assert heard(hearer) == [len("to one")]
    here.has_dropped("the destination is a broadcast or multicast address")


@pytest.mark.thorough
def test_where_no_route_leads_to_a_node_the_daemon_is_told_so(sandbox):
    """Asked for a way by a certain interface alone, the kernel takes the node to be on the link."""
    here, there = pair(sandbox)
    here.inside.reaches(there.inside.address, here.inside.address)
    here.host.run("ip", "route", "add", "unreachable", there.host.address)
    lost = here.inside.run("ping", "-c1", "-W1", there.inside.address, check=False)
    assert lost.exit_code != 0
    here.has_dropped(f"sending to {there.host.address}: No route to host")
    here.host.run("ip", "route", "delete", "unreachable", there.host.address)
    here.inside.reaches(there.inside.address, here.inside.address)
