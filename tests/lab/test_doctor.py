"""What each diagnosis says of a cluster: nothing of one that is well, else what, evidence and fix."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from lab.doctor.model import Layer, Severity
from lab.doctor.questions import FLANNEL_FOLDER, of_node
from lab.doctor.registry import cluster_rules, diagnose, diagnosis, every_rule
from lab.doctor.seen import Answer, Etcd, Filter, Holder, Neighbour, Process, Qdisc
from lab.observe import File, Lease, Observation, Silent
from lab.spec.engine import UNREACHED, EngineSpec
from lab.spec.node import Docker
from lab.spec.segment import Segment
from tests.lab.doctor_cases import LOOKS, MASTER, ONE, TWO, case, devices, found, of, unit
from tests.lab.examples import AT, FOLDER, SPEC, changed, known, master, minion, observation, pod, silent

Changes = Mapping[str, Any]


def test_nothing_is_said_of_a_cluster_that_is_well() -> None:
    assert diagnose(case()) == []


def units(**changes: Any) -> Changes:
    """A minion's units, some of them changed."""
    return {
        "units": {
            **LOOKS[ONE].units,
            **{name: replace(LOOKS[ONE].units[name], **of) for name, of in changes.items()},
        }
    }


def sysctl(path: str, value: str) -> Changes:
    return {"sysctls": {**LOOKS[ONE].sysctls, path: value}}


def device(name: str, **changes: Any) -> Changes:
    return {"devices": {**devices(ONE), name: replace(devices(ONE)[name], **changes)}}


def folder(path: str, **changes: Any) -> Changes:
    return {"folders": {**LOOKS[ONE].folders, path: replace(LOOKS[ONE].folders[path], **changes)}}


# A diagnosis, what one minion says of itself, words of the evidence, and the command that mends it.
OF_A_MACHINE: list[tuple[str, Changes, str, str]] = [
    (
        "unit.paused",
        units(flanneld={"processes": (Process(40, "flanneld", "T"),)}),
        "process 40 (flanneld): state T",
        f"lab exec {ONE} -- systemctl kill --signal=SIGCONT flanneld",
    ),
    (
        "unit.down",
        units(
            flanneld={
                "active": "failed",
                "sub": "failed",
                "result": "exit-code",
                "up": None,
                "log": ("E no etcd",),
            }
        ),
        "flanneld: failed (failed), Result=exit-code, NRestarts=0",
        f"lab exec {ONE} -- systemctl start flanneld",
    ),
    (
        "unit.crashes",
        units(flanneld={"active": "activating", "sub": "auto-restart", "restarts": 7, "up": None}),
        "NRestarts=7",
        f"lab exec {ONE} -- sh -c 'systemctl reset-failed flanneld; systemctl restart flanneld'",
    ),
    (
        "unit.crashes",
        units(
            flanneld={"active": "activating", "sub": "auto-restart-queued", "result": "signal", "up": None}
        ),
        "Result=signal",
        f"lab logs {ONE} flanneld",
    ),
    ("unit.restarted", units(flanneld={"restarts": 1}), "NRestarts=1", f"lab logs {ONE} flanneld"),
    (
        "unit.restarted",
        units(docker={"since_boot": 700.0, "up": 12.0}),
        "docker: active (running)",
        f"lab logs {ONE} docker",
    ),
    (
        "flanneld.readiness",
        {"readyz": Answer(503, "flanneld is not ready yet: its lease is lost")},
        "/readyz: 503 flanneld is not ready yet: its lease is lost",
        f"lab logs {ONE} flanneld",
    ),
    (
        "flanneld.readiness",
        {"readyz": Answer(200, "flanneld is ready, degraded: etcd has not answered for 21 s")},
        "degraded: etcd has not answered for 21 s",
        f"lab logs {ONE} flanneld",
    ),
    ("memory.oom", units(docker={"oom_kills": 2}), "oom_kill 2", f"lab exec {ONE} -- systemctl show"),
    (
        "clock.process",
        units(flanneld={"processes": (Process(40, "flanneld", "S", "/usr/lib/faketime/libfaketime.so.1"),)}),
        "process 40 (flanneld) has LD_PRELOAD=/usr/lib/faketime/libfaketime.so.1",
        f"lab exec {ONE} -- sh -c 'systemctl daemon-reload; systemctl restart flanneld'",
    ),
    (
        "clock.process",
        units(flanneld={"clock_ahead": -7200.0, "log": ("I1130 11:17:55.1 hello",)}),
        "7200 s behind the journal's: I1130 11:17:55.1 hello",
        f"lab exec {ONE} -- systemctl cat flanneld",
    ),
    (
        "clock.machines",
        {"wall": LOOKS[ONE].wall + 7200},
        "this host: 2026-11-30",
        f"lab exec {ONE} -- date --set @1796044700",
    ),
    (
        "disk.flannel",
        folder(FLANNEL_FOLDER, free=0),
        f"0 of {1 << 20} bytes and 90 of 99 files free",
        f"lab exec {ONE} -- mount -o remount,size=16M {FLANNEL_FOLDER}",
    ),
    (
        "disk.flannel",
        folder(FLANNEL_FOLDER, read_only=True),
        "Read-only file system",
        f"lab exec {ONE} -- sh -c 'mount -o remount,rw {FLANNEL_FOLDER} || umount {FLANNEL_FOLDER}'",
    ),
    ("disk.machine", folder("/var", free=1 << 20), "/var: 1 MiB of 2048 MiB free", f"lab exec {ONE} -- du"),
    (
        "etcd.unreachable",
        {"reach": {MASTER: "no answer in time"}},
        f"connect({MASTER}:2379): no answer in time",
        f"lab exec {ONE} -- ip route get 192.168.199.51",
    ),
    (
        "kernel.ip-forward",
        sysctl("net/ipv4/ip_forward", "0"),
        "net.ipv4.ip_forward = 0",
        f"lab exec {ONE} -- sysctl -w net.ipv4.ip_forward=1",
    ),
    (
        "kernel.ip-forward",
        sysctl("net/ipv4/conf/eth0/forwarding", "0"),
        "net.ipv4.conf.eth0.forwarding = 0",
        f"lab exec {ONE} -- sysctl -w net.ipv4.conf.eth0.forwarding=1",
    ),
    (
        "kernel.rp-filter",
        sysctl("net/ipv4/conf/all/rp_filter", "1"),
        "net.ipv4.conf.all.rp_filter = 1",
        f"lab exec {ONE} -- sysctl -w net.ipv4.conf.all.rp_filter=0",
    ),
    (
        "kernel.conntrack",
        sysctl("net/netfilter/nf_conntrack_count", "262000"),
        "nf_conntrack_count = 262000, nf_conntrack_max = 262144",
        f"lab exec {ONE} -- conntrack -F",
    ),
    ("kernel.checksums", {"checksum_errors": {"Udp": 12}}, "Udp InCsumErrors 12", f"lab exec {ONE} -- sh -c"),
    (
        "device.missing",
        {"devices": {name: it for name, it in devices(ONE).items() if name != "flannel0"}},
        "flannel0: no such device",
        f"lab exec {ONE} -- systemctl restart flanneld",
    ),
    ("device.down", device("eth0", up=False), "no UP", f"lab exec {ONE} -- ip link set eth0 up"),
    (
        "device.down",
        device("eth0", carrier=False),
        "NO-CARRIER",
        f"lab exec {ONE} -- ip -details link show eth0",
    ),
    (
        "device.extra-address",
        device("eth0", addresses=("192.168.199.52/24", "192.0.2.77/24")),
        "eth0: 192.168.199.52/24, 192.0.2.77/24",
        f"lab exec {ONE} -- ip address delete 192.0.2.77/24 dev eth0",
    ),
    (
        "device.mtu",
        device("eth0", mtu=1400),
        f"{ONE} eth0: mtu 1400",
        f"lab exec {ONE} -- ip link set eth0 mtu 1500",
    ),
    (
        "device.duplicate",
        device("eth0", mac="02:42:c0:a8:c7:02"),
        f"{TWO} eth0: 02:42:c0:a8:c7:02",
        f"lab exec {ONE} -- ip address show dev eth0",
    ),
    (
        "device.flaps",
        device("eth0", lost=40),
        "carrier_down_count: 40",
        f"lab exec {ONE} -- ip monitor link dev eth0",
    ),
    (
        "port.busy",
        {"holders": (Holder("udp", 8285, "nc", 4711), Holder("tcp", 8285, "nc", 12))},
        "udp port 8285: process 4711 (nc)",
        f"lab exec {ONE} -- kill 4711",
    ),
    (
        "route.segment",
        {"routes": {4: ("10.2.0.0/16", "default"), 6: ()}},
        "ip route show 192.168.199.0/24: nothing",
        f"lab exec {ONE} -- ip -4 route add 192.168.199.0/24 dev eth0 src 192.168.199.52",
    ),
    (
        "route.stale-neighbour",
        {"neighbours": (Neighbour("eth0", "192.168.199.53", "02:00:5e:00:53:01", "STALE"),)},
        "192.168.199.53 dev eth0 lladdr 02:00:5e:00:53:01 STALE",
        f"lab exec {ONE} -- ip neighbour delete 192.168.199.53 dev eth0",
    ),
    (
        "route.stale-neighbour",
        {"neighbours": (Neighbour("eth0", "192.168.199.53", "", "FAILED"),)},
        "192.168.199.53 dev eth0 lladdr ? FAILED",
        f"lab exec {ONE} -- ping",
    ),
    (
        "queue.discipline",
        {
            "qdiscs": (
                Qdisc("eth0", "netem", "root", "limit 1000 delay 0.1"),
                Qdisc("eth0", "fq_codel", "root"),
            )
        },
        "netem dev eth0 root limit 1000 delay 0.1",
        f"lab exec {ONE} -- tc qdisc delete dev eth0 root",
    ),
    (
        "queue.filter",
        {"filters": (Filter("eth0", "egress", 700, "u32", "redirect to hole0"),)},
        "dev eth0 egress pref 700 u32: redirect to hole0",
        f"lab exec {ONE} -- tc filter delete dev eth0 egress",
    ),
    (
        "queue.xdp",
        device("eth0", xdp="program 17 xdp_filter"),
        "xdp program 17 xdp_filter",
        f"lab exec {ONE} -- ip link set dev eth0 xdpgeneric off",
    ),
]


@pytest.mark.parametrize(("identifier", "changes", "evidence", "fix"), OF_A_MACHINE)
def test_what_a_machine_says_of_itself_is_named_with_its_evidence_and_its_cure(
    identifier: str, changes: Changes, evidence: str, fix: str
) -> None:
    diagnoses = found(case(one=changes))
    assert set(diagnoses) == {identifier}
    one = diagnoses[identifier]
    assert one.subject == ONE
    assert [line for line in one.evidence if evidence in line], one.evidence
    assert [line for line in one.fix if line.startswith(fix)], one.fix


def seen_with(**changes: Any) -> Observation:
    return changed(observation(), ONE, **changes)


def leased(*leases: Lease) -> Observation:
    return changed(observation(), MASTER, leases=leases)


FIRST, SECOND = known(master().leases)
STRANGER = Lease(
    f"{FOLDER}/10.2.77.0-24", IPv4Network("10.2.77.0/24"), '{"PublicIP":"192.0.2.1","PublicIPv6":null}', -1
)
ENV = known(minion(ONE).subnet_env).text or ""
NO_ROUTE = tuple(route for route in known(minion(ONE).routes) if " dev flannel0 " not in route)


def link(name: str, **changes: Any) -> Observation:
    links = dict(known(minion(ONE).links))
    links[name] = replace(links[name], **changes)
    return seen_with(links=links)


# A diagnosis, what was seen, its subject, words of the evidence, and the command that mends it.
OF_THE_WHOLE: list[tuple[str, Observation, str, str, str]] = [
    (
        "config.value",
        changed(observation(), MASTER, config=""),
        MASTER,
        f"{ONE} runs with 10.2.0.0/16",
        f'lab exec {MASTER} -- etcdctl put /coreos.com/network/config \'{{ "Network": "10.2.0.0/16" }}\'',
    ),
    ("config.value", changed(observation(), MASTER, config="{ no"), MASTER, "as JSON: Expecting", "lab exec"),
    (
        "config.value",
        changed(observation(), MASTER, config='{"Network": "10.2.0.0/16", "SubnetLen": 25}'),
        MASTER,
        'seen: {"Network": "10.2.0.0/16", "SubnetLen": 25}',
        "lab exec",
    ),
    ("lease.missing", leased(SECOND), ONE, "its subnet.env has 10.2.35.0/24", f"lab logs {ONE} flanneld"),
    (
        "lease.another-owner",
        leased(FIRST, SECOND, STRANGER),
        "/coreos.com/network/subnets",
        f"{STRANGER.key}: {STRANGER.value}, TTL none",
        f"lab exec {MASTER} -- etcdctl del {STRANGER.key}",
    ),
    (
        "lease.another-owner",
        leased(replace(FIRST, value=STRANGER.value), SECOND),
        FIRST.key,
        f"{ONE} has this subnet in its subnet.env",
        f"lab exec {MASTER} -- etcdctl del {FIRST.key}",
    ),
    (
        "lease.bad-key",
        leased(FIRST, SECOND, Lease(f"{FOLDER}/junk", None, "x", -1)),
        f"{FOLDER}/junk",
        f"{FOLDER}/junk: x",
        f"lab exec {MASTER} -- etcdctl del {FOLDER}/junk",
    ),
    (
        "lease.bad-value",
        leased(FIRST, SECOND, replace(STRANGER, value="nonsense")),
        STRANGER.key,
        "nonsense",
        f"lab exec {MASTER} -- etcdctl del {STRANGER.key}",
    ),
    (
        "lease.bad-value",
        leased(replace(FIRST, value="nonsense"), SECOND),
        FIRST.key,
        "nonsense",
        f"lab exec {MASTER} -- etcdctl del {FIRST.key}",
    ),
    (
        "lease.value",
        leased(replace(FIRST, value='{"PublicIP":"192.168.199.52"}'), SECOND),
        ONE,
        'seen: {"PublicIP":"192.168.199.52"}',
        f"lab exec {ONE} -- systemctl restart flanneld",
    ),
    (
        "lease.backends",
        leased(replace(FIRST, value='{"PublicIP":"192.168.199.52","BackendType":"vxlan"}'), SECOND),
        ONE,
        "the configuration has udp",
        f"lab exec {ONE} -- systemctl restart flanneld",
    ),
    (
        "lease.permanent",
        leased(replace(FIRST, ttl=-1), SECOND),
        ONE,
        "without a TTL",
        f"lab exec {MASTER} -- etcdctl del {FIRST.key}",
    ),
    (
        "lease.near-expiry",
        leased(replace(FIRST, ttl=40), SECOND),
        ONE,
        "TTL 40 s; it was to be renewed when 3600 s were left",
        f"lab logs {ONE} flanneld",
    ),
    (
        "lease.overlap",
        leased(
            FIRST,
            SECOND,
            replace(STRANGER, key=f"{FOLDER}/10.2.35.128-25", subnet=IPv4Network("10.2.35.128/25")),
        ),
        f"{FOLDER}/10.2.35.128-25",
        f"{FIRST.key}: {FIRST.value}",
        f"lab exec {MASTER} -- etcdctl del {FOLDER}/10.2.35.128-25",
    ),
    (
        "device.address",
        link("eth0", addresses=("192.168.199.99/24",)),
        ONE,
        "seen: 192.168.199.99/24",
        f"lab exec {ONE} -- ip address add 192.168.199.52/24 dev eth0",
    ),
    (
        "device.address",
        link("docker0", addresses=("172.17.0.1/16",)),
        ONE,
        "expected: 10.2.35.1/24",
        f"lab exec {ONE} -- systemctl restart docker",
    ),
    (
        "device.mtu",
        link("flannel0", mtu=1400),
        ONE,
        "seen: 1400",
        f"lab exec {ONE} -- systemctl restart flanneld",
    ),
    (
        "route.overlay",
        seen_with(routes=NO_ROUTE),
        ONE,
        "missing: 10.2.0.0/16 dev flannel0",
        f"lab exec {ONE} -- systemctl restart flanneld",
    ),
    (
        "route.subnet-env",
        seen_with(subnet_env=File(None, "No such file or directory")),
        ONE,
        "seen: No such file or directory",
        f"lab exec {ONE} -- systemctl restart flanneld",
    ),
    (
        "pod.down",
        seen_with(pods=(replace(pod("mysql01"), status="CrashLoopBackOff", restarts=4),)),
        "mysql01",
        "restarted 4 times",
        "lab pod logs mysql01",
    ),
    (
        "pod.crashes",
        seen_with(pods=(replace(pod("mysql01"), restarts=4),)),
        "mysql01",
        "restarted 4 times",
        "lab pod logs mysql01",
    ),
    (
        "check.fails",
        seen_with(routes=(*known(minion(ONE).routes), "default via 192.168.199.1 dev eth0")),
        ONE,
        "routes.default",
        "lab check --failed",
    ),
    (
        "machine.question",
        seen_with(routes=Silent("no answer within 6 s", AT, "ip -4 route show")),
        ONE,
        "ip -4 route show: no answer within 6 s",
        "lab check --failed",
    ),
]


@pytest.mark.parametrize(("identifier", "seen", "subject", "evidence", "fix"), OF_THE_WHOLE)
def test_what_the_checks_ask_for_is_named_with_its_cause_and_its_cure(
    identifier: str, seen: Observation, subject: str, evidence: str, fix: str
) -> None:
    one = found(case(seen))[identifier]
    assert one.subject == subject
    assert [line for line in one.evidence if evidence in line], one.evidence
    assert [line for line in one.fix if line.startswith(fix)], one.fix


@pytest.mark.parametrize(
    ("state", "what", "fix"),
    [
        ("paused", "it stands still", f"lab fault stop node-pause {ONE}"),
        ("exited", "it is down", f"lab fault stop node-stop {ONE}"),
        ("running", "it runs, and does not answer", f"lab logs {ONE}"),
    ],
)
def test_a_machine_that_stands_still_is_down_or_does_not_answer_is_one_finding(
    state: str, what: str, fix: str
) -> None:
    node = replace(silent(minion(ONE), "did not answer in 9 s"), state=state)
    seen = replace(observation(), nodes={**observation().nodes, ONE: node})
    diagnoses = diagnose(of(seen, {**LOOKS, ONE: Silent("did not answer in 9 s", AT)}))
    assert [(it.id, it.subject) for it in diagnoses if it.severity is Severity.MEND] == [
        ("machine.silent", ONE)
    ]
    assert diagnoses[0].what.startswith(what)
    assert diagnoses[0].fix[0] == fix


def test_of_a_machine_whose_engine_does_not_answer_the_engine_is_what_is_to_be_looked_at() -> None:
    engines = (EngineSpec(name="home"), EngineSpec(name="far", host="tcp://192.0.2.2:2376"))
    spread = [node.model_copy(update={"engine": "far"}) for node in observation().spec.nodes]
    wanted = observation().spec.model_copy(update={"engines": engines, "nodes": tuple(spread)})
    node = replace(silent(minion(ONE), "the engine far does not answer"), state=UNREACHED)
    seen = replace(observation(), spec=wanted, nodes={**observation().nodes, ONE: node})
    told = {**LOOKS, ONE: Silent("the engine far does not answer", AT)}
    (diagnosis,) = [it for it in diagnose(of(seen, told)) if it.id == "machine.silent"]
    assert diagnosis.what.startswith("its engine does not answer")
    assert diagnosis.fix[0] == "DOCKER_HOST=tcp://192.0.2.2:2376 lab doctor"


@pytest.mark.parametrize(
    ("identifier", "etcd", "evidence"),
    [
        ("etcd.health", Etcd("context deadline exceeded"), "context deadline exceeded"),
        ("etcd.health", Etcd("", "3.5.16", leader=False), "leader 0"),
        ("etcd.alarms", Etcd("", "3.5.16", alarms=("memberID:1 alarm:NOSPACE",)), "alarm:NOSPACE"),
    ],
)
def test_etcd_says_itself_what_is_wrong_with_it(identifier: str, etcd: Etcd, evidence: str) -> None:
    one = found(case(master={"etcd": etcd}))[identifier]
    assert one.subject == MASTER
    assert evidence in one.evidence[0]
    assert one.fix[0].startswith(f"lab exec {MASTER} -- ")


def test_members_of_etcd_of_different_minor_versions_are_worth_knowing() -> None:
    one = found(case(master={"etcd": Etcd("", "3.5.16")}, one={"etcd": Etcd("", "3.6.1")}))["etcd.versions"]
    assert one.severity is Severity.NOTE
    assert f"{ONE}: etcd 3.6.1" in one.evidence


def test_a_flannel_that_cannot_read_the_store_is_named() -> None:
    one = found(case(seen_with(version="0.5.5")))["etcd.store"]
    assert (one.subject, "v2" in one.evidence[0]) == (ONE, True)


def test_a_network_whose_every_subnet_is_leased_to_strangers_has_none_left() -> None:
    others = [
        replace(STRANGER, key=f"{FOLDER}/10.2.{third}.0-24", subnet=IPv4Network(f"10.2.{third}.0/24"))
        for third in range(33, 64)
        if third not in (35, 52)
    ]
    small = SPEC.model_copy(update={"flannel_config": '{"Network":"10.2.32.0/19"}'})
    one = found(case(replace(leased(FIRST, SECOND, *others), spec=small)))["lease.exhausted"]
    assert one.evidence[0] == "31 of 31 subnets from 10.2.33.0 to 10.2.63.0 are leased"
    assert one.severity is Severity.MEND
    assert "lease.exhausted" not in found(case(replace(leased(FIRST, SECOND, *others[1:]), spec=small)))


def test_a_lease_is_judged_by_the_margin_that_its_flanneld_was_started_with() -> None:
    spec = SPEC.model_copy(update={"flanneld_options": ("-subnet-lease-renew-margin=1439",)})
    seen = replace(leased(replace(FIRST, ttl=80000), SECOND), spec=spec)
    assert "renewed when 86340 s" in found(case(seen))["lease.near-expiry"].evidence[0]


def test_a_device_that_is_down_is_told_and_not_the_addresses_that_have_gone_with_it() -> None:
    tun = devices(ONE)["flannel0"]
    looks = {**devices(ONE), "flannel0": replace(tun, up=False, addresses=())}
    told = diagnose(case(link("flannel0", up=False, addresses=()), one={"devices": looks}))
    assert [it.id for it in told if it.layer is Layer.DEVICE] == ["device.down"]
    up = {**devices(ONE), "flannel0": replace(tun, addresses=())}
    assert "device.address" in found(case(link("flannel0", addresses=()), one={"devices": up}))


def test_a_pod_has_a_moment_to_run_again_once_its_docker_was_started() -> None:
    stopped = seen_with(pods=(replace(pod("mysql02"), status="Exited"),))
    on = pod("mysql02").node
    assert on == ONE
    for up, severity in ((2.0, Severity.NOTE), (30.0, Severity.MEND)):
        units = {**LOOKS[ONE].units, "docker": unit("docker", 41, up=up)}
        told = found(case(stopped, one={"units": units}))["pod.down"]
        assert told.severity is severity
    again = seen_with(pods=(replace(pod("mysql02"), status="Exited", restarts=4),))
    units = {**LOOKS[ONE].units, "docker": unit("docker", 41, up=2.0)}
    assert found(case(again, one={"units": units}))["pod.down"].severity is Severity.MEND


def test_machines_whose_clocks_agree_with_each_other_and_not_with_ours_are_not_blamed() -> None:
    later = {"wall": LOOKS[ONE].wall + 7200}
    assert diagnose(case(one=later, two=later, master=later)) == []


def test_what_the_lab_file_itself_wants_of_a_segment_is_worth_knowing_only() -> None:
    segment = Segment(impairment="delay 100ms")
    seen = replace(observation(), spec=SPEC.model_copy(update={"segments": (segment,)}))
    one = found(case(seen, one={"qdiscs": (Qdisc("imp", "netem", "root", "delay 0.1"),)}))["queue.discipline"]
    assert one.severity is Severity.NOTE
    assert one.evidence[-1] == "the lab file says of eth0: delay 100ms"


def test_a_filter_that_only_copies_packets_for_somebody_who_listens_harms_nobody() -> None:
    assert diagnose(case(one={"filters": (Filter("eth0", "egress", 1, "matchall", "mirror to tap0"),)})) == []


def test_the_port_that_flanneld_itself_has_is_not_busy() -> None:
    pid = LOOKS[ONE].units["flanneld"].pid
    assert diagnose(case(one={"holders": (Holder("udp", 8285, "flanneld", pid),)})) == []


def test_a_node_without_flanneld_is_not_asked_for_what_flanneld_does() -> None:
    nodes = tuple(
        node.model_copy(update={"services": ("docker",)}) if node.name == ONE else node for node in SPEC.nodes
    )
    spec = SPEC.model_copy(update={"nodes": nodes})
    asked = of_node(spec, spec.nodes[1], 6.0)
    assert (asked["reach"], asked["readyz"]) == ({}, "")
    assert FLANNEL_FOLDER in asked["folders"]  # Docker reads there what another daemon has written
    fixed = spec.nodes[1].model_copy(update={"docker": Docker(bip="none")})
    assert FLANNEL_FOLDER not in of_node(spec, fixed, 6.0)["folders"]
    seen = replace(leased(SECOND), spec=spec)
    told = {
        "units": {"docker": unit("docker", 41)},
        "devices": {name: it for name, it in devices(ONE).items() if name != "flannel0"},
    }
    ids = {item.id for item in diagnose(case(seen, one=told))}
    assert not ids & {"device.missing", "lease.missing", "unit.down", "route.overlay", "port.busy"}


def test_commands_name_the_lab_that_is_meant() -> None:
    mine = replace(case(one={"reach": {MASTER: "Connection refused"}}), option=" --name mine")
    assert diagnose(mine)[0].fix[0] == f"lab exec --name mine {ONE} -- ip route get 192.168.199.51"


def test_what_must_be_mended_comes_first_and_from_the_ground_up() -> None:
    wrong = {**sysctl("net/ipv4/conf/all/rp_filter", "1"), **device("eth0", up=False)}
    ids = [item.id for item in diagnose(case(changed(observation(), MASTER, config=""), one=wrong))]
    assert ids == ["device.down", "config.value", "kernel.rp-filter"]


def test_every_diagnosis_of_a_cluster_has_a_test_and_says_what_it_names() -> None:
    tested = {item[0] for item in OF_A_MACHINE} | {item[0] for item in OF_THE_WHOLE}
    tested |= {
        "machine.silent",
        "etcd.health",
        "etcd.alarms",
        "etcd.versions",
        "etcd.store",
        "lease.exhausted",
    }
    tested |= {"route.neighbours", "route.fdb"}  # in test_doctor_vxlan.py
    tested |= {it.id for it in cluster_rules() if it.id.startswith("firewall.")}  # in test_doctor_firewall.py
    assert {rule.id for rule in cluster_rules()} == tested
    assert [rule.id for rule in every_rule() if rule.finds.endswith(".") or not rule.finds] == []
    assert [rule.id for rule in every_rule() if not (rule.function.__doc__ or "").strip()] == []


def test_an_identifier_has_one_form_and_one_owner() -> None:
    with pytest.raises(ValueError, match=r"is like kernel\.ip-forward; got 'Wrong'"):
        diagnosis("Wrong", Layer.KERNEL, finds="x")(lambda _: iter(()))
    with pytest.raises(ValueError, match=r"there are two diagnoses unit\.down"):
        diagnosis("unit.down", Layer.KERNEL, finds="x")(lambda _: iter(()))
