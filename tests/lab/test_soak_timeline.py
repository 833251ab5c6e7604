"""The time line of a round, and what is compared of a machine before it and after it."""

from ipaddress import IPv4Network

from lab.soak.evidence import Applied, Evidence, Gap
from lab.soak.records import Line
from lab.soak.remains import differences, parse_remains
from lab.soak.schedule import Entry
from lab.soak.timeline import events, outline, shown

ADDRESS = "[ADDR]Deleted 5: flannel0    inet 10.2.3.0/16 scope global flannel0\\       valid_lft forever"


def test_what_happened_is_in_order_whoever_tells_it() -> None:
    pause = Entry(at=1, fault="node-pause", targets=("a",), lasts=2)
    wipe = Entry(at=2, fault="etcd-wipe")
    evidence = Evidence(
        (
            Applied(pause, 1.0, 3.25),
            Applied(wipe, 2.0, 2.5, done=False, error="m: etcd on this machine does not answer\nmore"),
        ),
        gaps=(Gap("datagrams", "a", "b", 1.0, 3.5, "12 lost"),),
        lines=(
            Line(-0.5, "a", "ready", "200 flanneld is ready"),  # from before
            Line(0.5, "a", "kernel", ADDRESS),
            Line(3.0, "a", "ready", None),
            Line(2.75, "b", "subnet.env", "FLANNEL_SUBNET=10.2.3.1/24\nFLANNEL_MTU=1472\n"),
        ),
        logs=(Line(1.5, "b", "flanneld[7]", "Subnet removed: 10.2.3.0/24"),),
    )
    every = events(evidence)
    assert [(event.at, event.node, event.kind) for event in every] == [
        (0.5, "a", "address"),
        (1.0, "a", "fault"),
        (1.0, "a -> b", "gap"),
        (1.5, "b", "log"),
        (2.0, "", "fault"),
        (2.75, "b", "subnet.env"),
        (3.0, "a", "ready"),
        (3.25, "a", "fault"),
    ]
    lines = shown(every).splitlines()
    assert lines[0].endswith("Deleted 5: flannel0 inet 10.2.3.0/16 scope global flannel0")
    assert lines[1].split() == ["1.00", "a", "fault", "node-pause", "begins"]
    assert lines[4].endswith("etcd-wipe was not done: m: etcd on this machine does not answer")
    assert "log" not in {event.kind for event in outline(every)}


def test_what_the_kernel_does_by_itself_is_left_out() -> None:
    said = [
        "[NEIGH]192.168.199.51 dev eth0 lladdr 02:42:c0:a8:c7:33 REACHABLE",
        "[NEIGH]10.2.3.0 dev flannel.1 lladdr 5a:1e:31:c7:4b:37 PERMANENT",
        "[ROUTE]local 10.2.4.1 dev docker0 table local proto kernel scope host src 10.2.4.1",
        "[ROUTE]10.2.3.0/24 via 10.2.3.0 dev flannel.1 proto 0xf1 onlink",
        "[ROUTE]Deleted 10.2.3.0/24 via 10.2.3.0 dev flannel.1 proto 0xf1 onlink",
        "[LINK]9: veth8549eab@if8: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1472",
        "no label",
    ]
    evidence = Evidence((), lines=tuple(Line(float(at), "a", "kernel", text) for at, text in enumerate(said)))
    assert [(event.kind, event.at) for event in events(evidence)] == [
        ("neighbour", 1.0),
        ("route", 3.0),
        ("route", 4.0),
    ]


BEFORE = {
    "devices": "lo UNKNOWN 00:00:00:00:00:00\nflannel0 UNKNOWN\nveth1@if4 UP da:28\neth0@if18 UP\n",
    "rules": "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
    "filters": "*nat\n:POSTROUTING ACCEPT [1:2]\n-A POSTROUTING -s 10.2.3.0/24 ! -o docker0 -j MASQUERADE\n"
    "-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -j DNAT --to-destination 127.0.0.11:42375\nCOMMIT\n",
    "processes": "/usr/lib/systemd/systemd\n/usr/sbin/dockerd --bip=10.2.3.1/24 --mtu=1472\n"
    "/usr/bin/containerd-shim-runc-v2 -namespace moby -id 1ec845906b4a52a7\nps -e -ww -o args\n",
}


def test_a_machine_that_has_another_subnet_has_what_it_had() -> None:
    after = {
        **BEFORE,
        "devices": BEFORE["devices"].replace("veth1@if4", "veth7@if9"),
        "filters": BEFORE["filters"].replace("10.2.3", "10.2.9").replace("42375", "37773"),
        "processes": BEFORE["processes"]
        .replace("10.2.3", "10.2.9")
        .replace("1ec845906b4a52a7", "77aa45906b4a"),
    }
    had = parse_remains(BEFORE, {"a": IPv4Network("10.2.3.0/24")})
    has = parse_remains(after, {"a": IPv4Network("10.2.9.0/24")})
    assert differences(had, has) == ""
    assert had.devices == ("eth0", "flannel0", "lo")


def test_what_is_left_or_missing_is_told() -> None:
    subnets = {"a": IPv4Network("10.2.3.0/24")}
    after = {
        "devices": BEFORE["devices"] + "flannel1 UNKNOWN\n",
        "rules": BEFORE["rules"] + "100:\tfrom 10.2.3.7 lookup 7\n",
        "filters": "",
        "processes": BEFORE["processes"].replace("/usr/lib/systemd/systemd\n", "") + "/usr/bin/flanneld\n",
    }
    assert differences(parse_remains(BEFORE, subnets), parse_remains(after, subnets)) == (
        "more devices: flannel1; more rules: 100:\tfrom <a> lookup 7; "
        "fewer filters: -A POSTROUTING -s <a> ! -o docker0 -j MASQUERADE; more processes: /usr/bin/flanneld"
    )


def test_a_process_may_have_what_python_takes_for_the_end_of_a_line_among_its_arguments() -> None:
    printed = {**BEFORE, "processes": "/usr/bin/x one\u2028two\n"}
    assert parse_remains(printed, {}).processes == ("/usr/bin/x one\u2028two",)
