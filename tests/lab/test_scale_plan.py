import json
import re
import shlex
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from lab.scale.plan import (
    KINDS,
    MAKE_SWITCH,
    MOST,
    OVERLAY,
    Program,
    config,
    connect_switch,
    lease_of_a_stranger,
    members,
    nodes,
    rate,
)

GENUINE = Program("/opt/flanneld", "flannel 0.20.2", forks=False)


@pytest.mark.parametrize(
    ("text", "per_second"), [("1/s", 1.0), ("0.5/s", 0.5), ("30/m", 0.5), ("36/h", 0.01)]
)
def test_a_rate_is_happenings_in_a_unit_of_time(text, per_second):
    assert rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["", "1", "0/s", "-1/s", "1/d", "1 / s", "x/s"])
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="1/s or 30/m"):
        rate(text)


def test_no_two_machines_share_an_address_a_mac_or_a_name():
    those, etcd = nodes(MOST + 1), members(5)
    addresses = [each.address for each in those] + [each.address for each in etcd]
    assert len(set(addresses)) == len(addresses)
    every = [*those, *etcd]
    assert len({each.mac for each in every}) == len({each.name for each in every}) == len(every)
    network = ip_network("198.18.0.0/16")
    assert all(ip_address(each) in network for each in addresses)
    assert not {str(network[0]), str(network[-1]), str(network[-2])} & set(addresses)
    assert json.loads(lease_of_a_stranger("vxlan", 1))["PublicIP"] not in addresses


def test_machines_are_on_each_engine_in_turn_the_first_on_the_first():
    assert [node.place(3) for node in nodes(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [member.place(2) for member in members(3)] == [0, 1, 0]
    assert {node.place(1) for node in nodes(7)} == {0}


def test_a_switch_is_connected_to_each_other_one_with_room_for_both_headers():
    own, *others = (IPv4Address(f"192.168.200.{host}") for host in (2, 3, 4))
    script = connect_switch(own, others)
    assert " mtu 1400 type vxlan " in script  # RFC 7348: twice 50 bytes of 1500
    assert "local 192.168.200.2 dev eth0" in script
    assert re.findall(r"dev between dst (\S+)", script) == ["192.168.200.3", "192.168.200.4"]


def test_names_of_network_devices_are_short_enough():
    # IFNAMSIZ of linux/if.h: 16 bytes with the zero at the end.
    (port,) = re.findall(r"link set (\S+) master", "\n".join(nodes(MOST + 1)[-1].plug(1500)))
    assert len(port) < 16


def test_as_many_nodes_as_there_can_be_have_room_for_their_subnets():
    read = json.loads(config("vxlan"))
    assert read["Backend"] == {"Type": "vxlan"}
    assert ip_network(read["Network"]) == OVERLAY
    assert 2 ** (read["SubnetLen"] - OVERLAY.prefixlen) > 2 * MOST


def test_nodes_and_etcd_have_not_to_find_each_other_by_arp():
    (node,), (first, *others) = nodes(1), members(3)
    for other in others:
        known = first.set_up([node, *others])
        assert f"neighbour add {other.address} lladdr {other.mac} dev eth0 nud permanent" in known
    assert f"neighbour add {node.address} lladdr {node.mac} dev eth0 nud permanent" in known
    assert f"neighbour add {first.address} lladdr {first.mac} dev eth0 nud permanent" in node.set_up([first])
    assert f"peer name eth0 address {node.mac} " in "".join(node.plug(1500))


def test_nodes_begin_with_different_members_of_etcd_and_know_all_of_them():
    etcd = members(3)
    asked = []
    for node in nodes(6):
        (option,) = [word for word in node.argv(Program(), "vxlan", etcd) if "-etcd-endpoints=" in word]
        asked.append(option.partition("=")[2].split(","))
    assert all(sorted(urls) == sorted(each.client_url for each in etcd) for urls in asked)
    firsts = [urls[0] for urls in asked]
    assert {url: firsts.count(url) for url in firsts} == {each.client_url: 2 for each in etcd}


def test_every_member_of_etcd_is_told_of_all_of_them():
    etcd = members(3)
    for member in etcd:
        words = member.argv(etcd)
        (cluster,) = [word for word in words if word.startswith("--initial-cluster=")]
        assert cluster == (
            "--initial-cluster=m1=http://198.18.0.2:2380,m2=http://198.18.0.3:2380,m3=http://198.18.0.4:2380"
        )
        assert "--listen-client-urls=http://0.0.0.0:2379" in words
        assert f"--advertise-client-urls={member.client_url}" in words


def test_a_genuine_flanneld_is_started_in_its_namespace_with_flags_that_it_has():
    (node,) = nodes(1)
    assert node.argv(GENUINE, "vxlan", members(1)) == (
        "ip", "netns", "exec", "n1", "/opt/flanneld", "-etcd-endpoints=http://198.18.0.2:2379",
        "-etcd-prefix=/coreos.com/network", "-iface=eth0", "-subnet-file=/run/scale/n1/subnet.env",
    )  # fmt: skip


def test_a_daemon_is_asked_for_its_peers_where_the_kernel_cannot_be():
    (node,) = nodes(1)
    asked = {
        kind: any("healthz" in word for word in node.argv(Program(), kind, members(1))) for kind in KINDS
    }
    assert asked == {"vxlan": False, "host-gw": False, "udp": True}


def test_scripts_are_whole_commands():
    (node,) = nodes(1)
    connected = connect_switch(IPv4Address("192.0.2.1"), [IPv4Address("192.0.2.2")])
    for script in (MAKE_SWITCH, connected, node.set_up(members(5)), *node.plug(1500)):
        for line in script.splitlines():
            shlex.split(line)  # raises where a quotation does not end


def test_the_lease_of_a_machine_that_does_not_exist_is_as_flannel_writes_it():
    assert json.loads(lease_of_a_stranger("udp", 1)) == {"PublicIP": "198.18.255.254", "PublicIPv6": None}
    assert json.loads(lease_of_a_stranger("host-gw", 1))["BackendType"] == "host-gw"
    vxlan = json.loads(lease_of_a_stranger("vxlan", 1))
    assert vxlan["BackendData"] == {"VNI": 1, "VtepMAC": "02:00:c6:12:ff:fe"}


def test_machines_that_do_not_exist_are_not_taken_for_one_another():
    one, other = (json.loads(lease_of_a_stranger("vxlan", number)) for number in (1, 2))
    assert one["PublicIP"] != other["PublicIP"]
    assert one["BackendData"]["VtepMAC"] != other["BackendData"]["VtepMAC"]
