"""The daemon's sequence over hours, in virtual time, against an etcd in memory."""

import errno
import logging
import math
import os
import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flanneld_py.backend import Backend, Statistics
from flanneld_py.board import Board
from flanneld_py.clock import Time
from flanneld_py.config.model import NetworkConfig
from flanneld_py.daemon import Daemon
from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease import Added, Event, HeldLease, Lease, LeaseAttrs, encode, encode_v2
from flanneld_py.options import Options
from flanneld_py.registry import Unavailable, WatchMessage, beside
from flanneld_py.registry.memory import MemoryEtcd, MemoryRegistry
from flanneld_py.subnet import Subnet
from tests.flanneld_py.made import attrs, subnet

OUR_IP, THEIR_IP = "192.168.199.52", "192.168.199.53"
THEIRS = subnet("10.2.52.0/24")
HOUR = 3600.0

T = TypeVar("T")


class Stop(Exception):
    """The script is through."""


class Script(Time):
    """Virtual time: each action happens at its second; when the last has, and time still passes, `Stop`."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0.0
        self.actions: list[tuple[float, Callable[[], object]]] = []

    def at(self, second: float, action: Callable[[], object]) -> None:
        self.actions.append((second, action))
        self.actions.sort(key=lambda item: item[0])

    def now(self) -> float:
        return self.second

    def rest(self, seconds: float) -> None:
        end = self.second + seconds
        while self.actions and self.actions[0][0] <= end:
            self.second, action = self.actions.pop(0)
            action()
        self.second = end
        if not self.actions:
            raise Stop

    def receive(self, inbox: "queue.SimpleQueue[T]", seconds: float) -> T | None:
        if not inbox.empty():
            return inbox.get_nowait()
        end = self.second + seconds
        while self.actions and self.actions[0][0] <= end:
            self.second, action = self.actions.pop(0)
            action()
            if not inbox.empty():
                return inbox.get_nowait()
        self.second = end
        if not self.actions:
            raise Stop
        return None


class Recorder(Backend):
    """A backend that writes down what it is asked to do, and which peers it then carries packets to."""

    mtu = 1472

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.peers: dict[Subnet, Lease] = {}
        self.until = 0.0
        self.trouble = ""
        self.said = attrs(OUR_IP)
        self.repairs = 0

    def announcement(self) -> bytes:
        return b""

    def attrs(self) -> LeaseAttrs:
        return self.said

    def claim(self, subnet: Subnet) -> None:
        self.calls.append(("claim", str(subnet)))

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        self.peers, self.until = dict(peers), until
        self._reaches()

    def change(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Added):
                self.peers[event.lease.subnet] = event.lease
            else:
                del self.peers[event.lease.subnet]
        self._reaches()

    def _reaches(self) -> None:
        self.calls.append(("peers", sorted(map(str, self.peers))))

    def extend(self, until: float) -> None:
        self.until = until

    def broken(self) -> str:
        trouble, self.trouble = self.trouble, ""
        return trouble

    def repair(self) -> int:
        self.repairs += 1
        return 0

    def statistics(self) -> Statistics:
        return Statistics()

    def release(self) -> None:
        self.calls.append("release")

    def close(self) -> None:
        self.calls.append("close")


class RecordedFilters:
    """Filter rules that are written down."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def set(self, _network: NetworkConfig, subnet: Subnet) -> None:
        self.calls.append(f"set {subnet}")

    def sync(self) -> int:
        self.calls.append("sync")
        return 1


class World:
    """A daemon and all around it."""

    def __init__(self, folder: Path) -> None:
        self.script = Script()
        self.etcd = MemoryEtcd(self.script.now)
        self.etcd.config = b'{ "Network": "10.2.0.0/16" }'
        self.registry = MemoryRegistry(self.etcd)
        self.backend = Recorder()
        self.subnet_file = folder / "flannel" / "subnet.env"
        self.filters = RecordedFilters()
        self.board = Board()
        # Of the free subnets from 10.2.1.0/24 up: 10.2.35.0/24, and while that is taken 10.2.36.0/24.
        self.picked = iter([34, 34])

    def daemon(self, **options: Any) -> Daemon:
        return Daemon(
            Options(**options),
            self.registry,
            open_backend=lambda _config: self.backend,
            subnet_file=self.subnet_file,
            prefix="/coreos.com/network",
            filters=self.filters,
            ready=lambda: self.backend.calls.append(("READY=1", self.subnet)),
            time=self.script,
            randrange=lambda _count: next(self.picked),
            board=self.board,
        )

    def run(self, **options: Any) -> None:
        with pytest.raises(Stop):
            self.daemon(**options).run()

    @property
    def subnet(self) -> str:
        return self.subnet_file.read_text().splitlines()[1]

    def holders(self) -> dict[str, str]:
        return {str(held.lease.subnet): str(held.lease.attrs.public) for held in self.etcd.snapshot().leases}


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO, logger="flanneld_py")
    return World(tmp_path)


def test_it_claims_a_subnet_reaches_its_peers_writes_the_file_and_says_ready(world):
    world.etcd.put(THEIRS, attrs(THEIR_IP))
    world.script.at(1, lambda: None)
    world.run()
    assert world.backend.calls[:3] == [
        ("claim", "10.2.35.0/24"),
        ("peers", ["10.2.52.0/24"]),
        ("READY=1", "FLANNEL_SUBNET=10.2.35.1/24"),
    ]


def test_a_subnet_that_it_had_is_taken_again_from_its_file(world):
    world.subnet_file.parent.mkdir()
    world.subnet_file.write_text(
        "FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET=10.2.77.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
    )
    world.script.at(1, lambda: None)
    world.run()
    assert world.holders() == {"10.2.77.0/24": OUR_IP}


def test_a_lease_is_renewed_an_hour_before_it_ends_and_held_for_days(world):
    revisions = []
    own = subnet("10.2.35.0/24")
    for hour in (1, 22, 24, 47, 72):
        world.script.at(hour * HOUR, lambda: revisions.append(world.etcd.held(own).revision))
    world.run()
    first, same, second, third, _ = revisions
    assert first == same < second < third
    assert world.backend.calls.count(("claim", "10.2.35.0/24")) == 1


def test_an_outage_shorter_than_the_lease_changes_nothing_for_the_packets(world):
    world.etcd.put(THEIRS, attrs(THEIR_IP))

    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    def recovery() -> None:
        world.etcd.reachable = True

    world.script.at(10, outage)
    world.script.at(70, recovery)
    world.script.at(80, lambda: None)
    world.run()
    assert "release" not in world.backend.calls
    assert set(world.backend.peers) == {THEIRS}


def test_an_outage_is_told_once_and_at_growing_intervals(world, caplog):
    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    world.script.at(10, outage)
    world.script.at(70, lambda: None)
    world.run()
    told = [record for record in caplog.records if "no route" in record.getMessage()]
    assert 1 <= len(told) <= 5


def test_a_lease_that_could_not_be_renewed_in_time_is_not_used_any_longer(world):
    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    seen = []
    world.script.at(HOUR, outage)
    world.script.at(23.9 * HOUR, lambda: seen.append("release" in world.backend.calls))
    world.script.at(24.1 * HOUR, lambda: seen.append("release" in world.backend.calls))
    world.run()
    assert seen == [False, True]


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


def test_a_theft_during_an_outage_is_noticed_when_etcd_is_back(world):
    own = subnet("10.2.35.0/24")

    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    def recovery() -> None:
        world.etcd.put(own, attrs(THEIR_IP))
        world.etcd.reachable = True

    world.script.at(10, outage)
    world.script.at(20, recovery)
    world.script.at(30, lambda: None)
    world.run()
    assert world.holders()[str(own)] == THEIR_IP
    assert "release" in world.backend.calls


def test_without_a_configuration_it_waits_and_says_so(world, caplog):
    world.etcd.config = None

    def configure() -> None:
        world.etcd.config = b'{ "Network": "10.2.0.0/16" }'

    world.script.at(30, configure)
    world.script.at(40, lambda: None)
    world.run()
    assert world.holders() == {"10.2.35.0/24": OUR_IP}
    told = [
        record for record in caplog.records if "has no key /coreos.com/network/config" in record.getMessage()
    ]
    assert 1 <= len(told) <= 4


def test_a_bad_configuration_is_fatal_and_named(world):
    world.etcd.config = b'{ "Network": "10.2.0.0/16", "SubnetLen": 8 }'
    with pytest.raises(Fatal, match=r"/coreos\.com/network/config: SubnetLen"):
        world.daemon().run()


def test_peers_come_and_go(world, caplog):
    world.script.at(10, lambda: world.etcd.put(THEIRS, attrs(THEIR_IP)))
    world.script.at(20, lambda: world.etcd.delete(THEIRS))
    world.script.at(30, lambda: None)
    world.run()
    peers = [call for call in world.backend.calls if call[0] == "peers"]
    assert [call for call, _ in groupby(peers)] == [("peers", []), ("peers", ["10.2.52.0/24"]), ("peers", [])]
    told = [record.getMessage() for record in caplog.records if "Subnet " in record.getMessage()]
    assert told[-2:] == ["Subnet added: 10.2.52.0/24", "Subnet removed: 10.2.52.0/24"]


def test_packets_are_carried_until_the_lease_ends_and_longer_once_it_is_renewed(world):
    seen = []
    for hour in (1, 23.5):
        world.script.at(hour * HOUR, lambda: seen.append(world.backend.until))
    world.script.at(24 * HOUR, lambda: None)
    world.run()
    first, renewed = seen
    # Half a minute before it ends for others.
    assert first == pytest.approx(24 * HOUR - 30, abs=1)
    assert renewed == pytest.approx(47 * HOUR - 30, abs=10)


def test_a_renewal_that_fails_is_told_and_tried_again_until_it_works(world, caplog):
    own = subnet("10.2.35.0/24")
    revisions = []

    def full() -> None:
        world.etcd.read_only = True
        revisions.append(world.etcd.held(own).revision)

    def space() -> None:
        world.etcd.read_only = False

    world.script.at(22.9 * HOUR, full)
    world.script.at(23.1 * HOUR, space)
    world.script.at(23.2 * HOUR, lambda: revisions.append(world.etcd.held(own).revision))
    world.script.at(25 * HOUR, lambda: None)
    world.run()
    before, after = revisions
    assert before < after
    assert "release" not in world.backend.calls
    told = [record for record in caplog.records if "Error renewing lease" in record.getMessage()]
    # Six minutes of failure, a try every ten seconds.
    assert 30 <= len(told) <= 40


def test_a_renewal_whose_answer_never_came_is_recognised_as_ours(world):
    own = subnet("10.2.35.0/24")
    real = MemoryRegistry.renew
    deaf = True

    class Deaf(MemoryRegistry):
        def renew(self, held: HeldLease, attrs: LeaseAttrs) -> int | None:
            nonlocal deaf
            answer = real(self, held, attrs)
            if deaf:
                deaf = False
                raise Unavailable("http://192.0.2.1:2379: deadline exceeded")
            return answer

    world.registry = Deaf(world.etcd)
    world.script.at(23.5 * HOUR, lambda: None)
    world.script.at(46 * HOUR, lambda: None)
    world.run()
    assert not deaf
    assert "release" not in world.backend.calls
    assert world.holders() == {str(own): OUR_IP}


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
    world.script.at(HOUR, lambda: world.etcd.put(own, attrs(OUR_IP), ttl=ttl))
    world.script.at(HOUR + 3, lambda: None)
    world.run()
    stored = world.etcd.held(own)
    assert (stored.lease.attrs, stored.permanent) == (VXLAN, ttl == math.inf)
    assert "release" not in world.backend.calls
    assert "Another has written our lease of 10.2.35.0/24, and not as we do" in caplog.text


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

    world.script.at(HOUR, cut)
    world.script.at(HOUR + 60, restored)
    world.script.at(HOUR + 70, lambda: None)
    world.run()
    stored = world.etcd.held(own)
    assert (stored.lease.attrs, stored.permanent) == (VXLAN, True)


@pytest.mark.parametrize("value", [b'{"PublicIP":"192.168.199.52"}', b"no JSON"], ids=["an address", "junk"])
def test_another_that_writes_in_our_name_all_the_time_is_not_fought_at_speed(world, caplog, value):
    world.backend.said = VXLAN
    world.script.at(1, lambda: None)
    for second in range(60, 660):
        world.script.at(second, lambda: world.etcd.put_raw("10.2.35.0-24", value))
    world.script.at(700, lambda: None)
    world.run()
    # Ten minutes, a try every ten seconds; and the last word is ours.
    assert 55 <= caplog.text.count("Lease renewed") <= 65
    assert caplog.text.count("Another has written our lease") < 15
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


def test_a_second_lease_of_our_own_address_is_no_peer_to_send_to(world):
    # Its packets would come back to us, be routed into the tunnel, and so on until their TTL ends.
    world.script.at(10, lambda: world.etcd.put(subnet("10.2.77.0/24"), attrs(OUR_IP)))
    world.script.at(20, lambda: None)
    world.run()
    assert all(call == ("peers", []) for call in world.backend.calls if call[0] == "peers")


def test_a_watch_that_breaks_as_soon_as_it_is_begun_is_not_begun_anew_without_pause(world):
    begun = 0

    class Brittle(MemoryRegistry):
        def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
            nonlocal begun
            begun += 1
            super().watch(revision, deliver)
            world.etcd.break_watches()

    world.registry = Brittle(world.etcd)
    world.script.at(60, lambda: None)
    world.run()
    # Delays grow to two seconds.
    assert begun < 45


def test_a_device_that_broke_is_made_anew(world):
    def break_it() -> None:
        world.backend.trouble = "flannel0 does not work any more"

    world.script.at(10, break_it)
    world.script.at(20, lambda: None)
    world.run()
    assert world.backend.calls.count(("claim", "10.2.35.0/24")) == 2
    assert world.backend.calls[-1] == ("peers", [])


def test_a_reservation_is_taken_and_stays_one(world):
    own = subnet("10.2.77.0/24")
    world.etcd.put(own, attrs(OUR_IP), ttl=math.inf)
    world.script.at(72 * HOUR, lambda: None)
    world.run()
    assert world.holders() == {str(own): OUR_IP}
    assert world.etcd.held(own).permanent
    assert "release" not in world.backend.calls


def test_a_lease_that_is_made_a_reservation_while_it_is_held_stays_one(world):
    # flannel's Documentation/reservations.md: the lease's own value, written again without a TTL.
    own = subnet("10.2.35.0/24")
    world.script.at(HOUR, lambda: world.etcd.put(own, attrs(OUR_IP), ttl=math.inf))
    world.script.at(72 * HOUR, lambda: None)
    world.run()
    assert world.etcd.held(own).permanent
    assert world.backend.until == world.board.expires_at == math.inf
    assert "release" not in world.backend.calls


def test_a_reservation_that_is_made_a_lease_while_it_is_held_is_renewed_from_then_on(world):
    own = subnet("10.2.77.0/24")
    world.etcd.put(own, attrs(OUR_IP), ttl=math.inf)
    world.script.at(72 * HOUR, lambda: world.etcd.put(own, attrs(OUR_IP), ttl=60))
    world.script.at(144 * HOUR, lambda: None)
    world.run()
    assert world.holders() == {str(own): OUR_IP}
    assert not world.etcd.held(own).permanent
    assert 144 * HOUR < world.backend.until == world.board.expires_at < 168 * HOUR
    assert "release" not in world.backend.calls


def test_what_happens_while_no_lease_can_be_had_takes_no_memory(world):
    # Three subnets, of which two are others' for ever, and ours is made one of them.
    world.etcd.config = (
        b'{ "Network": "10.2.0.0/16", "SubnetMin": "10.2.35.0", "SubnetMax": "10.2.37.0",'
        b' "Backend": { "Type": "udp" } }'
    )
    world.picked = iter([0])
    for taken in ("10.2.36.0/24", "10.2.37.0/24"):
        world.etcd.put(subnet(taken), attrs(THEIR_IP), ttl=math.inf)
    for second in range(100):
        world.script.at(
            10 + second, lambda: world.etcd.put(subnet("10.2.35.0/24"), attrs(THEIR_IP), ttl=math.inf)
        )
    world.script.at(120, lambda: None)
    daemon = world.daemon()
    with pytest.raises(Stop):
        daemon.run()
    assert world.board.lost == 1
    assert daemon._inbox.qsize() < 5


def test_a_machine_that_was_suspended_for_longer_than_its_lease_gives_that_up_first(world, monkeypatch):
    woken = []

    def wake() -> None:
        # As after a suspension: the clock is far on, and what the watch told is still to be read.
        later = world.script.second + 25 * HOUR
        monkeypatch.setattr(world.script, "now", lambda: later)
        woken.append(len(world.filters.calls))
        world.etcd.put(THEIRS, attrs(THEIR_IP))

    released = world.backend.release

    def release() -> None:
        monkeypatch.undo()
        woken.append(len(world.filters.calls))
        released()

    world.script.at(10, lambda: monkeypatch.setattr(world.backend, "release", release))
    world.script.at(20, wake)
    world.script.at(30, lambda: None)
    world.run()
    before, at_the_release, *_ = woken
    assert at_the_release == before


def no_descriptor() -> str:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_machine_that_cannot_be_looked_at_for_a_while_ends_nothing(world, monkeypatch, caplog):
    world.script.at(10, lambda: monkeypatch.setattr(world.backend, "broken", no_descriptor))
    world.script.at(50, monkeypatch.undo)
    world.script.at(70, lambda: None)
    world.run()
    told = [record for record in caplog.records if "Too many open files" in record.getMessage()]
    assert 1 <= len(told) <= 5
    assert world.backend.repairs >= 2  # before and after


def test_a_device_that_goes_again_while_it_is_made_anew_is_made_once_more(world, monkeypatch):
    made = world.backend.claim

    def vanished(_: Subnet) -> None:
        monkeypatch.undo()
        world.backend.trouble = "The device flannel.1 is gone"
        try:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        except OSError as error:
            raise Fatal("Giving flannel.1 10.2.35.0/32: No such device", code=Exit.KERNEL) from error

    def vanish() -> None:
        world.backend.trouble = "The device flannel.1 is gone"
        monkeypatch.setattr(world.backend, "claim", vanished)

    world.script.at(10, vanish)
    world.script.at(20, lambda: None)
    world.run()
    assert world.backend.claim == made
    assert world.backend.calls.count(("claim", "10.2.35.0/24")) == 2


def test_a_backend_that_cannot_be_closed_holds_nobody_up(world, monkeypatch):
    world.script.at(1, lambda: None)
    daemon = world.daemon()
    with pytest.raises(Stop):
        daemon.run()
    monkeypatch.setattr(world.backend, "close", no_descriptor)
    with pytest.raises(OSError, match="Too many open files"):
        daemon.close()


def test_attributes_that_changed_are_announced_at_once(world):
    own = subnet("10.2.35.0/24")

    def new_mac() -> None:
        world.backend.said = replace(attrs(OUR_IP), backend_data={"VtepMAC": "52:08:1a:2b:3c:4d"})

    world.script.at(10, new_mac)
    world.script.at(13, lambda: None)
    world.run()
    assert world.etcd.held(own).lease.attrs.backend_data == {"VtepMAC": "52:08:1a:2b:3c:4d"}
    assert "release" not in world.backend.calls


def test_the_kernel_is_looked_at_every_ten_seconds_also_while_etcd_is_away(world):
    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    world.script.at(61, outage)
    world.script.at(121, lambda: None)
    world.run()
    assert 10 <= world.backend.repairs <= 12


def test_filter_rules_are_those_of_our_subnet_and_are_put_right_every_few_seconds(world):
    world.script.at(61, lambda: None)
    world.run(iptables_resync=5)
    assert world.filters.calls[0] == "set 10.2.35.0/24"
    assert 8 <= world.filters.calls.count("sync") <= 12
    assert world.board.filter_repairs == world.filters.calls.count("sync")


def test_a_configuration_that_changes_while_we_run_is_warned_of_once(world, caplog):
    def change() -> None:
        world.etcd.config = b'{ "Network": "10.2.0.0/16", "SubnetLen": 26 }'

    world.script.at(10, change)
    world.script.at(120, lambda: None)
    world.run()
    told = [r for r in caplog.records if "network configuration was changed" in r.getMessage()]
    assert {record.levelno for record in told} == {logging.WARNING}
    keys = [record.getMessage().partition("changed: ")[2].split()[0] for record in told]
    assert keys == ["SubnetLen", "SubnetMin", "SubnetMax", "our"]
    assert "our subnet 10.2.35.0/24 is not allowed any more" in told[-1].getMessage()
    assert "release" not in world.backend.calls


def test_a_configuration_that_becomes_unusable_is_warned_of_and_named(world, caplog):
    def change() -> None:
        world.etcd.config = b'{ "Network": "10.2.0.0/16", "SubnetLen": 8 }'

    world.script.at(10, change)
    world.script.at(60, lambda: None)
    world.run()
    (told,) = [
        r.getMessage() for r in caplog.records if "network configuration was changed" in r.getMessage()
    ]
    assert "SubnetLen" in told


def test_the_board_tells_readiness_and_trouble(world):
    seen = []

    def look() -> None:
        board = world.board
        seen.append((board.ready, bool(board.trouble), len(board.peers)))

    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    def recovery() -> None:
        world.etcd.reachable = True

    look()
    world.script.at(5, look)
    world.script.at(6, lambda: world.etcd.put(THEIRS, attrs(THEIR_IP)))
    world.script.at(9, look)
    world.script.at(10, outage)
    world.script.at(30, look)
    world.script.at(31, recovery)
    world.script.at(40, look)
    world.script.at(41, lambda: world.etcd.put(subnet("10.2.35.0/24"), attrs(THEIR_IP)))
    world.script.at(42, outage)
    world.run()
    assert seen == [
        (False, False, 0),  # before the start
        (True, False, 0),
        (True, False, 1),
        (True, True, 1),  # etcd is away: ready, and degraded
        (True, False, 1),
    ]
    assert world.board.lost == 1


def test_between_losing_a_lease_and_holding_another_it_is_not_ready(world):
    seen = []

    def theft_and_outage() -> None:
        world.etcd.put(subnet("10.2.35.0/24"), attrs(THEIR_IP))
        world.etcd.reachable = False

    world.script.at(10, theft_and_outage)
    world.script.at(12, lambda: seen.append((world.board.ready, world.board.doing)))
    world.run()
    assert seen == [(False, "acquiring a lease")]


# What is said beside our lease

OURS = subnet("10.2.35.0/24")


class Speaker(Recorder):
    """A backend that says something beside its lease."""

    text = b'{"MTU":1500}'

    def announcement(self) -> bytes:
        return self.text


class Listener(MemoryRegistry):
    """A registry that writes down when something was said, and what READY was then."""

    def __init__(self, world: World) -> None:
        super().__init__(world.etcd)
        self.world = world
        self.said: list[tuple[float, int, bytes]] = []
        self.deaf = False

    def say(self, held: HeldLease, text: bytes) -> None:
        self.said.append((self.world.script.second, held.revision, text))
        assert any(call[0] == "READY=1" for call in self.world.backend.calls)
        if self.deaf:
            raise Unavailable("http://192.0.2.1:2379: resource exhausted: database space exceeded")
        super().say(held, text)


@pytest.fixture
def speaking(world: World) -> World:
    world.backend, world.registry = Speaker(), Listener(world)
    return world


def heard(world: World) -> bytes:
    """What everybody reads of us; it counts, for it is of the lease as it is."""
    (said,) = world.etcd.said()
    assert said.subnet == OURS
    assert beside.revision_of(said.text) == world.etcd.revision_of(OURS)
    return said.text


def test_how_we_are_reached_is_said_once_when_we_are_ready(speaking):
    speaking.script.at(HOUR, lambda: heard(speaking))
    speaking.run()
    assert [text for _, _, text in speaking.registry.said] == [b'{"MTU":1500}']


def test_a_backend_that_says_nothing_writes_nothing_and_follows_nothing(world):
    world.etcd.say(THEIRS, b"{}")
    world.etcd.put(THEIRS, attrs(THEIR_IP))
    listener = world.registry = Listener(world)
    world.script.at(HOUR, lambda: None)
    world.run()
    assert listener.said == []
    assert listener.snapshot().said == ()


def test_it_is_said_again_of_the_lease_that_was_renewed(speaking):
    for hour in (1, 24, 47, 72):
        speaking.script.at(hour * HOUR, lambda: heard(speaking))
    speaking.run()
    revisions = [revision for _, revision, _ in speaking.registry.said]
    assert len(revisions) == 4
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize("by_hand", [b"", b"junk", b'{"Revision":2,"MTU":9000}'])
def test_what_another_hand_makes_of_it_is_put_right(speaking, by_hand):
    speaking.script.at(10, lambda: speaking.etcd.say(OURS, by_hand))
    speaking.script.at(14, lambda: None)
    speaking.run()
    assert b'"MTU":1500' in heard(speaking)
    assert len(speaking.registry.said) == 2


def test_a_hand_that_writes_it_again_and_again_is_answered_once_a_second(speaking):
    for tenth in range(100):
        speaking.script.at(10 + tenth / 10, lambda: speaking.etcd.say(OURS, b"{}"))
    speaking.script.at(30, lambda: None)
    speaking.run()
    assert b'"MTU":1500' in heard(speaking)
    assert len(speaking.registry.said) <= 13


def test_what_was_deleted_while_nobody_watched_is_said_again(speaking):
    def outage() -> None:
        speaking.etcd.reachable = False
        speaking.etcd.break_watches()

    def recovery() -> None:
        speaking.etcd.say(OURS, b"")
        speaking.etcd.compact()
        speaking.etcd.reachable = True

    speaking.script.at(10, outage)
    speaking.script.at(20, recovery)
    speaking.script.at(30, lambda: heard(speaking))
    speaking.run()
    assert len(speaking.registry.said) == 2


def test_a_watch_that_broke_is_no_reason_to_say_it_again(speaking):
    speaking.script.at(10, speaking.etcd.break_watches)
    speaking.script.at(30, lambda: heard(speaking))
    speaking.run()
    assert len(speaking.registry.said) == 1


def test_when_the_backend_says_something_else_so_do_we(speaking):
    def change() -> None:
        speaking.backend.text = b'{"MTU":9000}'

    speaking.script.at(10, change)
    speaking.script.at(14, lambda: None)
    speaking.run()
    assert b'"MTU":9000' in heard(speaking)
    assert len(speaking.registry.said) == 2


def test_the_next_lease_is_spoken_of_too(speaking):
    speaking.script.at(10, lambda: speaking.etcd.put(OURS, attrs(THEIR_IP)))
    speaking.script.at(20, lambda: None)
    speaking.run()
    (theirs, ours) = speaking.etcd.said()
    assert (theirs.subnet, ours.subnet) == (OURS, subnet("10.2.36.0/24"))
    assert beside.revision_of(ours.text) == speaking.etcd.revision_of(ours.subnet)
    assert beside.revision_of(theirs.text) != speaking.etcd.revision_of(OURS)


def test_a_lease_taken_from_an_etcd_that_began_anew_is_spoken_of_though_its_revision_is_the_same(speaking):
    def anew() -> None:
        speaking.etcd.revision = 1
        speaking.etcd._stored.clear()
        speaking.etcd._said.clear()
        speaking.etcd._history.clear()
        speaking.etcd.break_watches()

    before = []
    speaking.script.at(10, lambda: before.append(heard(speaking)))
    speaking.script.at(11, anew)
    speaking.script.at(20, lambda: None)
    speaking.run()
    assert [heard(speaking)] == before


def test_where_it_cannot_be_said_that_is_told_and_tried_again(speaking, caplog):
    def hear() -> None:
        speaking.registry.deaf = False

    speaking.registry.deaf = True
    speaking.script.at(60, hear)
    speaking.script.at(80, lambda: heard(speaking))
    speaking.run()
    told = [r for r in caplog.records if "announcing how we are reached" in r.getMessage()]
    assert {record.levelno for record in told} == {logging.ERROR}
    assert 6 <= len(told) <= 8
    assert "database space exceeded" in told[0].getMessage()
    assert "release" not in speaking.backend.calls


def test_what_a_peer_says_reaches_the_backend_and_nobodys_log(speaking, caplog):
    reached = []

    def say() -> None:
        speaking.etcd.say(THEIRS, beside.said_at(b'{"MTU":9000}', speaking.etcd.revision_of(THEIRS)))

    speaking.etcd.put(THEIRS, attrs(THEIR_IP))
    speaking.script.at(10, say)
    speaking.script.at(20, lambda: reached.append(speaking.backend.peers[THEIRS].announced))
    speaking.script.at(21, lambda: speaking.etcd.put(THEIRS, attrs(THEIR_IP)))
    speaking.script.at(30, lambda: reached.append(speaking.backend.peers[THEIRS].announced))
    speaking.run()
    assert [b'"MTU":9000' in text for text in reached] == [True, False]
    told = [record.getMessage() for record in caplog.records]
    assert told.count("Subnet added: 10.2.52.0/24") == 1
