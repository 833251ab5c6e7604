"""What keeps the last packets of a device, on a real kernel: what is asked for is what has passed."""

import json
import zlib
from base64 import b64decode
from collections.abc import Callable

import pytest

from lab import wait
from lab.bundle import inside
from lab.inside import program
from tests.kernel.harness import Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

SOCKET = "/run/lab-packets"
SECRET = "a very secret password"
MEGABYTE = 1 << 20


@pytest.fixture
def hosts(sandbox: Sandbox) -> tuple[Host, Host]:
    return sandbox.host("a"), sandbox.host("b")


def recorder(host: Host, limit: int = MEGABYTE) -> Process:
    return host.spawn(*program(inside, "recorder", SOCKET, str(limit), "30", "eth0"))


def kept(host: Host) -> tuple[bytes, str] | None:
    """The file, and what tcpdump makes of it; None if nobody keeps any."""
    said = host.run(*program(inside, "packets", SOCKET, "30", "50000", "30")).text
    if not said:
        return None
    told = json.loads(said)
    assert told["device"] == "eth0"
    return zlib.decompress(b64decode(told["pcap"])), told["text"]


def has(host: Host, holds: Callable[[str], bool], what: str) -> tuple[bytes, str]:
    """Wait until what tcpdump says of the packets is like this."""

    def probe() -> tuple[bytes, str] | wait.NotYet:
        found = kept(host)
        return found if found is not None and holds(found[1]) else wait.NotYet(found and found[1][-500:])

    return eventually(probe, what)


def send(host: Host, to: Host, text: str, times: int = 1) -> None:
    host.run(
        *("python3", "-c"),
        "import socket, sys\n"
        "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(int(sys.argv[3])): out.sendto(sys.argv[2].encode(), (sys.argv[1], 9))",
        *(to.address, text, str(times)),
    )


def test_packets_of_both_directions_are_kept_and_nothing_that_they_carry(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    assert kept(a) is None
    recorder(a)
    eventually(lambda: kept(a) is not None or wait.NotYet("none"), "packets to be kept")
    a.run("ping", "-c", "1", b.address)
    send(a, b, SECRET)
    sent = f"{a.address}."
    file, text = has(a, lambda text: f"{b.address}.9: UDP" in text or "discard" in text, "a datagram")
    assert f"IP {a.address} > {b.address}: ICMP echo request" in text
    assert f"IP {b.address} > {a.address}: ICMP echo reply" in text
    assert f"IP {sent}" in text
    assert f"UDP, length {len(SECRET)}" in text
    assert SECRET.encode() not in file


def test_only_the_last_packets_are_kept(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    recorder(a, limit=MEGABYTE)
    eventually(lambda: kept(a) is not None or wait.NotYet("none"), "packets to be kept")
    send(a, b, "first", times=1)
    has(a, lambda text: "length 5" in text, "the first datagram")
    send(a, b, "following", times=20_000)
    send(a, b, "the last one", times=1)
    _, text = has(a, lambda text: "length 12" in text, "the last datagram")
    assert "length 5\n" not in text
    assert 1_000 < text.count("length 9\n") < 20_000


def test_a_device_that_goes_down_and_comes_up_again_is_followed(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    process = recorder(a)
    eventually(lambda: kept(a) is not None or wait.NotYet("none"), "packets to be kept")
    a.ip("link set eth0 down")
    a.ip("link set eth0 up")
    a.run("ping", "-c", "1", "-W", "5", b.address)
    has(a, lambda text: "ICMP echo reply" in text, "a packet after it came up")
    assert process.log == ""


@pytest.mark.thorough
def test_of_two_that_want_to_record_the_second_waits_for_the_end_of_the_first(
    hosts: tuple[Host, Host],
) -> None:
    a, b = hosts
    first = recorder(a)
    eventually(lambda: kept(a) is not None or wait.NotYet("none"), "packets to be kept")
    second = recorder(a)
    first.signal("KILL")
    first.ends()
    eventually(lambda: kept(a) is not None or wait.NotYet("none"), "the second to take over")
    a.run("ping", "-c", "1", b.address)
    has(a, lambda text: "ICMP echo reply" in text, "a packet of the second's")
    assert second.log == ""


def test_a_device_that_is_not_there_is_told(hosts: tuple[Host, Host]) -> None:
    a, _ = hosts
    process = a.spawn(*program(inside, "recorder", SOCKET, str(MEGABYTE), "30", "eth7"))
    assert process.ends() == 1
    assert "No such device" in process.log
