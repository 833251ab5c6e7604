from collections import Counter
from ipaddress import IPv4Network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bench.plan import Place, Test, client, duration, order, server, sweeps
from lab.bench.topology import argv, machines, make_machines, make_pod, static_subnet
from lab.bench.ways import KINDS, Genuine, Settings, ways

OLD, NEW = Genuine("/opt/old", "0.5.5"), Genuine("/opt/new", "0.20.2")


def test_every_round_measures_everything_of_every_way_once():
    all_ways = ways([OLD])
    found = list(sweeps(all_ways, Settings(rounds=3)))
    assert len(found) == 3 * len(Place) * len(Test)
    for step in found:
        assert sorted(way.name for way in step.ways) == sorted(way.name for way in all_ways)
    assert set(Counter((step.round, step.place, step.test) for step in found).values()) == {1}


@given(st.integers(1, 12), st.integers(2, 12))
def test_no_way_is_always_the_first_and_none_always_follows_the_same(amount, rounds):
    chosen = ways([OLD, NEW])[:amount]
    orders = [order(chosen, number) for number in range(rounds)]
    assert all(sorted(item.name for item in turn) == sorted(item.name for item in chosen) for turn in orders)
    if amount > 1:
        assert len({turn[0].name for turn in orders}) > 1
    if amount > 2:
        pairs = [set(pairwise(turn)) for turn in orders]
        assert set.intersection(*pairs) == set()


def test_a_genuine_flanneld_is_measured_by_itself_and_in_both_mixed_pairs():
    assert [way.name for way in ways([OLD])][-3:] == [
        "genuine-0.5.5",
        "to-genuine-0.5.5",
        "from-genuine-0.5.5",
    ]
    _, to, back = ways([OLD])[-3:]
    assert [daemon.program for daemon in to.daemons] == ["/usr/bin/flanneld", "/opt/old"]
    assert [daemon.program for daemon in back.daemons] == ["/opt/old", "/usr/bin/flanneld"]
    assert len(ways([OLD, NEW])) == len(KINDS) + 3


def test_beside_a_genuine_flanneld_ours_speaks_the_etcd_api_that_it_speaks():
    # flannel 0.18 is the first with etcd's v3 API, and the first without v2.
    for genuine, api in ((OLD, "v2"), (NEW, "v3")):
        for way in ways([genuine], ["to-genuine", "from-genuine"]):
            assert way.etcd_api == api
            (ours,) = [item for item in way.daemons if item.program == "/usr/bin/flanneld"]
            assert ours.options == (f"-etcd-api={api}",)


def test_the_three_forms_of_our_udp_are_told_by_flags():
    chosen = ways((), ["udp-plain", "udp-offload", "udp-fast"])
    assert [way.daemons[0].options for way in chosen] == [
        ("-udp-fast-path=off", "-udp-offloads=off"),
        ("-udp-fast-path=off",),
        ("-udp-fast-path=require",),
    ]
    assert all(way.is_udp and way.backend == "udp" for way in chosen)


def test_only_some_ways_can_be_asked_for():
    assert [way.name for way in ways([OLD], ["vxlan", "genuine"])] == ["vxlan", "genuine-0.5.5"]
    assert ways((), ["genuine"]) == ()


def test_no_two_ways_share_a_network_a_prefix_or_a_name():
    chosen = ways([OLD, NEW])
    assert len({way.network for way in chosen}) == len({way.prefix for way in chosen}) == len(chosen)
    ends = [machine for way in chosen for machine in machines(way)]
    assert len({machine.name for machine in ends}) == len({machine.address for machine in ends}) == len(ends)
    assert len({machine.subnet_file for machine in ends}) == len(ends)


def test_names_of_network_devices_are_short_enough():
    # IFNAMSIZ of linux/if.h: 16 bytes with the zero at the end.
    for way in ways([OLD, NEW]):
        for word in make_machines(way).split():
            if word.endswith("-port"):
                assert len(word) < 16


def test_the_daemons_are_told_what_they_need_by_flags_that_flannel_0_5_5_has_too():
    (way,) = ways([OLD], ["genuine"])
    assert argv(machines(way)[1]) == (
        "ip", "netns", "exec", "w0-2", "/opt/old", "-iface=eth0", "-etcd-endpoints=http://192.168.100.1:2379",
        "-etcd-prefix=/bench/genuine-0.5.5", "-subnet-file=/run/flannel-w0-2/subnet.env",
    )  # fmt: skip


def test_without_an_overlay_the_machines_use_their_own_addresses_and_static_routes():
    (way,) = ways((), ["veth"])
    first, second = machines(way)
    subnet = static_subnet(second)
    assert second.source(Place.HOST, subnet) == second.address
    assert second.source(Place.POD, subnet) == "10.100.2.2"
    assert f"ip -n {first.name} route add {subnet} via {second.address}" in make_machines(way)


def test_over_an_overlay_the_machines_use_docker0s_address():
    (way,) = ways((), ["vxlan"])
    subnet = IPv4Network("10.100.7.0/24")
    assert machines(way)[0].source(Place.HOST, subnet) == "10.100.7.1"
    script = make_pod(machines(way)[0], subnet, 1450)
    assert "address add 10.100.7.1/24 dev docker0" in script
    assert script.count("mtu 1450") == 3


@pytest.mark.parametrize(
    ("test", "length", "bitrate"), [(Test.SMALL, "64", 204_800_000), (Test.LARGE, "1200", 3_840_000_000)]
)
def test_small_packets_are_offered_at_the_same_number_a_second(test, length, bitrate):
    words = client(test, "10.1.1.2", "10.1.2.2", Settings())
    assert words[words.index("--length") + 1] == length
    assert words[words.index("--bitrate") + 1] == str(bitrate)  # 400,000 a second


def test_both_ends_are_bound_to_the_overlays_addresses():
    for test in Test:
        words = client(test, "10.1.1.2", "10.1.2.2", Settings(seconds=3))
        assert {"10.1.1.2", "10.1.2.2"} <= set(words)
    assert server("10.1.2.2")[-2] == "10.1.2.2"


def test_the_round_trip_takes_as_long_as_everything_else():
    words = client(Test.ROUND_TRIP, "10.1.1.2", "10.1.2.2", Settings(seconds=3))
    interval, count = float(words[words.index("-i") + 1]), int(words[words.index("-c") + 1])
    assert interval * count == pytest.approx(3)


def test_a_run_of_all_ways_beside_one_genuine_flanneld_is_announced_with_a_quarter_of_an_hour_or_so():
    assert 15 * 60 < duration(ways([OLD]), Settings()) < 20 * 60
    assert duration(ways([OLD], ["veth"]), Settings(rounds=1, seconds=1)) < 15
