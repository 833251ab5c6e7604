"""What must hold in a round of a search: what excuses what, and which subnets machines may use."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lab import checks
from lab.render import soak as render
from lab.soak.evidence import Applied, Evidence, Gap, Missing, Remains
from lab.soak.history import Change
from lab.soak.invariants import violations
from lab.soak.outcome import Outcome
from lab.soak.records import Line
from lab.soak.schedule import Entry, Round
from lab.spec import LabSpec
from tests.lab.examples import SPEC, with_no_routes

ONE, TWO, MASTER = "centos-minion01", "centos-minion02", "centos-master"
VXLAN = SPEC.model_copy(update={"flannel_config": '{"Network": "10.2.0.0/16", "Backend": {"Type": "vxlan"}}'})
HOST_GW = SPEC.model_copy(
    update={"flannel_config": '{"Network": "10.2.0.0/16", "Backend": {"Type": "host-gw"}}'}
)


def applied(fault: str, *targets: str, began: float = 2.0, ended: float = 6.0, done: bool = True) -> Applied:
    return Applied(Entry(at=0, fault=fault, targets=targets), began, ended, done)


def kinds(lab: LabSpec, evidence: Evidence) -> list[str]:
    return [item.kind for item in violations(lab, evidence)]


LOST = Gap("datagrams", ONE, TWO, 3.0, 3.2, "4 lost")


@pytest.mark.parametrize(
    ("lab", "faults", "excused"),
    [
        (SPEC, [], False),
        (SPEC, [applied("etcd-stop", MASTER)], False),  # flows go on without etcd
        (SPEC, [applied("node-pause", ONE)], True),
        (SPEC, [applied("node-pause", TWO)], True),
        (SPEC, [applied("partition", f"{ONE},x", "y")], True),
        (SPEC, [applied("node-pause", "another")], False),
        (SPEC, [applied("node-pause", ONE, done=False)], False),
        (SPEC, [applied("thundering-start", "another", ONE, done=False)], True),  # one may have had it
        (SPEC, [applied("node-pause", ONE, began=4.0)], False),  # it came later
        (SPEC, [applied("node-pause", ONE, began=-30.0, ended=-20.0)], False),  # long over
        (SPEC, [applied("daemon-kill-9", ONE)], True),  # udp's packets are the daemon's
        (VXLAN, [applied("daemon-kill-9", ONE)], False),  # and vxlan's the kernel's
        (SPEC, [applied("etcd-wipe")], True),
        (SPEC, [applied("docker0-wrong-address", "another")], True),  # of which nothing is known here
    ],
)
def test_a_loss_is_excused_only_by_a_fault_in_force_that_may_touch_the_flow(
    lab: LabSpec, faults: Sequence[Applied], excused: bool
) -> None:
    assert kinds(lab, Evidence(tuple(faults), gaps=(LOST,))) == ([] if excused else ["flow"])


@pytest.mark.parametrize("kind", ["stalled", "broken", "refused"])
def test_what_tcp_suffers_is_excused_as_lost_datagrams_are(kind: str) -> None:
    gap = Gap(kind, ONE, TWO, 3.0, 3.2, "reset by peer")  # type: ignore[arg-type]
    assert kinds(SPEC, Evidence((applied("etcd-stop", MASTER),), gaps=(gap,))) == ["tcp"]
    assert kinds(SPEC, Evidence((applied("node-reboot", TWO),), gaps=(gap,))) == []


def test_nothing_excuses_another_content_or_a_row_that_was_acknowledged_and_is_not_there() -> None:
    evidence = Evidence(
        (applied("node-reboot", ONE), applied("etcd-wipe")),
        content=(f"{ONE} -> {TWO}: message 3 of 1024 bytes was another one",),
        missing=(Missing(ONE, "mysql02", (4, 5, 6, 7, 8, 9)),),
        unasked={"mysql01": "asked for its rows it said: ERROR 2002 (HY000)"},
    )
    found = violations(SPEC, evidence)
    assert [item.kind for item in found] == ["rows", "rows", "content"]
    assert found[0].describe() == (
        "mysql02: expected every row that it has acknowledged; "
        f"seen: of those that {ONE} appended, 4, 5, 6, 7, 8 and 1 more are not there"
    )
    assert found[1].seen == "asked for its rows it said: ERROR 2002 (HY000)"
    assert found[2].subject == f"{ONE} -> {TWO}"


def test_a_node_keeps_its_subnet_unless_something_was_done_to_its_lease() -> None:
    before, after = {ONE: "10.2.3.1/24", TWO: "10.2.4.1/24"}, {ONE: "10.2.9.1/24", TWO: ""}

    def seen(*faults: Applied) -> list[tuple[str, str]]:
        found = violations(SPEC, Evidence(faults, subnets_before=before, subnets_after=after))
        return [(item.subject, item.seen) for item in found]

    assert seen() == [(ONE, "10.2.9.1/24"), (TWO, "none")]
    assert seen(applied("lease-steal", ONE)) == [(TWO, "none")]
    assert seen(applied("etcd-wipe")) == []


def test_a_check_that_does_not_hold_in_time_a_panic_and_what_is_left_are_violations() -> None:
    wrong = tuple(checks.failed(checks.judge(with_no_routes())))
    evidence = Evidence((), wrong=wrong, panics={ONE: "panic: close of nil channel"}, left=("m: 1 fault",))
    assert kinds(SPEC, evidence)[:2] == ["panic", "left"]
    assert set(kinds(SPEC, evidence)[2:]) == {"checks.routes.overlay"}
    assert "panic: close of nil channel" in violations(SPEC, evidence)[0].describe()


def test_a_device_that_was_not_there_before_or_a_rule_that_is_missing_is_a_violation() -> None:
    before = Remains(
        devices=("eth0", "flannel0"), filters=("-A FORWARD -j FLANNEL-FWD",), processes=("x", "y")
    )
    after = Remains(devices=("eth0", "flannel0", "flannel1"), processes=("x",))
    evidence = Evidence((), remains_before={ONE: before}, remains_after={ONE: after})
    (found,) = violations(SPEC, evidence)
    assert (found.kind, found.subject) == ("remains", ONE)
    assert found.seen == "more devices: flannel1; fewer filters: -A FORWARD -j FLANNEL-FWD"
    assert violations(SPEC, Evidence((), remains_before={ONE: before}, remains_after={})) == ()


def test_a_second_device_of_flannel_is_a_violation_also_if_it_is_gone_in_the_end() -> None:
    words = "8: flannel1: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1472 qdisc pfifo_fast state UNKNOWN"
    made = Line(3.0, ONE, "kernel", f"[LINK]{words}")
    gone = Line(9.0, ONE, "kernel", f"[LINK]Deleted {words}")
    before = {ONE: Remains(devices=("eth0", "flannel0"))}
    (found,) = violations(SPEC, Evidence((), lines=(made, gone), remains_before=before))
    assert (found.kind, found.subject, found.seen) == ("devices", ONE, "flannel1")
    own = Line(3.0, ONE, "kernel", "[LINK]7: flannel0: <POINTOPOINT,NOARP> mtu 1472 state DOWN")
    assert violations(SPEC, Evidence((), lines=(own,), remains_before=before)) == ()


def test_what_is_known_is_left_out() -> None:
    wrong = tuple(checks.failed(checks.judge(with_no_routes())))
    evidence = Evidence((), wrong=wrong, panics={ONE: "panic: close of nil channel"}, left=("m: 1 fault",))
    assert [item.kind for item in violations(SPEC, evidence, ["panic", "checks.*"])] == ["left"]


def test_a_round_in_which_everything_held_has_no_violation() -> None:
    subnets = {ONE: "10.2.3.1/24"}
    assert violations(SPEC, Evidence((), subnets_before=subnets, subnets_after=subnets, panics={})) == ()


A, B, THIEF = "192.168.199.52", "192.168.199.53", "192.0.2.1"
KEY = "/coreos.com/network/subnets/10.2.{}.0-24"


def lease(address: str) -> str:
    return json.dumps({"PublicIP": address})


def held(third: int, address: str) -> Change:
    return Change(0.0, KEY.format(third), lease(address))


def etcd(at: float, third: int, address: str | None, revision: int) -> Line:
    """A line of `etcdctl watch --write-out=json`, as etcd 3.5 prints it."""

    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    kv = {"key": coded(KEY.format(third)), "mod_revision": revision}
    event = {"type": 1, "kv": kv} if address is None else {"kv": {**kv, "value": coded(lease(address))}}
    return Line(at, MASTER, "etcd", json.dumps({"Header": {"revision": revision}, "Events": [event]}))


def uses(at: float, node: str, third: int, *, gone: bool = False, device: str = "flannel0") -> Line:
    words = (
        f"[ADDR]{'Deleted ' * gone}7: {device}    inet 10.2.{third}.0/16 scope global {device}\\       valid"
    )
    return Line(at, node, "kernel", words)


def ready(at: float, node: str, text: str | None = "200 flanneld is ready") -> Line:
    return Line(at, node, "ready", text)


def story(*lines: Line, faults: Sequence[Applied] = (), logs: Sequence[Line] = ()) -> Evidence:
    """ONE holds 10.2.3.0/24 and TWO 10.2.4.0/24 when it begins."""
    return Evidence(
        tuple(faults),
        seconds=40.0,
        addresses={ONE: A, TWO: B},
        subnets_before={ONE: "10.2.3.1/24", TWO: "10.2.4.1/24"},
        leases_before=(held(3, A), held(4, B)),
        lines=(uses(-0.1, ONE, 3), uses(-0.1, TWO, 4), *lines),
        logs=tuple(logs),
    )


def test_machines_that_use_what_they_hold_are_well() -> None:
    assert violations(SPEC, story()) == ()


def test_what_was_before_the_round_is_not_judged() -> None:
    early = (uses(-20.0, ONE, 3), ready(-20.0, TWO))
    assert violations(SPEC, story(*early)) == ()


def test_two_machines_may_not_use_one_subnet_for_longer_than_it_takes_to_give_way() -> None:
    moved = (uses(9.9, TWO, 4, gone=True), uses(10.0, TWO, 3), etcd(10.0, 3, B, 8))
    found = violations(SPEC, story(*moved))
    assert [item.kind for item in found] == ["overlap", "overwrite", "stray"]
    assert found[0].describe() == (
        f"{ONE}, {TWO}: expected two subnets, but for 5 s at most; "
        "seen: both used 10.2.3.0 from 10.0 to 40.0 s"
    )
    gave_way = (uses(13.0, ONE, 3, gone=True), uses(13.0, ONE, 9), etcd(13.0, 9, A, 9))
    assert "overlap" not in kinds(SPEC, story(*moved, *gave_way))


def test_what_a_machine_cannot_know_excuses_that_it_goes_on() -> None:
    gone = etcd(10.0, 3, None, 8)
    assert kinds(SPEC, story(gone)) == ["stray"]
    cut_off = applied("partition-etcd", ONE, began=9.0, ended=36.0)
    assert kinds(SPEC, story(gone, faults=[cut_off])) == []
    assert kinds(SPEC, story(gone, faults=[applied("partition-etcd", TWO, began=9.0, ended=36.0)])) == [
        "stray"
    ]
    assert kinds(SPEC, story(gone, faults=[applied("etcd-stop", MASTER, began=9.0, ended=36.0)])) == []
    assert kinds(SPEC, story(gone, faults=[applied("disk-full", ONE)])) == []  # which is not drawn


def test_a_flanneld_that_is_not_ready_uses_nothing() -> None:
    gone = etcd(10.0, 3, None, 8)
    idle = (ready(0, ONE), ready(11.0, ONE, "503 flanneld is not ready yet: acquiring a lease"))
    assert kinds(SPEC, story(gone, *idle)) == []


def test_of_a_machine_that_reboots_nothing_is_said_after_its_last_word() -> None:
    gone, last = etcd(10.0, 3, None, 8), Line(9.0, ONE, "fdb", "02:42:c0:a8:c7:33 dev eth0")
    assert kinds(SPEC, story(last, gone)) == ["stray"]
    assert kinds(SPEC, replace(story(last, gone), cut=frozenset({ONE}))) == []
    assert kinds(SPEC, replace(story(last, gone), cut=frozenset({TWO}))) == ["stray"]


def test_with_host_gw_the_subnet_in_use_is_that_of_subnet_env() -> None:
    env = Line(-0.1, ONE, "subnet.env", "FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET=10.2.3.1/24\n")
    gone = etcd(10.0, 3, None, 8)
    assert kinds(HOST_GW, story(env, gone)) == ["stray"]
    assert kinds(HOST_GW, story(env, gone, Line(12.0, ONE, "subnet.env", None))) == []


def test_no_flanneld_writes_over_another_machines_lease() -> None:
    stolen, renewed = etcd(10.0, 3, THIEF, 8), etcd(12.0, 3, A, 9)
    found = violations(SPEC, story(stolen, renewed))
    assert [item.kind for item in found] == ["overwrite"]
    assert found[0].seen == f"at 12.0 s it wrote 10.2.3.0-24, which was of {THIEF}"
    freed = etcd(11.0, 3, None, 9)
    assert kinds(SPEC, story(stolen, freed, etcd(12.0, 3, A, 10))) == []
    assert kinds(SPEC, story(etcd(12.0, 3, A, 9))) == []  # a renewal of its own


def test_a_change_that_several_members_tell_is_one() -> None:
    other = etcd(12.5, 3, A, 9)
    late = Line(other.at, "m2", other.source, other.text)
    stolen = etcd(10.0, 3, THIEF, 8)
    late_too = Line(13.0, "m2", stolen.source, stolen.text)
    freed = etcd(11.0, 3, None, 9)
    assert kinds(SPEC, story(stolen, freed, etcd(12.0, 3, A, 10), late_too, late)) == []


def test_where_something_of_what_became_of_leases_is_missing_they_are_not_judged() -> None:
    stolen, renewed = etcd(10.0, 3, THIEF, 8), etcd(12.0, 3, A, 9)
    whole = replace(story(stolen, renewed), leases_after=(held(3, A), held(4, B)))
    assert kinds(SPEC, whole) == ["overwrite"]
    missed = replace(story(stolen, renewed), leases_after=(held(3, A), held(4, B), held(9, THIEF)))
    assert kinds(SPEC, missed) == []
    assert "(leases not judged" in render.line(Outcome(1, Round(faults=()), missed, ()))
    assert "(leases not judged" not in render.line(Outcome(1, Round(faults=()), whole, ()))
    deleted = replace(story(etcd(10.0, 3, None, 8)), leases_after=(held(4, B),))
    assert kinds(SPEC, deleted) == ["stray"]


def test_no_flanneld_takes_its_own_subnet_for_removed_while_it_holds_it() -> None:
    said = Line(
        20.0, ONE, "flanneld[7]", "I1123 01:48:43.567852 06615 udp.go:247] Subnet removed: 10.2.3.0/24"
    )
    assert kinds(SPEC, story(logs=[said])) == ["removal"]
    deleted = (etcd(18.0, 3, None, 8), etcd(18.5, 3, A, 9))
    assert kinds(SPEC, story(*deleted, logs=[said])) == []
    others = Line(20.0, TWO, said.source, said.text)
    assert kinds(SPEC, story(logs=[others])) == []


def test_a_flanneld_without_its_device_is_not_ready_for_long() -> None:
    lost = Line(
        10.0, ONE, "kernel", "[LINK]Deleted 7: flannel0: <POINTOPOINT,MULTICAST,NOARP> mtu 1472 state DOWN"
    )
    assert kinds(SPEC, story(ready(0, ONE), lost)) == ["ready"]
    assert kinds(SPEC, story(ready(0, ONE), lost, ready(15.0, ONE, "503 no device"))) == []
    assert kinds(SPEC, story(ready(0, ONE), lost, uses(18.0, ONE, 3))) == []
    paused = applied("daemon-pause", ONE, began=9.0, ended=30.0)
    assert kinds(SPEC, story(ready(0, ONE), lost, faults=[paused])) == []


def test_the_v2_stores_watch_is_read_as_well() -> None:
    words = [f"[set] {KEY.format(3)}", lease(THIEF), f"[set] {KEY.format(3)}", lease(A)]
    lines = [Line(10.0 + number, MASTER, "etcd", text) for number, text in enumerate(words)]
    assert kinds(SPEC, story(*lines)) == ["overwrite"]
    freed = [lines[0], lines[1], Line(11.5, MASTER, "etcd", f"[delete] {KEY.format(3)}"), *lines[2:]]
    assert kinds(SPEC, story(*freed)) == []
