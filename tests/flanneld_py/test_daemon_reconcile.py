"""The daemon and what it has put into the kernel: checked, repaired, recreated."""

import errno
import os

import pytest

from flanneld_py.errors import Exit, Fatal
from flanneld_py.subnet import Subnet
from tests.flanneld_py.daemon_world import Stop


def test_a_device_that_broke_is_made_anew(world):
    def break_it() -> None:
        world.backend.trouble = "flannel0 does not work any more"

    world.script.at(10, break_it)
    world.script.at(20, lambda: None)
    world.run()
    assert world.backend.calls.count(("claim", "10.2.35.0/24")) == 2
    assert world.backend.calls[-1] == ("peers", [])


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
            raise Fatal(
                "Configuring flannel.1 with 10.2.35.0/32: No such device", code=Exit.KERNEL
            ) from error

    def vanish() -> None:
        world.backend.trouble = "The device flannel.1 is gone"
        monkeypatch.setattr(world.backend, "claim", vanished)

    world.script.at(10, vanish)
    world.script.at(20, lambda: None)
    world.run()
    assert world.backend.claim == made
    assert world.backend.calls.count(("claim", "10.2.35.0/24")) == 2


def test_a_device_that_cannot_be_made_anew_is_told_at_growing_intervals_and_the_next_one_at_once(
    world, monkeypatch, caplog
):
    def fails(_: Subnet) -> None:
        try:
            no_descriptor()
        except OSError as error:
            raise Fatal("Making flannel0: Too many open files", code=Exit.KERNEL) from error

    def away() -> None:
        monkeypatch.setattr(world.backend, "broken", lambda: "flannel0 could not be recreated")
        monkeypatch.setattr(world.backend, "claim", fails)

    def break_it() -> None:
        world.backend.trouble = "flannel0 could not be recreated"

    def told() -> int:
        return sum("recreating it" in record.getMessage() for record in caplog.records)

    seen = []
    world.script.at(10, away)
    world.script.at(110, lambda: seen.append(told()))
    world.script.at(110, monkeypatch.undo)
    world.script.at(111, break_it)
    world.script.at(121, lambda: seen.append(told()))
    world.script.at(122, break_it)
    world.script.at(132, lambda: seen.append(told()))
    world.run()
    during, after, later = seen
    assert 2 <= during <= 6
    assert later == after + 1


def test_a_backend_that_cannot_be_closed_holds_nobody_up(world, monkeypatch):
    world.script.at(1, lambda: None)
    daemon = world.daemon()
    with pytest.raises(Stop):
        daemon.run()
    monkeypatch.setattr(world.backend, "close", no_descriptor)
    with pytest.raises(OSError, match="Too many open files"):
        daemon.close()


def test_the_kernel_is_looked_at_every_ten_seconds_also_while_etcd_is_away(world):
    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    world.script.at(61, outage)
    world.script.at(121, lambda: None)
    world.run()
    assert 10 <= world.backend.repairs <= 12
