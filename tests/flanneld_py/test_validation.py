"""What a lease must be, by itself, for its holder to be a peer: of every backend alike."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from flanneld_py.lease.validation import LeaseRules, ProtectedAddresses, RefusalReason, too_wide
from tests.flanneld_py.made import addresses, config, held, pool4, pool6, subnet

# The tutorial's network and one of its minions.
NETWORK = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))
OWN = subnet("10.2.35.0/24")
PUBLIC = addresses("192.168.199.52")
NEEDS = ProtectedAddresses(
    own={
        ip_address("192.168.199.52"): "eth0",
        ip_address("10.2.35.1"): "docker0",
        ip_address("10.2.9.1"): "br1",
    },
    broadcasts=frozenset({ip_address("192.168.199.255")}),
    registries=frozenset({ip_address("10.2.70.1")}),
    gateways=frozenset({ip_address("10.2.80.1")}),
)
RULES = LeaseRules(NETWORK, OWN, PUBLIC, NEEDS)


def fault(network: str, address: str = "192.168.199.53", *, permanent: bool = False) -> RefusalReason | None:
    refusal = RULES.unfit(replace(held(network, address), permanent=permanent))
    return None if refusal is None else refusal.fault


def test_a_peers_lease_is_taken_also_outside_the_range_that_subnets_are_picked_from():
    assert fault("10.2.52.0/24") is None
    assert fault("10.2.0.0/24") is None


@pytest.mark.parametrize("network", ["10.3.0.0/24", "192.168.199.0/24", "10.0.0.0/8", "0.0.0.0/1"])
def test_a_lease_outside_the_network_is_refused(network):
    assert fault(network) is RefusalReason.OUTSIDE


@pytest.mark.parametrize(
    "network", ["10.2.0.0/16", "10.2.0.0/17", "10.2.52.0/23", "10.2.52.0/25", "10.2.52.9/32"]
)
def test_a_lease_that_is_not_of_the_networks_length_is_refused(network):
    assert fault(network) is RefusalReason.LENGTH


def test_a_reservation_may_be_of_several_subnets_but_not_of_all_or_of_less_than_one():
    assert fault("10.2.64.0/22", permanent=True) is None
    assert fault("10.2.52.0/24", permanent=True) is None
    assert fault("10.2.0.0/16", permanent=True) is RefusalReason.LENGTH
    assert fault("10.2.52.0/25", permanent=True) is RefusalReason.LENGTH


def test_a_lease_that_has_an_address_of_our_subnet_is_refused():
    assert fault("10.2.35.0/24") is RefusalReason.OURS
    assert fault("10.2.32.0/21", permanent=True) is RefusalReason.OURS


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("255.255.255.255", "the broadcast address"),
        ("192.168.199.255", "the broadcast address of a network of this machine"),
        ("224.0.0.1", "a multicast address"),
        ("239.255.255.255", "a multicast address"),
        ("127.0.0.1", "a loopback address"),
        ("127.255.255.254", "a loopback address"),
        ("10.2.9.1", "this machine's own, of br1"),
    ],
)
def test_a_public_address_that_no_packet_may_be_sent_to_is_refused(address, what):
    refusal = RULES.unfit(held("10.2.52.0/24", address))
    assert refusal is not None
    assert refusal.fault is RefusalReason.ADDRESS
    assert refusal.reason == f"its public address {address} is {what}"


@pytest.mark.parametrize("address", ["192.168.199.54", "169.254.7.7", "100.64.0.1", "240.0.0.1", "128.0.0.1"])
def test_any_other_machines_public_address_is_taken(address):
    assert fault("10.2.52.0/24", address) is None


def test_a_public_address_inside_its_own_subnet_leads_nowhere():
    assert fault("10.2.52.0/24", "10.2.52.9") is RefusalReason.ADDRESS


@pytest.mark.parametrize(
    ("network", "what"),
    [
        ("10.2.9.0/24", "10.2.9.1, this machine's own address, of br1"),
        ("10.2.70.0/24", "10.2.70.1, the registry's address"),
        ("10.2.80.0/24", "10.2.80.1, the default gateway"),
    ],
)
def test_a_lease_that_covers_what_this_machine_needs_is_refused(network, what):
    refusal = RULES.unfit(held(network, "192.168.199.53"))
    assert refusal is not None
    assert refusal.fault is RefusalReason.COVERS
    assert refusal.reason == f"it covers {what}"


def test_with_two_families_each_is_judged_and_one_alone_will_do():
    both = config(
        pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"),
        pool6("2001:cafe:42::/56", "2001:cafe:42:1::/64", "2001:cafe:42:ff::/64"),
    )
    rules = LeaseRules(both, subnet("10.2.35.0/24", "2001:cafe:42:1::/64"))

    def lease(
        *networks: str, address: tuple[str, ...] = ("192.168.199.53", "fd00:199::53")
    ) -> RefusalReason | None:
        item = held(networks[0], "192.168.199.53")
        attrs = replace(item.lease.attrs, public=addresses(*address))
        refusal = rules.unfit(replace(item, lease=replace(item.lease, subnet=subnet(*networks), attrs=attrs)))
        return None if refusal is None else refusal.fault

    assert lease("10.2.52.0/24", "2001:cafe:42:2::/64") is None
    assert lease("10.2.52.0/24") is None
    assert lease("10.2.52.0/24", "2001:cafe:43:2::/64") is RefusalReason.OUTSIDE
    assert lease("10.2.52.0/24", "2001:cafe:42:2::/65") is RefusalReason.LENGTH
    assert lease("10.2.52.0/24", "2001:cafe:42:1::/64") is RefusalReason.OURS
    for wrong in ("::1", "ff02::1"):
        assert (
            lease("10.2.52.0/24", "2001:cafe:42:2::/64", address=("192.168.199.53", wrong))
            is RefusalReason.ADDRESS
        )


def test_what_is_of_a_family_that_the_network_has_not_does_not_matter():
    item = held("10.2.52.0/24", "192.168.199.53")
    attrs = replace(item.lease.attrs, public=addresses("192.168.199.53", "::1"))
    subnets = subnet("10.2.52.0/24", "2001:db8::/32")
    assert RULES.unfit(replace(item, lease=replace(item.lease, subnet=subnets, attrs=attrs))) is None
    other = replace(item.lease, subnet=subnet("2001:db8::/64"))
    refusal = RULES.unfit(replace(item, lease=other))
    assert refusal is not None
    assert refusal.fault is RefusalReason.OUTSIDE


def test_a_network_that_covers_what_the_machine_needs_is_warned_of_with_what_to_do():
    assert too_wide(LeaseRules(NETWORK, OWN, PUBLIC), kept=False) == ""
    warning = too_wide(LeaseRules(NETWORK, OWN, addresses("10.2.3.4"), NEEDS), kept=False)
    assert "The network 10.2.0.0/16 covers" in warning
    for what in ("10.2.3.4 (this machine's public address)", "10.2.70.1 (the registry's address)"):
        assert what in warning
    assert "10.2.80.1 (the default gateway)" in warning
    assert "choose a Network that is used for nothing else" in warning
    # Docker's bridge has an address of the overlay on every machine.
    assert "10.2.35.1" not in warning
