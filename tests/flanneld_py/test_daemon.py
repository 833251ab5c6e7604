"""The daemon's ordinary course over hours, in virtual time, against an etcd in memory."""

import logging
from itertools import groupby

import pytest

from flanneld_py.errors import Exit, Fatal
from tests.flanneld_py.daemon_world import HOUR, OUR_IP, THEIR_IP, THEIRS, Stop
from tests.flanneld_py.made import attrs, subnet


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


@pytest.mark.usefixtures("days")
def test_a_lease_is_renewed_an_hour_before_it_ends_and_held_for_days(world):
    revisions = []
    own = subnet("10.2.35.0/24")
    for hour in (1, 22, 24, 47, 72):
        world.script.at(hour * HOUR, lambda: revisions.append(world.etcd.held(own).revision))
    world.run()
    first, same, second, third, _ = revisions
    assert first == same < second < third
    assert world.backend.calls.count(("claim", "10.2.35.0/24")) == 1


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


BAD = b'{ "Network": "10.2.0.0/16", "SubnetLen": 8 }'


def told_of(caplog, text: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


def test_a_bad_configuration_is_said_with_key_and_fix_and_waited_for_until_it_is_put_right(world, caplog):
    world.etcd.config = BAD
    waited_for = []

    def put_right() -> None:
        world.etcd.config = b'{ "Network": "10.2.0.0/16" }'

    world.script.at(30, lambda: waited_for.append(world.status.doing))
    world.script.at(60, put_right)
    world.script.at(63, lambda: waited_for.append(world.status.doing))
    world.script.at(64, lambda: None)
    world.run()
    told = told_of(caplog, "Bad network config in /coreos.com/network/config: SubnetLen is 8")
    # At once, then at growing intervals.
    assert 3 <= len(told) <= 6
    assert all("give" in text for text in told)
    assert "Bad network config in /coreos.com/network/config: SubnetLen is 8" in waited_for[0]
    assert waited_for[1] == ""
    assert world.holders() == {"10.2.35.0/24": OUR_IP}


def test_another_bad_configuration_is_said_at_once(world, caplog):
    world.etcd.config = BAD

    def change() -> None:
        world.etcd.config = b'{ "Network": "10.2.0.0/99" }'

    world.script.at(7, change)
    world.script.at(10, lambda: None)
    world.run()
    assert told_of(caplog, "config: Network is")


def test_a_backend_that_the_configuration_does_not_fit_is_waited_for_too(world, caplog):
    opened = []

    def open_backend(config):
        opened.append(config)
        if len(opened) < 3:  # the port is another network's, which gives it back
            raise Fatal("UDP port 8285 carries the network blue: give another", code=Exit.CONFIG)
        return world.backend

    world.script.at(60, lambda: None)
    with pytest.raises(Stop):
        world.daemon(open_backend=open_backend).run()
    assert len(told_of(caplog, "UDP port 8285 carries the network blue")) == 2
    assert world.holders() == {"10.2.35.0/24": OUR_IP}


def test_what_no_other_configuration_would_mend_is_fatal(world):
    def open_backend(_config):
        raise Fatal("This kernel has no vxlan", code=Exit.KERNEL)

    with pytest.raises(Fatal, match="no vxlan"):
        world.daemon(open_backend=open_backend).run()


def test_a_configuration_in_the_wrong_place_is_named(world, caplog):
    world.etcd.config = None
    world.script.at(20, lambda: None)
    with pytest.raises(Stop):
        world.daemon(advice=lambda: "it is in etcd's v2 API").run()
    (first, *_) = told_of(caplog, "has no key /coreos.com/network/config yet")
    assert first.endswith("yet: it is in etcd's v2 API")
    assert "it is in etcd's v2 API" in world.status.trouble


def test_peers_come_and_go(world, caplog):
    world.script.at(10, lambda: world.etcd.put(THEIRS, attrs(THEIR_IP)))
    world.script.at(20, lambda: world.etcd.delete(THEIRS))
    world.script.at(30, lambda: None)
    world.run()
    peers = [call for call in world.backend.calls if call[0] == "peers"]
    assert [call for call, _ in groupby(peers)] == [("peers", []), ("peers", ["10.2.52.0/24"]), ("peers", [])]
    told = [record.getMessage() for record in caplog.records if "Subnet " in record.getMessage()]
    assert told[-2:] == ["Subnet added: 10.2.52.0/24", "Subnet removed: 10.2.52.0/24"]


@pytest.mark.usefixtures("days")
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


def test_a_second_lease_of_our_own_address_is_no_peer_to_send_to(world):
    # Its packets would come back to us, be routed into the tunnel, and so on until their TTL ends.
    world.script.at(10, lambda: world.etcd.put(subnet("10.2.77.0/24"), attrs(OUR_IP)))
    world.script.at(20, lambda: None)
    world.run()
    assert all(call == ("peers", []) for call in world.backend.calls if call[0] == "peers")


def test_filter_rules_are_those_of_our_subnet_and_are_put_right_every_few_seconds(world):
    world.script.at(61, lambda: None)
    world.run(iptables_resync=5)
    assert world.rules.calls[0] == "set 10.2.35.0/24"
    assert 8 <= world.rules.calls.count("sync") <= 12
    assert world.status.filter_repairs == world.rules.calls.count("sync")


def test_what_the_filter_rules_drop_is_told_beside_what_the_backend_drops(world):
    world.script.at(10, lambda: None)
    world.run()
    assert world.status.statistics().dropped == {**world.backend.statistics().dropped, "by a rule": 7}


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
        status = world.status
        seen.append((status.ready, bool(status.trouble), len(status.peers())))

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
    assert world.status.lost == 1


def test_between_losing_a_lease_and_holding_another_it_is_not_ready(world):
    seen = []

    def theft_and_outage() -> None:
        world.etcd.put(subnet("10.2.35.0/24"), attrs(THEIR_IP))
        world.etcd.reachable = False

    world.script.at(10, theft_and_outage)
    world.script.at(12, lambda: seen.append((world.status.ready, world.status.doing)))
    world.run()
    assert seen == [(False, "acquiring a lease")]
