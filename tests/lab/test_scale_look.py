"""The program that looks at all nodes, as far as it can be tried without them: its waiting and reading."""

import os
import socket
from pathlib import Path

import pytest

from lab.scale.inside import look

NODES = [{"name": f"n{number}", "pid": os.getpid(), "file": f"/nowhere/{number}"} for number in (1, 2, 3)]


@pytest.fixture
def clock(monkeypatch):
    """Time passes only where something waits."""

    class Clock:
        at = 100.0

        def rest(self, seconds):
            self.at += seconds

    clock = Clock()
    monkeypatch.setattr(look, "now", lambda: clock.at)
    monkeypatch.setattr(look, "rest", clock.rest)
    return clock


def test_one_node_after_another_is_waited_for_until_it_lacks_nothing(clock):
    lacking = {"n1": 2, "n2": 0, "n3": 5}

    def check(node):
        lacking[node["name"]] -= 1
        return "a lease" if lacking[node["name"]] >= 0 else ""

    look.until_all(NODES, check, look.Patience(NODES, deadline=200.0, still=30.0))
    assert lacking == {"n1": -1, "n2": -1, "n3": -1}


def test_after_the_deadline_nothing_is_waited_for(clock):
    count = iter(range(10**6))
    with pytest.raises(look.Late):
        look.until_all(NODES, lambda _: f"{next(count)} routes", look.Patience(NODES, 110.0, 30.0))
    assert clock.at == pytest.approx(110.0, abs=0.1)


def test_nodes_that_lack_the_same_for_a_while_are_not_waited_for_to_the_deadline(clock):
    with pytest.raises(look.Late):
        look.until_all(NODES, lambda _: "5 routes", look.Patience(NODES, 1000.0, 3.0))
    assert 103.0 < clock.at < 107.0


def test_as_long_as_anything_changes_on_another_node_it_is_waited(clock):
    def check(node):
        return "a lease" if node["name"] == "n1" else f"{1000 - int(clock.at // 2)} routes"

    with pytest.raises(look.Late):
        look.until_all(NODES, check, look.Patience(NODES, 130.0, 3.0))
    assert clock.at == pytest.approx(130.0, abs=0.1)


def test_a_daemon_that_has_ended_is_noticed_at_once(clock):
    ended = [{**NODES[0], "pid": 2**22 + 1}]  # above the greatest that there can be (PID_MAX_LIMIT)
    with pytest.raises(ChildProcessError):
        look.until_all(ended, lambda _: "a lease", look.Patience(ended, 900.0, 30.0))
    assert clock.at == 100.0


def test_a_subnet_is_read_from_what_the_daemon_has_written(tmp_path):
    file = tmp_path / "subnet.env"
    node = {**NODES[0], "file": str(file)}
    assert look.own_subnet(node) is None
    file.write_text("FLANNEL_NETWORK=10.32.0.0/12\nFLANNEL_SUBNET=10.35.7.1/24\nFLANNEL_MTU=1450\n")
    assert look.own_subnet(node) == "10.35.7.0/24"


# A node's of three, as the kernel shows them; eth0's own network is no subnet of a peer's.
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
flannel.1\t00CE240A\t00CE240A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
flannel.1\t00AB2A0A\t00AB2A0A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t000012C6\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_routes_to_subnets_are_read_as_the_kernel_shows_them(monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", lambda _: ROUTES.encode())
    assert look.routes(1) == {"10.36.206.0/24", "10.42.171.0/24"}


@pytest.fixture
def seen(monkeypatch):
    """The routes that each node has."""
    routes: dict[str, set[str]] = {}
    monkeypatch.setattr(look, "reached", lambda node, _: routes[node["name"]])
    monkeypatch.setattr(look, "own_subnet", lambda _: "10.32.1.0/24")
    return routes


def test_a_node_needs_a_route_to_every_subnet_but_its_own_and_no_other(seen):
    wanted = {f"10.32.{number}.0/24" for number in range(1, 7)}
    seen["n1"] = wanted - {"10.32.1.0/24"}
    assert look.lacks(NODES[0], "host-gw", wanted) == ""
    seen["n1"] = {"10.32.2.0/24"}
    assert look.lacks(NODES[0], "host-gw", wanted) == (
        "4 of 5 routes: 10.32.3.0/24, 10.32.4.0/24, 10.32.5.0/24, ..."
    )
    seen["n1"] = wanted | {"10.32.9.0/24"}
    assert look.lacks(NODES[0], "host-gw", wanted) == "news of 2 that are gone: 10.32.1.0/24, 10.32.9.0/24"


def test_our_own_process_is_measured_as_the_kernel_has_it():
    with socket.socket() as one:
        found = look.used(os.getpid())
        assert one.fileno() >= 0
    assert found["sockets"] >= 1
    assert found["descriptors"] > found["sockets"]
    assert found["rss"] >= found["pss"] > 1e6
    assert found["cpu"] > 0
    assert found["threads"] >= 1


def test_of_a_daemon_that_has_ended_nothing_is_measured():
    assert look.used_if_it_runs(2**22 + 1) is None  # above the greatest that there can be (PID_MAX_LIMIT)
    assert look.used_if_it_runs(os.getpid()) is not None


def test_the_kernel_tells_of_its_table_of_neighbours():
    found = look.table()
    assert found["limit"] > 0
    assert found["entries"] >= 0
    assert found["refused"] >= 0


def test_a_lease_has_the_key_that_flannel_gives_it():
    assert look.place("/coreos.com/network", "10.2.3.0/24") == "/coreos.com/network/subnets/10.2.3.0-24"
