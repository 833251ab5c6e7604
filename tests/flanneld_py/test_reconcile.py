"""When this machine is looked at, and what is told of what was found."""

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest

from flanneld_py.daemon.claim import Claim
from flanneld_py.daemon.reconcile import DEVICE_INTERVAL, FULL_INTERVAL, MIN_PAUSE, NoHostRules, Reconciler
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.desired import ConfigureLink, DesiredDevice, KernelNotice, RouteNotice
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.own_devices import Reconciled
from flanneld_py.lease.subnet_file import SubnetFile
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.subnet import Subnet
from flanneld_py.underlay.follower import Attachment, UnderlayChange
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.daemon_world import Recorder, Script
from tests.flanneld_py.made import addresses, held, subnet

DOWN: Final = ConfigureLink(7, 1472, 500, "flannel0 was set down")
LINKS: Final = KernelNotice(links=True)
PEERS: Final = Route(subnet("10.2.52.0/24").networks[0], 7)


class Asked(NoHostRules):
    """Rules that write down what they are asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def sync(self) -> int:
        self.asked.append("sync")
        return 0

    def follow_pods(self) -> int:
        self.asked.append("follow pods")
        return 0


class Looks:
    """A reconciler, with a stand-in for the kernel that finds what it is told to find, and counts."""

    def __init__(self, folder: Path, underlay: "Moving | None" = None) -> None:
        self.time, self.status, self.backend = Script(), NetworkStatus(), Recorder()
        self.underlay = underlay
        self.backend.wanted = lambda: {PEERS.destination: PEERS}  # type: ignore[method-assign]
        self.finds = Reconciled()
        self.looks = self.wakes = 0
        self.takes = 0.0
        self.path = folder / "subnet.env"
        file = SubnetFile(self.path, subnet("10.2.0.0/16"), ip_masq=False)
        file.write(subnet("10.2.35.0/24"), 1472)
        self.claim = Claim(held("10.2.35.0/24", "192.168.199.52"), 0.0)
        self.rules = Asked()
        self.reconciler = Reconciler(
            self.backend, self.rules, file, self.time, self.status,
            resync=5, underlay=underlay, wake=self._woken, keep=self._keep,
        )  # fmt: skip
        self.reconciler.begin()

    def _woken(self) -> None:
        self.wakes += 1

    def _keep(self, _: Sequence[DesiredDevice]) -> Reconciled:
        self.looks += 1
        self.time.second += self.takes
        return self.finds

    def tend(self, at: float | None = None) -> None:
        self.time.second = self.time.second if at is None else at
        for _ in self.reconciler.tend(self.claim, {}):
            assert self.time.second < self.claim.expires_at


@pytest.fixture
def world(tmp_path: Path) -> Looks:
    return Looks(tmp_path)


def test_without_events_devices_are_looked_at_every_few_seconds_and_everything_every_ten(world):
    for second in range(1, 21):
        world.tend(second)
    assert world.looks == 20 / DEVICE_INTERVAL
    assert world.backend.repairs == 20 / FULL_INTERVAL


def test_an_event_leads_to_a_look_at_once_and_many_to_one(world):
    for _ in range(1000):
        world.reconciler.hear(LINKS)
    assert world.wakes == 1
    world.tend(0.1)
    world.tend(0.2)
    assert world.looks == 1
    assert world.backend.repairs == 0  # entries are no business of links that are as they should be


def test_what_is_heard_while_it_is_looked_leads_to_another_look(world):
    world.reconciler.hear(LINKS)
    world.tend(0.1)
    world.reconciler.hear(LINKS)
    assert world.wakes == 2
    world.tend(0.2)
    assert world.looks == 2


def test_a_route_of_ours_that_is_taken_away_leads_to_a_look_at_the_entries_and_others_to_none(world):
    world.reconciler.hear(KernelNotice(routes=(RouteNotice(PEERS),)))
    world.tend(0.1)
    assert (world.looks, world.backend.repairs) == (0, 0)
    world.reconciler.hear(KernelNotice(routes=(RouteNotice(PEERS, gone=True),)))
    world.tend(0.2)
    assert (world.looks, world.backend.repairs) == (1, 1)


def test_when_the_way_to_our_own_subnet_comes_or_goes_the_pods_bridge_is_followed_at_once(world):
    ours = Route(subnet("10.2.35.0/24").networks[0], 9)
    world.reconciler.hear(KernelNotice(routes=(RouteNotice(PEERS),)))
    world.tend(0.1)
    assert world.rules.asked == []
    for gone in (False, True):
        world.reconciler.hear(KernelNotice(routes=(RouteNotice(ours, gone=gone),)))
        world.tend()
        world.tend()
    assert world.rules.asked == ["follow pods"] * 2
    world.reconciler.hear(KernelNotice(routes=(RouteNotice(ours),)))
    world.tend(5.2)  # all rules are due, and that is one of them
    assert world.rules.asked == ["follow pods", "follow pods", "sync"]


def test_a_device_that_was_put_right_may_have_lost_its_entries_so_these_are_looked_at(world):
    world.finds = Reconciled(done=(DOWN,))
    world.reconciler.hear(LINKS)
    world.tend(0.1)
    assert world.backend.repairs == 1
    assert world.status.repairs == 1


def test_who_puts_something_right_again_and_again_listens_at_growing_intervals(world):
    assert world.reconciler.hear(LINKS) == MIN_PAUSE
    world.finds = Reconciled(done=(DOWN,))
    pauses = []
    for number in range(8):
        world.tend(0.1 * number)
        pauses.append(world.reconciler.hear(LINKS))
    assert pauses == [0.5, 1, 2, 4, 8, FULL_INTERVAL, FULL_INTERVAL, FULL_INTERVAL]
    world.finds = Reconciled()
    world.tend(1)
    assert world.reconciler.hear(LINKS) == MIN_PAUSE


def test_looks_that_take_long_leave_the_lease_its_time(world):
    world.takes = 0.5
    world.reconciler.hear(LINKS)
    world.tend(0.1)
    assert world.reconciler.hear(LINKS) == pytest.approx(20 * 0.5)


def test_what_cannot_be_put_right_ends_readiness_until_it_can(world, caplog):
    world.status.subnet = world.claim.subnet
    error = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    world.finds = Reconciled(refused=((DOWN, error),))
    for second in range(1, 11):
        world.tend(second)
    assert not world.status.ready
    reason = "flannel0 was set down, and that cannot be repaired: Address already in use"
    assert world.status.lacking == reason
    assert 1 <= sum(reason in record.getMessage() for record in caplog.records) <= 3
    world.finds = Reconciled()
    world.tend(12)
    assert world.status.ready


def test_a_device_that_only_the_backend_can_make_is_claimed_and_carried_again(world):
    world.finds = Reconciled(anew="The device flannel0 is gone: recreating it")
    world.tend(DEVICE_INTERVAL)
    assert world.backend.calls == [("claim", "10.2.35.0/24"), ("peers", [])]


def test_a_subnet_file_that_is_deleted_is_there_again_with_the_next_look_at_everything(world, caplog):
    text = world.path.read_text()
    world.path.unlink()
    world.tend(FULL_INTERVAL)
    assert world.path.read_text() == text
    assert f"{world.path} was deleted: written again" in caplog.text
    assert world.status.repairs == 1


# What it stands on

ETH0: Final = Interface("eth0", 2, 1500, IPv4Address("192.168.199.52"))
MOVE: Final = UnderlayChange(
    Attachment(replace(ETH0, mtu=1400), addresses("192.168.199.99")), "eth0 has changed"
)


class Moving:
    """An interface that changes when a test says so."""

    def __init__(self) -> None:
        self.trouble = ""
        self.move: UnderlayChange | None = None

    def seen(self) -> UnderlayChange | None:
        return None if self.trouble else self.move

    def take(self, move: UnderlayChange) -> None:
        assert move is self.move
        self.move = None


@pytest.fixture
def moving(tmp_path: Path) -> Looks:
    return Looks(tmp_path, Moving())


def test_an_interface_that_changes_is_followed_before_anything_is_compared(moving, caplog):
    moving.underlay.move = MOVE
    moving.status.mtu = 1472
    moving.reconciler.hear(LINKS)
    moving.tend(0.1)
    assert moving.backend.calls == [
        ("follow", "eth0", "192.168.199.99"), ("claim", "10.2.35.0/24"), ("peers", []),
    ]  # fmt: skip
    assert moving.looks == 0
    assert moving.underlay.move is None
    assert moving.status.mtu == 1372
    assert "FLANNEL_MTU=1372\n" in moving.path.read_text()
    assert "FLANNEL_MTU changed from 1472 to 1372: restart what uses it" in caplog.text


def test_a_move_that_cannot_be_made_yet_is_made_with_the_next_look(moving, monkeypatch):
    moving.underlay.move = MOVE

    def refused(_: Subnet) -> None:
        monkeypatch.undo()
        try:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        except OSError as error:
            raise Fatal("Binding UDP port 8285", code=Exit.KERNEL) from error

    monkeypatch.setattr(moving.backend, "claim", refused)
    moving.status.subnet = moving.claim.subnet
    moving.tend(DEVICE_INTERVAL)
    assert moving.underlay.move is MOVE
    assert not moving.status.ready
    moving.tend(2 * DEVICE_INTERVAL)
    assert moving.underlay.move is None
    assert moving.status.ready


def test_while_there_is_no_interface_nothing_is_put_right_and_readiness_says_so(moving):
    moving.status.subnet = moving.claim.subnet
    moving.underlay.trouble = "the interface eth0 is gone"
    moving.tend(DEVICE_INTERVAL)
    assert moving.looks == 0
    assert not moving.status.ready
    assert moving.status.lacking == "waiting for an interface: the interface eth0 is gone"
    moving.underlay.trouble = ""
    moving.tend(2 * DEVICE_INTERVAL)
    assert moving.looks == 1
    assert moving.status.ready
