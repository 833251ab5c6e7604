"""The udp backend, with something in place of what carries its packets."""

import errno
import os
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from flanneld_py.backend import udp
from flanneld_py.config import parse
from flanneld_py.config.model import Udp
from flanneld_py.interface import Interface
from flanneld_py.kernel import own
from flanneld_py.options import Options
from flanneld_py.subnet import Addresses, Subnet

LO = Interface(
    "lo",
    socket.if_nametoindex("lo"),
    65536,
    IPv4Address("127.0.0.1"),
    ipv4_networks=(IPv4Interface("127.0.0.1/8"),),
)
OURS = Subnet(IPv4Network("10.2.35.0/24"))


class Carrier:
    """Moves nothing; it can only be made if `refusal` is None."""

    refusal: OSError | None = None
    made: list["Carrier"]
    device = "flannel0"
    index = 7
    inlet: tuple[str, int] | None = None
    damage = ""

    def __init__(self, *_: object, **__: object) -> None:
        if Carrier.refusal is not None:
            raise Carrier.refusal
        self.failure: OSError | None = None
        self.closed = False
        Carrier.made.append(self)

    @property
    def alive(self) -> bool:
        return self.failure is None

    def begin(self) -> None:
        pass

    def renew(self) -> None:
        self.damage = ""

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(udp, "require_tun", lambda: None)
    monkeypatch.setattr(udp, "Carrier", Carrier)
    monkeypatch.setattr(own, "establish", lambda _: None)
    monkeypatch.setattr(Carrier, "refusal", None)
    monkeypatch.setattr(Carrier, "made", [], raising=False)
    network = parse(b'{"Network": "10.2.0.0/16"}')
    made = udp.UdpBackend(network, Udp(port=0), LO, Addresses(IPv4Address("127.0.0.1")), Options())
    yield made
    made.close()


def test_a_device_that_cannot_be_made_anew_is_tried_again(backend, monkeypatch):
    backend.claim(OURS)
    assert backend.broken() == ""
    (lost,) = Carrier.made
    lost.failure = OSError(errno.EBADFD, os.strerror(errno.EBADFD))
    assert backend.broken() == "flannel0 does not work any more: File descriptor in bad state"
    monkeypatch.setattr(Carrier, "refusal", OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    with pytest.raises(OSError, match="Too many open files"):
        backend.claim(OURS)
    assert lost.closed
    assert backend.broken() == "flannel0 could not be made anew"
    monkeypatch.setattr(Carrier, "refusal", None)
    backend.claim(OURS)
    assert backend.broken() == ""


def test_a_device_that_cannot_be_given_its_address_is_ended_and_tried_again(backend, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(own, "establish", refuse)
    with pytest.raises(OSError, match="No such device"):
        backend.claim(OURS)
    assert [carrier.closed for carrier in Carrier.made] == [True]
    assert backend.broken() == "flannel0 could not be made anew"
