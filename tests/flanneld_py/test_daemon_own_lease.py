"""The daemon's own lease in others' hands: deleted, stolen, written over, made a reservation."""

import errno
import math
import os
from dataclasses import replace

import pytest

from flanneld_py.lease.model import LeaseAttrs, StoredLease, encode, encode_v2
from flanneld_py.registry import RegistryUnavailable
from tests.flanneld_py.daemon_world import HOUR, OUR_IP, THEIR_IP, Stop
from tests.flanneld_py.made import attrs, subnet
from tests.flanneld_py.memory_registry import MemoryRegistry


def test_a_deleted_lease_is_released_first_and_then_acquired_again(world):
    own = subnet("10.2.35.0/24")
    world.script.at(10, lambda: world.etcd.delete(own))
    world.script.at(12, lambda: None)
    world.run()
    calls = [call for call in world.backend.calls if call == "release" or call[0] == "claim"]
    assert calls == [("claim", str(own)), "release", ("claim", str(own))]
    assert world.holders() == {str(own): OUR_IP}


def test_a_stolen_lease_is_left_to_the_thief(world):
    own = subnet("10.2.35.0/24")
    world.script.at(10, lambda: world.etcd.put(own, attrs(THEIR_IP)))
    world.script.at(12, lambda: None)
    world.run()
    assert world.holders() == {str(own): THEIR_IP, "10.2.36.0/24": OUR_IP}
    assert world.subnet == "FLANNEL_SUBNET=10.2.36.1/24"
    assert set(world.backend.peers) == {own}


def test_junk_over_our_own_key_is_written_over(world):
    own = subnet("10.2.35.0/24")
    world.script.at(10, lambda: world.etcd.put_raw("10.2.35.0-24", b"no JSON"))
    world.script.at(20, lambda: None)
    world.run()
    assert world.holders() == {str(own): OUR_IP}
    assert "release" not in world.backend.calls


VXLAN = replace(attrs(OUR_IP), backend_type="vxlan", backend_data={"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4d"})


@pytest.mark.parametrize("ttl", [24 * HOUR, math.inf], ids=["lease", "reservation"])
def test_a_lease_that_another_wrote_in_our_name_says_again_what_peers_need(world, caplog, ttl):
    # An admin's reservation by flannel's Documentation/reservations.md, with the address alone.
    own = subnet("10.2.35.0/24")
    world.backend.said = VXLAN
    world.script.at(60, lambda: world.etcd.put(own, attrs(OUR_IP), ttl=ttl))
    world.script.at(63, lambda: None)
    world.run()
    stored = world.etcd.held(own)
    assert (stored.lease.attrs, stored.permanent) == (VXLAN, ttl == math.inf)
    assert "release" not in world.backend.calls
    assert "Lease 10.2.35.0/24 was overwritten by another writer" in caplog.text


def test_what_was_written_in_our_name_while_etcd_was_away_from_us_is_written_anew(world):
    own = subnet("10.2.35.0/24")
    world.backend.said = VXLAN

    def cut() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    def restored() -> None:
        world.etcd.put(own, attrs(OUR_IP), ttl=math.inf)
        world.etcd.compact()
        world.etcd.reachable = True

    world.script.at(60, cut)
    world.script.at(120, restored)
    world.script.at(130, lambda: None)
    world.run()
    stored = world.etcd.held(own)
    assert (stored.lease.attrs, stored.permanent) == (VXLAN, True)


@pytest.mark.parametrize("value", [b'{"PublicIP":"192.168.199.52"}', b"no JSON"], ids=["an address", "junk"])
def test_another_that_writes_in_our_name_all_the_time_is_not_fought_at_speed(world, caplog, value):
    world.backend.said = VXLAN
    world.script.at(1, lambda: None)
    for second in range(60, 360):
        world.script.at(second, lambda: world.etcd.put_raw("10.2.35.0-24", value))
    world.script.at(400, lambda: None)
    world.run()
    # Five minutes, a try every ten seconds; and the last word is ours.
    assert 28 <= caplog.text.count("Lease renewed") <= 33
    assert caplog.text.count("was overwritten by another writer") < 10
    assert world.etcd.held(subnet("10.2.35.0/24")).lease.attrs == VXLAN
    assert "release" not in world.backend.calls


def test_what_is_written_in_our_name_as_we_would_is_left_alone(world, caplog):
    # By etcd v2's spelling too, which lacks the VNI.
    world.backend.said = VXLAN
    for second, value in enumerate([encode(VXLAN), encode_v2(VXLAN)], 60):
        world.script.at(second, lambda value=value: world.etcd.put_raw("10.2.35.0-24", value))
    world.script.at(600, lambda: None)
    world.run()
    assert "Lease renewed" not in caplog.text
    assert "release" not in world.backend.calls


@pytest.mark.usefixtures("days")
def test_a_reservation_is_taken_and_stays_one(world):
    own = subnet("10.2.77.0/24")
    world.etcd.put(own, attrs(OUR_IP), ttl=math.inf)
    world.script.at(72 * HOUR, lambda: None)
    world.run()
    assert world.holders() == {str(own): OUR_IP}
    assert world.etcd.held(own).permanent
    assert "release" not in world.backend.calls


@pytest.mark.usefixtures("days")
def test_a_lease_that_is_made_a_reservation_while_it_is_held_stays_one(world):
    # flannel's Documentation/reservations.md: the lease's own value, written again without a TTL.
    own = subnet("10.2.35.0/24")
    world.script.at(HOUR, lambda: world.etcd.put(own, attrs(OUR_IP), ttl=math.inf))
    world.script.at(72 * HOUR, lambda: None)
    world.run()
    assert world.etcd.held(own).permanent
    assert world.backend.until == world.status.expires_at == math.inf
    assert "release" not in world.backend.calls


@pytest.mark.usefixtures("days")
def test_a_reservation_that_is_made_a_lease_while_it_is_held_is_renewed_from_then_on(world):
    own = subnet("10.2.77.0/24")
    world.etcd.put(own, attrs(OUR_IP), ttl=math.inf)
    world.script.at(72 * HOUR, lambda: world.etcd.put(own, attrs(OUR_IP), ttl=60))
    world.script.at(144 * HOUR, lambda: None)
    world.run()
    assert world.holders() == {str(own): OUR_IP}
    assert not world.etcd.held(own).permanent
    assert 144 * HOUR < world.backend.until == world.status.expires_at < 168 * HOUR
    assert "release" not in world.backend.calls


def test_attributes_that_changed_are_announced_at_once(world):
    own = subnet("10.2.35.0/24")

    def new_mac() -> None:
        world.backend.said = replace(attrs(OUR_IP), backend_data={"VtepMAC": "52:08:1a:2b:3c:4d"})

    world.script.at(10, new_mac)
    world.script.at(13, lambda: None)
    world.run()
    assert world.etcd.held(own).lease.attrs.backend_data == {"VtepMAC": "52:08:1a:2b:3c:4d"}
    assert "release" not in world.backend.calls


def cannot_let_go() -> None:
    raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def test_what_a_lost_lease_has_in_force_is_withdrawn_however_often_that_fails(world, monkeypatch, caplog):
    own, seen = subnet("10.2.35.0/24"), []

    def fail() -> None:
        # Nor is there another lease to be had.
        monkeypatch.setattr(world.backend, "release", cannot_let_go)
        world.etcd.put(own, attrs(THEIR_IP))
        world.etcd.reachable = False

    world.script.at(10, fail)
    world.script.at(100, lambda: seen.append((world.status.ready, world.status.unfenced)))
    world.script.at(101, monkeypatch.undo)
    world.script.at(115, lambda: seen.append((world.status.ready, world.status.unfenced)))
    world.run()
    why = "Withdrawing what the lease of 10.2.35.0/24 had in force: No buffer space available"
    assert seen == [(False, why), (False, "")]
    assert world.backend.calls.count("release") == 1
    told = [record.getMessage() for record in caplog.records if why in record.getMessage()]
    assert 2 <= len(told) <= 6
    assert "Everything that the lease of 10.2.35.0/24 had in force is withdrawn now" in caplog.text


def test_another_lease_is_held_though_the_lost_one_could_not_be_withdrawn(world, monkeypatch):
    own = subnet("10.2.35.0/24")

    def fail() -> None:
        monkeypatch.setattr(world.backend, "release", cannot_let_go)
        world.etcd.put(own, attrs(THEIR_IP))

    world.script.at(10, fail)
    world.script.at(20, lambda: None)
    world.run()
    assert world.subnet == "FLANNEL_SUBNET=10.2.36.1/24"
    assert world.status.ready
    assert world.status.unfenced == ""  # all of the old lease's was replaced by `carry`
    assert set(world.backend.peers) == {own}


def test_a_daemon_that_ends_withdraws_once_more_what_is_in_force_of_a_lost_lease(world, monkeypatch):
    def fail() -> None:
        monkeypatch.setattr(world.backend, "release", cannot_let_go)
        world.etcd.put(subnet("10.2.35.0/24"), attrs(THEIR_IP))
        world.etcd.reachable = False

    world.script.at(10, fail)
    world.script.at(20, monkeypatch.undo)
    world.script.at(20, lambda: None)
    daemon = world.daemon()
    with pytest.raises(Stop):
        daemon.run()
    world.backend.calls.clear()
    daemon.close()
    assert world.backend.calls == ["release", "close"]


NEW_IP = "192.168.199.99"


def test_an_address_that_changed_is_announced_and_the_subnet_stays(world):
    own = subnet("10.2.35.0/24")
    world.script.at(60, lambda: setattr(world.backend, "said", attrs(NEW_IP)))
    world.script.at(90, lambda: None)
    world.run()
    assert world.holders() == {str(own): NEW_IP}
    assert "release" not in world.backend.calls
    assert world.backend.peers == {}  # nor is the lease taken for another machine's


def test_a_renewal_with_another_address_whose_answer_is_lost_loses_no_lease(world, monkeypatch):
    own = subnet("10.2.35.0/24")
    renew = world.registry.renew

    def unanswered(held: StoredLease, said: LeaseAttrs) -> int | None:
        renew(held, said)
        monkeypatch.setattr(world.registry, "renew", renew)
        raise RegistryUnavailable("etcd does not answer: deadline exceeded")

    def move() -> None:
        monkeypatch.setattr(world.registry, "renew", unanswered)
        world.backend.said = attrs(NEW_IP)

    world.script.at(60, move)
    world.script.at(90, lambda: None)
    world.run()
    assert world.holders() == {str(own): NEW_IP}
    assert "release" not in world.backend.calls
    assert world.backend.peers == {}


def test_who_takes_the_subnet_by_an_address_that_was_ours_is_another(world):
    own = subnet("10.2.35.0/24")
    world.script.at(60, lambda: setattr(world.backend, "said", attrs(NEW_IP)))
    world.script.at(90, lambda: world.etcd.put(own, attrs(OUR_IP)))
    world.script.at(100, lambda: None)
    world.run()
    assert world.holders()[str(own)] == OUR_IP
    assert "release" in world.backend.calls


def test_a_lease_that_is_deleted_just_as_it_is_renewed_with_another_address_is_lost(world):
    """A peer's lease has the new address: it is refused, and our own looked at before the backend knows."""
    moved = "192.168.199.77"

    class Meddled(MemoryRegistry):
        def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
            answer = super().renew(held, attrs)
            world.etcd.delete(held.lease.subnet)
            return answer

    world.registry = Meddled(world.etcd)
    world.etcd.put(subnet("10.2.52.0/24"), attrs(moved))
    world.script.at(10, lambda: setattr(world.backend, "said", attrs(moved)))
    world.script.at(20, lambda: None)
    world.run()
    assert "release" in world.backend.calls
