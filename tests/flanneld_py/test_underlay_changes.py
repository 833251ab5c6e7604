"""What becomes of the external interface while the daemon runs."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Final

import pytest

from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options
from flanneld_py.subnet import Address, Addresses
from flanneld_py.underlay.changes import InterfaceState, changes
from flanneld_py.underlay.changes import follow as follow_seen
from flanneld_py.underlay.follower import GRACE, UnderlayFollower
from flanneld_py.underlay.interface import (
    AssignedAddress,
    Candidate,
    Families,
    Interface,
    InterfaceSelection,
    Routes,
)
from tests.flanneld_py.daemon_world import Script
from tests.flanneld_py.made import addresses, config, pool4

IPV4: Final = Families(ipv4=True)
BOTH: Final = Families(ipv4=True, ipv6=True)
ETH0: Final = Interface(
    "eth0", 2, 1500, IPv4Address("192.168.50.11"), ipv4_networks=(IPv4Interface("192.168.50.11/24"),)
)


def candidate(*texts: str, name: str = "eth0", index: int = 2, mtu: int = 1500, up: bool = True) -> Candidate:
    held = tuple(AssignedAddress(ip_interface(text)) for text in texts)
    return Candidate(name, index, mtu, int(up), held)  # IFF_UP is 1 (linux/if.h)


def follow(
    interface: Interface,
    device: Candidate | None,
    needs: Families,
    *,
    names: tuple[str, ...] = (),
    public: Addresses | None = None,
    patient: bool = True,
    elsewhere: tuple[str, ...] = (),
) -> Interface | str:
    """Of a machine with this device, and with other addresses on others."""
    selection = InterfaceSelection(names=names, public=public or Addresses())
    own = () if device is None else device.addresses
    usable = frozenset(map(ip_address, elsewhere)) | {held.address.ip for held in own}
    return follow_seen(interface, InterfaceState(device, usable), needs, selection, patient=patient)


def test_an_interface_as_it_was_is_the_same():
    assert follow(ETH0, candidate("192.168.50.11/24", "fe80::1/64"), IPV4) == ETH0


def test_mtu_and_name_are_followed():
    seen = candidate("192.168.50.11/24", name="lan0", mtu=1400)
    after = follow(ETH0, seen, IPV4)
    assert after == replace(ETH0, name="lan0", mtu=1400)
    assert isinstance(after, Interface)
    assert changes(ETH0, after) == "eth0 was renamed to lan0 and the MTU of lan0 is 1400, no longer 1500"


def test_an_address_in_the_place_of_ours_is_taken_at_once():
    after = follow(ETH0, candidate("192.168.50.77/24"), IPV4)
    assert isinstance(after, Interface)
    assert after.ipv4 == IPv4Address("192.168.50.77")
    assert after.ipv4_networks == (IPv4Interface("192.168.50.77/24"),)
    assert changes(ETH0, after) == "eth0 has the address 192.168.50.77 instead of 192.168.50.11"


def test_an_address_that_was_always_there_is_taken_only_once_ours_stays_away():
    two = replace(ETH0, ipv4_networks=(*ETH0.ipv4_networks, IPv4Interface("192.168.50.111/24")))
    seen = candidate("192.168.50.111/24")
    assert follow(two, seen, IPV4) == "eth0 has lost the address 192.168.50.11"
    after = follow(two, seen, IPV4, patient=False)
    assert isinstance(after, Interface)
    assert after.ipv4 == IPv4Address("192.168.50.111")


def test_an_address_that_iface_names_is_exchanged_for_no_other():
    lost = "eth0 has lost the address 192.168.50.11"
    seen = candidate("192.168.50.77/24")
    assert follow(ETH0, seen, IPV4, names=("192.168.50.11",), patient=False) == lost
    assert follow(ETH0, seen, IPV4, names=("eth0", "192.168.50.12")) != lost


def test_a_public_ip_of_another_interface_is_ours_for_as_long_as_the_machine_has_it():
    public = addresses("203.0.113.7")
    announced = replace(ETH0, ipv4=IPv4Address("203.0.113.7"))  # by a routing protocol, and on lo
    seen = candidate("192.168.50.11/24")
    assert follow(announced, seen, IPV4, public=public, elsewhere=("203.0.113.7",)) == announced
    for patient in (True, False):
        lost = follow(announced, seen, IPV4, public=public, patient=patient)
        assert lost == "eth0 has lost the address 203.0.113.7"


def test_an_ipv6_address_that_another_machine_has_too_is_lost():
    both = replace(ETH0, ipv6=IPv6Address("fd00:50::11"), ipv6_networks=(IPv6Interface("fd00:50::11/64"),))
    taken = AssignedAddress(IPv6Interface("fd00:50::11/64"), 0x08)  # IFA_F_DADFAILED (linux/if_addr.h)
    seen = replace(candidate("192.168.50.11/24"), addresses=(*candidate("192.168.50.11/24").addresses, taken))
    assert follow(both, seen, BOTH) == "eth0 has lost the address fd00:50::11"


def test_of_several_new_addresses_the_one_is_taken_that_a_start_would_choose(machine):
    new = candidate("192.168.50.70/24", "192.168.50.77/24")
    machine.there = [replace(new, sources=(IPv4Address("192.168.50.77"),))]
    machine.rough = [new]
    move = machine.underlay.seen()
    assert move is not None
    assert move.to.public == addresses("192.168.50.77")


def test_an_interface_that_is_down_keeps_what_it_had():
    assert follow(ETH0, candidate(up=False), IPV4) == ETH0


def test_what_no_packet_of_the_overlay_needs_is_not_missed():
    both = replace(ETH0, ipv6=IPv6Address("fd00:50::11"))
    seen = candidate("192.168.50.11/24")
    assert follow(both, seen, IPV4) == both
    assert follow(both, seen, BOTH) == "eth0 has lost the address fd00:50::11"


def test_a_link_local_address_is_no_other_one():
    both = replace(ETH0, ipv6=IPv6Address("fd00:50::11"))
    seen = candidate("192.168.50.11/24", "fe80::2/64")
    assert follow(both, seen, BOTH, patient=False) == "eth0 has lost the address fd00:50::11"


def test_an_interface_that_is_gone_is_told():
    assert follow(ETH0, None, IPV4) == "the interface eth0 is gone"


# In time


class Machine:
    """Its interfaces, and an underlay that stands on the first."""

    def __init__(self, **options: object) -> None:
        self.time = Script()
        self.there: list[Candidate] = [candidate("192.168.50.11/24")]
        self.rough: list[Candidate] = []  # of a glance, where that sees less
        self.underlay = UnderlayFollower(
            Options(**options), self.time, self._look, self._glance  # type: ignore[arg-type]
        )  # fmt: skip
        network = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))
        self.attachment = self.underlay.begin(ETH0, network)

    def _look(self, _: Address | None) -> tuple[Sequence[Candidate], Routes]:
        return self.there, Routes()

    def _glance(self, index: int) -> InterfaceState:
        return InterfaceState(next((each for each in self.rough or self.there if each.index == index), None))


@pytest.fixture
def machine() -> Machine:
    return Machine(iface=("eth0",), iface_wait=60)


def test_a_move_is_told_until_it_was_made(machine):
    assert machine.underlay.seen() is None
    machine.there = [candidate("192.168.50.77/24", mtu=1400)]
    move = machine.underlay.seen()
    assert move is not None
    assert move == machine.underlay.seen()
    assert move.to.public == addresses("192.168.50.77")
    assert move.to.interface.mtu == 1400
    machine.underlay.take(move)
    assert machine.underlay.seen() is None


def test_an_interface_that_is_made_again_is_found_as_at_the_start(machine):
    machine.there = []
    assert machine.underlay.seen() is None
    assert machine.underlay.trouble.startswith("the interface eth0 is gone")
    machine.time.second += 59
    machine.there = [candidate("192.168.50.11/24", index=7)]
    move = machine.underlay.seen()
    assert move is not None
    assert move.to.interface.index == 7
    assert machine.underlay.trouble == ""


def test_an_interface_that_does_not_come_back_in_time_is_the_end(machine):
    machine.there = []
    machine.underlay.seen()
    machine.time.second += 61
    with pytest.raises(Fatal, match=r"the interface eth0 is gone.*waited 60 s, -iface-wait") as caught:
        machine.underlay.seen()
    assert caught.value.code == Exit.INTERFACE


def test_an_address_may_be_away_for_a_moment_but_not_for_long(machine):
    machine.there = [candidate()]
    assert machine.underlay.seen() is None
    assert machine.underlay.trouble == ""
    machine.time.second += GRACE + 1
    machine.underlay.seen()
    assert machine.underlay.trouble == "eth0 has lost the address 192.168.50.11"
    machine.there = [candidate("192.168.50.11/24")]
    machine.underlay.seen()
    assert machine.underlay.trouble == ""


def test_a_public_ip_that_is_given_stays_whatever_the_interfaces_address_is():
    machine = Machine(public_ip="203.0.113.7")
    assert machine.attachment.public == addresses("203.0.113.7")
    machine.there = [candidate("192.168.50.77/24")]
    move = machine.underlay.seen()
    assert move is not None
    assert move.to.public == addresses("203.0.113.7")


def test_a_name_that_iface_does_not_find_again_is_warned_of(machine, caplog):
    machine.there = [candidate("192.168.50.11/24", name="lan0")]
    move = machine.underlay.seen()
    assert move is not None
    machine.underlay.take(move)
    assert "-iface=eth0 will match no interface at the next start: it is called lan0" in caplog.text
