"""The program that machines have: records, nesting, what a reboot ends, what is undone when a step fails."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lab.faults.inside import PROGRAM, main, store
from lab.faults.inside.keys import edited
from lab.faults.inside.kinds import STATES, Failed, Refused, Saved, Seen, State
from lab.faults.inside.leases import free_subnets, lease_of
from lab.faults.inside.records import Records
from lab.faults.inside.rulesets import merged, missing, without
from lab.faults.inside.spoof import echo_request, ethernet, subnet_of_key, vxlan
from lab.faults.inside.store import Entry

NOW, LATER = "boot 1", "boot 2"


class Setting(State):
    """A stand-in for something of a kernel: settings with values."""

    values: ClassVar[dict[str, str]] = {}

    @property
    def changes(self) -> Sequence[str]:
        return (self.given["name"],)

    def save(self) -> Saved:
        if self.given["value"] == "impossible":
            raise Refused("no such thing", "ask root")
        return {"before": self.values[self.given["name"]]}

    def start(self) -> None:
        if self.given["value"] == "fails":
            raise Failed("it failed")
        if self.given["value"] != "ignored":
            self.values[self.given["name"]] = self.given["value"]

    def seen(self) -> Seen:
        value = self.values[self.given["name"]]
        return Seen(value == self.given["value"], f"it is {value}")

    def stop(self) -> None:
        if self.seen().on:
            self.values[self.given["name"]] = self.saved["before"]


class Lasting(Setting):
    lasts = True


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    monkeypatch.setitem(STATES, "setting", Setting)
    monkeypatch.setitem(STATES, "lasting", Lasting)
    Setting.values.clear()
    Setting.values.update({"a": "1", "b": "2"})
    found = Records(tmp_path)
    with found.locked():
        yield found


def start(records: Records, identifier: str, *values: tuple[str, str], does: str = "setting") -> Any:
    steps = [{"does": does, "given": {"name": name, "value": value}} for name, value in values]
    about = {"fault": "x", "began": f"2026-11-29T09:00:0{identifier[-1]}"}
    return main.start(records, {"id": identifier, "about": about, "steps": steps}, NOW)


def shown(records: Records, now: str = NOW) -> list[tuple[str, list[bool | None]]]:
    found = main.status(records, now)["faults"]
    return [(item["id"], [step["on"] for step in item["steps"]]) for item in found]


def test_what_is_ended_is_as_it_was_before(records):
    assert start(records, "0001", ("a", "9"), ("b", "8")) == {"seen": ["it is 9", "it is 8"]}
    assert Setting.values == {"a": "9", "b": "8"}
    assert shown(records) == [("0001", [True, True])]
    main.stop(records, {"id": "0001"}, NOW)
    assert Setting.values == {"a": "1", "b": "2"}
    assert shown(records) == []


def test_faults_of_the_same_thing_nest_and_are_ended_the_latest_first(records):
    start(records, "0001", ("a", "9"))
    start(records, "0002", ("a", "8"))
    with pytest.raises(Failed, match="0002 x began later and changes the same; end that first") as error:
        main.stop(records, {"id": "0001"}, NOW)
    assert error.value.hint == "lab fault stop 0002"
    main.stop(records, {"id": "0002"}, NOW)
    assert Setting.values["a"] == "9"
    main.stop(records, {"id": "0001"}, NOW)
    assert Setting.values["a"] == "1"


def test_faults_of_different_things_are_ended_in_any_order(records):
    start(records, "0001", ("a", "9"))
    start(records, "0002", ("b", "8"))
    main.stop(records, {"id": "0001"}, NOW)
    main.stop(records, {"id": "0002"}, NOW)
    assert Setting.values == {"a": "1", "b": "2"}


def test_what_somebody_else_has_changed_meanwhile_stays_and_is_told(records):
    start(records, "0001", ("a", "9"))
    Setting.values["a"] = "somebody's"
    assert shown(records) == [("0001", [False])]
    (told,) = main.stop(records, {"id": "0001"}, NOW)["faults"]
    assert told["steps"] == [{"on": False, "words": "it is somebody's"}]
    assert Setting.values["a"] == "somebody's"


def test_what_a_reboot_has_ended_is_only_forgotten(records):
    start(records, "0001", ("a", "9"))
    assert main.status(records, LATER)["faults"][0]["steps"] == [
        {"on": False, "words": "it ended with a reboot"}
    ]
    Setting.values["a"] = "9"  # after the reboot, by chance
    main.stop(records, {"id": "0001"}, LATER)
    assert Setting.values["a"] == "9"
    assert shown(records) == []


def test_what_stands_on_disk_outlives_a_reboot_and_is_ended_after_it(records):
    start(records, "0001", ("a", "9"), does="lasting")
    assert shown(records, LATER) == [("0001", [True])]
    main.stop(records, {"id": "0001"}, LATER)
    assert Setting.values["a"] == "1"


@pytest.mark.parametrize("value", ["fails", "ignored"])
def test_when_a_step_fails_those_before_it_are_undone(records, value):
    with pytest.raises(Failed, match=r"it failed|it was started, and is not in force: it is 2"):
        start(records, "0001", ("a", "9"), ("b", value))
    assert Setting.values == {"a": "1", "b": "2"}
    assert shown(records) == []


def test_what_a_daemon_undoes_at_once_is_told_and_not_taken_for_a_failure(records, monkeypatch):
    monkeypatch.setattr(Setting, "repaired", True)
    assert start(records, "0001", ("a", "ignored")) == {"seen": ["it was repaired at once: it is 1"]}
    assert shown(records) == [("0001", [False])]


def test_what_is_refused_has_changed_nothing(records):
    with pytest.raises(Refused, match="no such thing") as error:
        start(records, "0001", ("a", "9"), ("b", "impossible"))
    assert error.value.hint == "ask root"
    assert Setting.values == {"a": "1", "b": "2"}
    assert shown(records) == []


def test_what_is_so_already_is_not_started(records):
    with pytest.raises(Failed, match="it is so already: it is 1"):
        start(records, "0001", ("a", "1"))
    assert shown(records) == []


def test_a_program_that_was_killed_in_the_middle_has_left_what_its_inverse_needs(records, monkeypatch):
    def killed(self: Setting) -> None:
        self.values["a"] = "9"
        raise SystemExit

    monkeypatch.setattr(Setting, "start", killed)
    monkeypatch.setattr(main, "_undo", lambda *_: None)  # as SIGKILL leaves no time for it
    with pytest.raises(SystemExit):
        start(records, "0001", ("a", "9"))
    assert shown(records) == [("0001", [True])]
    main.stop(records, {"id": "0001"}, NOW)
    assert Setting.values["a"] == "1"


def test_what_cannot_be_seen_is_neither_on_nor_off(records, monkeypatch):
    start(records, "0001", ("a", "9"))

    def silent(_: Setting) -> Seen:
        raise Failed("etcd on this machine does not answer")

    monkeypatch.setattr(Setting, "seen", silent)
    assert main.status(records, NOW)["faults"][0]["steps"] == [
        {"on": None, "words": "etcd on this machine does not answer"}
    ]


def test_a_machine_has_every_module_under_the_name_by_which_they_import_each_other():
    texts, folder = PROGRAM.texts(), PROGRAM.folder
    paths = set(texts)
    assert f"{folder}/__main__.py" in paths
    assert {
        f"{folder}/lab/faults/inside/{name}.py" for name in ("main", "kinds", "records", "units")
    } <= paths
    for path, text in texts.items():
        lines = text.splitlines()
        imported = [line.split()[1] for line in lines if line.startswith(("from lab", "import lab"))]
        for module in set(imported) - {"lab.faults.inside"}:
            assert f"{folder}/{module.replace('.', '/')}.py" in paths, path


# iptables-save 1.8.11 (nf_tables), shortened
RULES = """\
# Generated by iptables-save v1.8.11 (nf_tables)
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [12:720]
:DOCKER - [0:0]
-A FORWARD -j FLANNEL-FWD
-A FORWARD -o docker0 -j DOCKER
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.2.3.0/24 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.2.0.0/16 -j MASQUERADE --random-fully
COMMIT
"""


def rules_of(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.startswith("-A")]


def test_rules_that_match_are_taken_out_and_all_else_stays():
    left = without(RULES, r"-j MASQUERADE\b")
    assert rules_of(left) == ["-A FORWARD -j FLANNEL-FWD", "-A FORWARD -o docker0 -j DOCKER"]
    assert ":DOCKER - [0:0]" in left
    assert left.count("COMMIT") == 2
    assert len(missing(RULES, left, "")[0]) == 2


def test_all_rules_are_put_back_in_their_order():
    assert rules_of(merged(RULES, without(RULES, ""))) == rules_of(RULES)


def test_a_comment_may_have_what_python_takes_for_the_end_of_a_line():
    rule = '-A FORWARD -m comment --comment "a\u2028b" -j DROP'
    text = RULES.replace("-A FORWARD -j FLANNEL-FWD", rule)
    assert rule in rules_of(without(text, "FLANNEL"))


def test_what_came_meanwhile_stays_after_what_it_follows():
    now = without(RULES, "").replace(
        "COMMIT\n*nat", "-A FORWARD -j FLANNEL-FWD\n-A FORWARD -s 10.2.3.9/32 -j ACCEPT\nCOMMIT\n*nat"
    )
    assert rules_of(merged(RULES, now))[:3] == [
        "-A FORWARD -j FLANNEL-FWD",
        "-A FORWARD -s 10.2.3.9/32 -j ACCEPT",
        "-A FORWARD -o docker0 -j DOCKER",
    ]


def test_what_somebody_has_put_back_is_not_there_twice():
    assert rules_of(merged(RULES, RULES)) == rules_of(RULES)


def test_a_key_of_the_configuration_is_found_as_go_finds_it():
    config = '{ "Network": "10.2.0.0/16", "backend": {"Type": "udp"} }'
    assert edited(config, "network", "10.9.0.0/16").startswith('{"Network": "10.9.0.0/16"')
    assert edited(config, "Backend.Type", "vxlan").endswith('"backend": {"Type": "vxlan"}}')
    assert edited(config, "Backend", None) == '{"Network": "10.2.0.0/16"}'
    with pytest.raises(Failed, match="is no JSON"):
        edited("{", "Network", "x")


def test_the_subnets_that_are_free_are_those_that_flannel_would_give():
    # SubnetMin is the second subnet, SubnetMax the last one (flannel's configuration.md).
    free = free_subnets({"Network": "10.2.0.0/16"}, ["10.2.7.0-24"])
    assert (len(free), free[0], free[-1]) == (254, "10.2.1.0-24", "10.2.255.0-24")
    few = {"Network": "10.2.0.0/16", "SubnetLen": 25, "SubnetMin": "10.2.9.0", "SubnetMax": "10.2.9.128"}
    assert free_subnets(few, []) == ["10.2.9.0-25", "10.2.9.128-25"]


def test_a_machines_lease_is_the_one_that_names_its_address():
    leases = [
        Entry("/x/subnets/junk", "not a lease", None),
        Entry("/x/subnets/10.2.3.0-24", '{"PublicIP":"192.168.199.52"}', 10),
    ]
    assert lease_of(leases, "192.168.199.52").key == "/x/subnets/10.2.3.0-24"
    with pytest.raises(Failed, match=r"no lease in etcd names 192\.168\.199\.53"):
        lease_of(leases, "192.168.199.53")


def test_a_spoofed_packet_has_the_checksums_that_a_kernel_accepts():
    packet = echo_request(IPv4Address("10.2.3.2"), IPv4Address("10.2.9.2"), 7)
    for part in (packet[:20], packet[20:]):
        words = sum(int.from_bytes(part[place : place + 2]) for place in range(0, len(part), 2))
        assert words % 0xFFFF == 0  # RFC 1071: the sum with the checksum is all ones
    assert int.from_bytes(packet[2:4]) == len(packet)


def test_a_leases_key_may_name_a_subnet_of_ipv6_too():
    for key in ("/f/subnets/10.2.35.0-24", "/f/subnets/10.2.35.0-24&2001:cafe:42:4c::-64"):
        assert str(subnet_of_key(key)) == "10.2.35.0/24"
    with pytest.raises(Failed, match="names no IPv4 subnet"):
        subnet_of_key("/f/subnets/2001:cafe:42:4c::-64")


def test_a_spoofed_frame_is_vxlans():
    frame = vxlan(ethernet(b"packet", "02:00:00:00:00:01"), 1)
    # RFC 7348, section 5: flag I, three reserved bytes, the VNI, a reserved byte.
    assert frame[:8] == bytes.fromhex("0800000000000100")
    assert frame[8:14] == bytes.fromhex("020000000001")
    assert frame[20:22] == bytes.fromhex("0800")


def test_etcds_root_is_known_where_etcd_has_users_and_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CLIENT", tmp_path / "etcdctl.env")
    assert store.root() is None
    # As lab.node.etcd writes it, with TLS alone and with users.
    (tmp_path / "etcdctl.env").write_text('OPTIONS="--endpoints=https://127.0.0.1:2379"\n')
    assert store.root() is None
    (tmp_path / "etcdctl.env").write_text('OPTIONS=""\nETCDCTL_USER=root\nETCDCTL_PASSWORD=a=b\n')
    assert store.root() == ("root", "a=b")
