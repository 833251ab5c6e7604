"""The registry of faults, and what is made of what somebody asks for: targets, options, plans, refusals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lab.errors import Unfit
from lab.faults.inside import main
from lab.faults.inside.kinds import EVENTS, STATES
from lab.faults.plan import Ask, EndOn, OnEngine, OnNode
from lab.faults.registry import IDENTIFIER, NAME, SUBJECTS, Fault, every_fault, fault_named, state
from lab.faults.targets import GROUPS, NONE, Setting
from lab.spec.segment import ONLY, Subnets
from tests.lab.examples import SPEC, UNDERLAY

assert main.MODULES  # what a machine knows is registered when these are imported

MASTER, ONE, TWO = "centos-master", "centos-minion01", "centos-minion02"
SETTING = Setting(SPEC, {ONLY: Subnets(UNDERLAY)})

# Schedules and tests name faults by these: one that is renamed is a change that CHANGELOG.md tells of.
NAMES = {
    *("unit-stop", "unit-pause", "unit-kill", "unit-restart", "crash-loop", "oom"),
    *("etcd-stop", "etcd-pause", "daemon-pause", "daemon-kill-9", "daemon-restart", "dockerd-restart"),
    *("thundering-start", "node-pause", "node-stop", "node-kill", "node-reboot"),
    *("lease-delete", "lease-steal", "lease-overwrite", "lease-expire", "lease-permanent"),
    *("subnet-exhaustion", "config-change", "config-break", "config-remove"),
    *("etcd-wipe", "etcd-compact", "etcd-defragment", "etcd-snapshot", "etcd-restore", "etcd-leader-change"),
    *("etcd-member-loss", "etcd-bad-key", "etcd-bad-value", "etcd-slow-disk"),
    *("ip-forward-off", "rp-filter", "forward-drop", "iptables-flush", "nft-flush", "masquerade-missing"),
    *("pmtu-blackhole", "conntrack-full", "route-delete", "segment-route-delete", "neighbour-delete"),
    *("fdb-delete", "device-down", "iface-down-up", "device-delete", "cable-out", "mtu", "peer-replaced"),
    *("address-add", "address-change", "docker0-wrong-address", "port-busy", "peer-vanished"),
    *("partition", "partition-etcd", "delay", "loss", "rate", "duplicate", "reorder", "corrupt", "flap"),
    *("spoofed-datagram", "disk-full", "disk-read-only", "clock-skew"),
}


SEVERAL_MEMBERS = {"etcd-member-loss", "etcd-leader-change"}


def ask(name: str, *targets: str, **options: object) -> Ask:
    return fault_named(name).ask(SETTING, targets, options)


def steps(name: str, *targets: str, **options: object) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(node, what it does, what it is given) of a plan, in order."""
    plan = fault_named(name).function(ask(name, *targets, **options))
    every = [action for stage in plan for action in stage]
    return [
        (action.node, step.does, step.given)
        for action in every
        if isinstance(action, OnNode)
        for step in action.steps
    ]


def test_the_faults_that_others_rely_on_are_all_there() -> None:
    assert {fault.name for fault in every_fault()} >= NAMES


def test_no_faults_name_can_be_taken_for_an_identifier() -> None:
    for fault in every_fault():
        assert NAME.fullmatch(fault.name)
        assert not IDENTIFIER.fullmatch(fault.name)


def test_every_fault_says_what_it_does_and_what_must_hold() -> None:
    for fault in every_fault():
        assert fault.does, fault.name
        assert not fault.does.endswith("."), fault.name
        assert fault.holds, fault.name
        assert fault.subject in SUBJECTS
        assert bool(fault.refused) <= bool(fault.hint), fault.name


def test_two_faults_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="there are two faults etcd-wipe"):
        state("etcd-wipe", NONE, does="x", holds="y")


@pytest.mark.parametrize("name", ["Etcd-wipe", "etcd_wipe", "-x", "0b1c", "cafe"])
def test_a_name_is_words_with_hyphens_and_no_identifier(name: str) -> None:
    with pytest.raises(ValueError, match="a fault's name is like"):
        state(name, NONE, does="x", holds="y")


def test_a_wrong_name_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(Unfit, match=r"there is no fault etcd-wype; did you mean etcd-wipe\?") as error:
        fault_named("etcd-wype")
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("words", "nodes"),
    [
        ([ONE], [ONE]),
        ([TWO, ONE, TWO], [TWO, ONE]),
        (["minions"], [ONE, TWO]),
        (["etcd"], [MASTER]),
        (["all"], [MASTER, ONE, TWO]),
        (["*01", "centos-ma*"], [ONE, MASTER]),
    ],
)
def test_machines_are_named_by_name_service_or_pattern_each_once(words: list[str], nodes: list[str]) -> None:
    assert ask("node-pause", *words).nodes == tuple(nodes)


@pytest.mark.parametrize(
    ("name", "words", "error"),
    [
        ("node-pause", ["centos-minion1"], "has no node centos-minion1; did you mean centos-minion01?"),
        ("node-pause", ["elsewhere"], "has no node elsewhere; it has: centos-master, centos-minion01, "),
        ("node-pause", [], r"node-pause: expected NODE\.\.\.; got nothing"),
        ("lease-steal", [MASTER], "centos-master does not run flanneld; these do: centos-minion01, "),
        ("unit-stop", [ONE], "expected NODE/UNIT, with a unit such as flanneld, docker; got centos-minion01"),
        ("etcd-wipe", [MASTER], "etcd-wipe: it takes no target; got centos-master"),
        ("peer-vanished", [ONE], "expected two machines, FROM and TO; got centos-minion01"),
        ("peer-vanished", [ONE, ONE], "expected two machines; got centos-minion01 twice"),
        ("partition", [ONE], "expected two groups of machines or more; got centos-minion01"),
        ("partition", [ONE, "minions"], "centos-minion01 is in two groups; a machine is on one side"),
        ("peer-vanished", [ONE, "all"], "expected one machine; all means centos-master, "),
    ],
)
def test_a_wrong_target_is_told_in_one_line_with_the_usage(name: str, words: list[str], error: str) -> None:
    with pytest.raises(Unfit, match=error) as told:
        ask(name, *words)
    assert "\n" not in told.value.message
    assert told.value.hint.startswith(f"Usage: lab fault start {name}")


def test_a_unit_is_systemds_full_name() -> None:
    assert [str(target) for target in ask("unit-kill", "minions/docker").targets] == [
        f"{ONE}/docker.service",
        f"{TWO}/docker.service",
    ]
    assert [item.part for item in ask("unit-stop", f"{ONE}/lab-pods.service").targets] == ["lab-pods.service"]


def test_the_etcd_that_is_meant_without_a_name_is_every_one() -> None:
    assert steps("etcd-pause") == [(MASTER, "unit-paused", {"unit": "etcd.service"})]


@pytest.mark.parametrize(
    ("words", "targets", "options"),
    [
        ([ONE, "--to", "1300"], [ONE], {"to": "1300"}),
        (["--to=1300", ONE, "--device", "docker0"], [ONE], {"to": "1300", "device": "docker0"}),
    ],
)
def test_options_may_stand_anywhere(words: list[str], targets: list[str], options: dict[str, str]) -> None:
    assert fault_named("mtu").words(words) == (targets, options)


def test_a_flag_takes_no_value() -> None:
    assert fault_named("node-reboot").words(["--hard", ONE]) == ([ONE], {"hard": "true"})
    assert ask("node-reboot", ONE, hard=True).options == {"hard": True}
    assert ask("node-reboot", ONE).options == {"hard": False}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--too", "1300"], "mtu has no option --too; did you mean --to?"),
        (["-t", "1300"], "mtu has no option -t; it has: --device, --to"),
        (["--to"], "--to needs a value: --to BYTES"),
    ],
)
def test_a_wrong_option_is_told_with_the_one_that_was_meant(words: list[str], error: str) -> None:
    with pytest.raises(Unfit, match=error):
        fault_named("mtu").words(words)


@pytest.mark.parametrize(
    ("name", "target", "options", "error"),
    [
        ("mtu", [ONE], {"to": "12"}, "mtu: --to: expected a number from 576 to 9000; got '12'"),
        (
            "crash-loop",
            [f"{ONE}/docker"],
            {"every": "1"},
            "expected a duration such as 500ms, 30s or 5m; got '1'",
        ),
        ("unit-kill", [f"{ONE}/docker"], {"signal": "TREM"}, "got 'TREM'; did you mean SIGTERM?"),
        ("rp-filter", [ONE], {"mode": "stric"}, "expected strict or loose or off; got 'stric'; did you mean"),
        ("address-add", [ONE], {"address": "192.0.2.1"}, "expected an address with its prefix length"),
        ("config-change", [], {"set": "Network"}, "expected KEY=VALUE such as Backend.Type=vxlan"),
        ("disk-full", [ONE], {"path": "run"}, "expected an absolute path such as /run/flannel"),
        ("mtu", [ONE], {"speed": 1}, "mtu has no option --speed; it has: --device, --to"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(
    name: str, target: list[str], options: dict[str, object], error: str
) -> None:
    with pytest.raises(Unfit, match=error):
        ask(name, *target, **options)


def test_python_may_give_values_of_its_own_and_names_with_underscores() -> None:
    assert ask("mtu", ONE, to=1300).options == {"device": "eth0", "to": 1300}
    assert ask("crash-loop", f"{ONE}/docker", every="300ms").options == {"every": 0.3}


@pytest.mark.parametrize(
    ("name", "target", "why", "remedy"),
    [
        ("etcd-slow-disk", [MASTER], "no block device of its own", "Root on the host can"),
        ("conntrack-full", [ONE], "nf_conntrack_max, is the host's", "Root on the host can"),
        ("cable-out", [ONE], "the veth's other end, which is on the host", "Root on the host can"),
        ("etcd-member-loss", [MASTER], "etcd has one member in this lab", "lab fault start etcd-stop"),
        ("etcd-leader-change", [], "etcd has one member in this lab", "lab fault start etcd-stop"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason_and_what_helps(
    name: str, target: list[str], why: str, remedy: str
) -> None:
    with pytest.raises(Unfit, match=why) as refused:
        fault_named(name).function(ask(name, *target))
    assert remedy in refused.value.hint


def test_a_lab_without_etcd_is_told_so() -> None:
    nodes = tuple(node for node in SPEC.nodes if not node.runs("etcd"))
    without = Setting(SPEC.model_copy(update={"nodes": nodes}), {ONLY: Subnets(UNDERLAY)})
    for name in ("etcd-wipe", "config-break", "etcd-leader-change"):
        fault = fault_named(name)
        with pytest.raises(Unfit, match="no machine of the lab tutorial runs etcd"):
            fault.function(fault.ask(without, (), {}))


def test_a_lease_is_found_by_the_machines_address_where_etcd_is() -> None:
    store = {"api": "v3", "prefix": "/coreos.com/network"}
    assert steps("lease-delete", ONE) == [(MASTER, "lease-delete", {**store, "address": "192.168.199.52"})]


def test_an_address_that_is_changed_is_one_that_no_machine_has() -> None:
    given = [item["address"] for _, _, item in steps("address-change", "minions")]
    assert given == ["192.168.199.254/24", "192.168.199.253/24"]


def test_a_bad_value_stands_under_a_subnets_key() -> None:
    ((_, _, given),) = steps("etcd-bad-value")
    assert given["key"] == "/coreos.com/network/subnets/10.2.255.0-24"


def test_the_port_that_is_busy_is_the_backends() -> None:
    ((_, _, given),) = steps("port-busy", ONE)
    assert (given["port"], given["protocol"]) == (8285, "udp")


def test_a_port_that_the_kernel_has_for_flannels_device_cannot_be_taken_from_it() -> None:
    spec = SETTING.spec.model_copy(
        update={"flannel_config": '{"Network": "10.2.0.0/16", "Backend": {"Type": "vxlan"}}'}
    )
    wanted = fault_named("port-busy").ask(replace(SETTING, spec=spec), (ONE,), {})
    with pytest.raises(Unfit, match="port 8472 is the kernel's"):
        fault_named("port-busy").function(wanted)


def test_whole_machines_are_the_engines() -> None:
    plan = fault_named("node-reboot").function(ask("node-reboot", "minions", hard=True))
    assert plan == ((OnEngine(ONE, "reset"), OnEngine(TWO, "reset")),)


def test_a_peer_vanishes_while_the_daemon_that_is_to_notice_is_down() -> None:
    plan = fault_named("peer-vanished").function(ask("peer-vanished", ONE, TWO))
    assert [(action.node, type(action)) for stage in plan for action in stage] == [
        (ONE, OnNode),
        (TWO, OnNode),
        (MASTER, OnNode),
        (ONE, EndOn),
    ]


def rules(name: str, *targets: str, **options: object) -> list[tuple[str, list[str], str, str]]:
    """(node, peers, direction, impairment) of a fault of the network."""
    found = [(node, given["rule"]) for node, _, given in steps(name, *targets, **options)]
    return [(node, rule["peers"], rule["direction"], rule["impairment"]) for node, rule in found]


def test_a_partition_is_cut_on_both_sides_and_leaves_each_group_to_itself() -> None:
    assert rules("partition", MASTER, f"{ONE},{TWO}") == [
        (MASTER, ["192.168.199.52", "192.168.199.53"], "both", "cut"),
        (ONE, ["192.168.199.51"], "both", "cut"),
        (TWO, ["192.168.199.51"], "both", "cut"),
    ]


def test_one_way_only_what_the_first_group_sends_is_cut() -> None:
    assert rules("partition", ONE, "etcd", one_way=True) == [(ONE, ["192.168.199.51"], "out", "cut")]


def test_the_groups_of_a_partition_are_told_as_they_may_be_written() -> None:
    asked = ask("partition", "etcd", "minions")
    assert asked.named == (MASTER, f"{ONE},{TWO}")
    assert ask("partition", *asked.named).targets == asked.targets
    assert ask("node-pause", "minions").named == (ONE, TWO)


def test_a_machine_is_parted_from_the_others_with_etcd_and_never_from_everybody() -> None:
    assert rules("partition-etcd", ONE) == [(ONE, ["192.168.199.51"], "both", "cut")]
    with pytest.raises(Unfit, match="centos-master sends itself nothing over the network"):
        rules("partition-etcd", MASTER)


def test_an_impairment_is_told_with_its_parts_its_peers_and_its_direction() -> None:
    delayed = rules("delay", ONE, peer="minions", jitter="10ms", direction="both")
    assert delayed == [(ONE, ["192.168.199.53"], "both", "delay 100ms jitter 10ms")]
    assert rules("loss", ONE, share="0.5%") == [(ONE, [], "out", "loss 0.5%")]


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("delay", {"time": "soon"}, "soon"),
        ("loss", {"share": "150%"}, "150%"),
        ("rate", {"limit": "fast"}, "fast"),
        ("loss", {"port": 53, "protocol": "icmp"}, "icmp has no ports"),
    ],
)
def test_an_impairment_that_cannot_be_is_refused(name: str, options: dict[str, object], error: str) -> None:
    with pytest.raises(Unfit, match=error):
        rules(name, ONE, **options)


POSSIBLE = [fault for fault in every_fault() if not fault.refused and fault.name not in SEVERAL_MEMBERS]


@pytest.mark.parametrize("fault", POSSIBLE, ids=lambda fault: fault.name)
def test_the_steps_of_a_plan_are_what_a_machine_knows(fault: Fault) -> None:
    targets = {"NODE/UNIT...": [f"{ONE}/docker"], "FROM TO": [ONE, TWO], "": [], "[NODE...]": []}
    targets[GROUPS.usage] = [ONE, "etcd"]
    asked = fault.ask(SETTING, targets.get(fault.targets.usage, [ONE]), {})
    for action in (action for stage in fault.function(asked) for action in stage):
        if isinstance(action, OnNode):
            known = EVENTS if fault.kind == "event" or action.events else STATES
            assert {step.does for step in action.steps} <= set(known)
