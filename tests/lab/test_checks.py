import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import checks
from lab.checks.facts import Facts, Lease, Login, Output, Silence
from lab.checks.parse import parse_leases, parse_links, parse_login, parse_routes, subnet_of_key
from lab.errors import LabError
from lab.pods import RunningPod
from lab.spec import Flanneld, Program
from tests.lab.examples import (
    FOLDER,
    MINIONS,
    SPEC,
    FakeLab,
    etcd_answer,
    facts,
    fake_lab,
    ip_json,
    known,
    link,
    minion,
    pod,
)

ONE, TWO = MINIONS


def failures(seen: Facts) -> dict[tuple[str, str], tuple[str, str]]:
    """(check, subject) -> (expected, seen) of what does not hold."""
    return {
        (item.check, item.subject): (item.expected, item.seen) for item in checks.judge(seen) if not item.ok
    }


def with_minion(**changes: Any) -> Facts:
    """The tutorial's cluster with the first minion changed."""
    return replace(facts(), minions=(replace(minion(ONE), **changes), minion(TWO)))


def with_link(name: str, **changes: Any) -> Facts:
    links = dict(known(minion(ONE).links))
    links[name] = replace(links[name], **changes)
    return with_minion(links=links)


def with_leases(*leases: Lease) -> Facts:
    return replace(facts(), leases=leases)


def test_the_tutorials_cluster_passes_every_check() -> None:
    assert failures(facts()) == {}


def test_every_check_is_made_of_every_machine_and_every_pod() -> None:
    made = {(item.check, item.subject) for item in checks.judge(facts())}
    assert {
        (what, node)
        for node in MINIONS
        for what in (
            "flanneld service",
            "docker service",
            "lease",
            "lease value",
            "lease TTL",
            "eth0 address",
            "flannel0 address",
            "flannel0 MTU",
            "flannel0 queue length",
            "flannel0 state",
            "docker0 address",
            "docker0 MTU",
            "subnet.env",
            "overlay routes",
            "default route",
        )
    } <= made
    assert {("overlay probe", f"{ONE} -> {TWO}"), ("overlay probe", f"{TWO} -> {ONE}")} <= made
    pairs = ("mysql01 -> mysql02", "mysql02 -> mysql01")
    assert {(f"login with {way}", pair) for way in ("mysql", "pymysql") for pair in pairs} <= made
    assert {
        (what, name)
        for what in ("pod", "pod eth0 address", "pod eth0 MTU")
        for name in ("mysql01", "mysql02")
    } <= made


def test_a_lease_without_publicipv6_is_not_what_flannel_writes() -> None:
    first, second = known(facts().leases)
    seen = with_leases(replace(first, value='{"PublicIP":"192.168.199.52"}'), second)
    assert failures(seen) == {
        ("lease value", ONE): (
            '{"PublicIP":"192.168.199.52","PublicIPv6":null}',
            '{"PublicIP":"192.168.199.52"}',
        )
    }


@pytest.mark.parametrize("ttl", [-1, 0, 86401])
def test_a_lease_that_is_bound_to_no_time_or_too_long_fails(ttl: int) -> None:
    first, second = known(facts().leases)
    assert failures(with_leases(replace(first, ttl=ttl), second)) == {
        ("lease TTL", ONE): ("more than 0 s, at most 86400 s", f"{ttl} s")
    }


def test_two_leases_of_one_minion_fail() -> None:
    first, second = known(facts().leases)
    third = replace(first, key=f"{FOLDER}/10.2.36.0-24", subnet=IPv4Network("10.2.36.0/24"))
    seen = failures(with_leases(first, second, third))
    assert seen["lease", ONE] == (f"one key {FOLDER}/SUBNET", f"{first.key}\n{third.key}")
    assert seen["subnets", "etcd"][1] == "10.2.35.0/24, 10.2.52.0/24, 10.2.36.0/24"


def test_a_minion_without_a_lease_fails_and_says_what_there_is() -> None:
    _, second = known(facts().leases)
    seen = failures(with_leases(second))
    assert seen["lease value", ONE][1] == f"no lease of this address among: {second.value}"
    assert failures(with_leases())["lease value", TWO][1] == "no lease at all"


def test_of_a_minion_without_a_lease_all_is_compared_with_what_its_own_subnet_env_says() -> None:
    _, second = known(facts().leases)
    seen = with_leases(second)
    missing = {"lease", "lease value", "lease TTL"}
    assert {check for check, subject in failures(seen) if subject == ONE} == missing
    links = dict(known(minion(ONE).links))
    links["docker0"] = replace(links["docker0"], mtu=1500, addresses=("172.17.0.1/16",))
    env = known(minion(ONE).subnet_env).replace("1472", "1400")
    wrong = replace(seen, minions=(replace(minion(ONE), links=links, subnet_env=env), minion(TWO)))
    found = failures(wrong)
    assert found["docker0 MTU", ONE] == ("1472", "1500")
    assert found["docker0 address", ONE] == ("10.2.35.1/24", "172.17.0.1/16")
    assert found["subnet.env", ONE] == (minion(ONE).subnet_env, env)


def test_of_a_minion_without_lease_and_subnet_env_is_compared_what_needs_no_subnet() -> None:
    _, second = known(facts().leases)
    missing = "cat: /run/flannel/subnet.env: No such file or directory"
    links = dict(known(minion(ONE).links))
    links["flannel0"] = replace(links["flannel0"], mtu=1500)
    first = replace(minion(ONE), links=links, subnet_env=missing)
    seen = replace(with_leases(second), minions=(first, minion(TWO)))
    found = failures(seen)
    assert found["flannel0 MTU", ONE] == ("1472", "1500")
    assert found["flannel0 address", ONE] == ("that of its lease, which it does not have", "10.2.35.0/16")
    assert found["subnet.env", ONE][1] == missing
    assert ("pod eth0 address", "mysql02") in found
    made = {item.check for item in checks.judge(seen) if item.subject == ONE}
    assert {"flannel0 state", "flannel0 queue length", "docker0 MTU", "eth0 address", "default route"} <= made
    assert not [expected for expected, _ in found.values() if "None" in expected]


def test_without_etcd_the_machines_are_compared_with_their_own_word() -> None:
    silence = Silence("centos-master", "etcdctl get", "Error: context deadline exceeded")
    seen = replace(facts(), config=None, leases=None, silences=(silence,))
    assert failures(seen) == {
        ("machine", "centos-master"): ("an answer to: etcdctl get", "Error: context deadline exceeded")
    }
    made = {item.check for item in checks.judge(seen)}
    assert {"flannel0 address", "overlay routes", "subnet.env", "pod eth0 address"} <= made
    links = dict(known(minion(ONE).links))
    links["docker0"] = replace(links["docker0"], mtu=1500)
    wrong = replace(seen, minions=(replace(minion(ONE), links=links), minion(TWO)))
    assert ("docker0 MTU", ONE) in failures(wrong)


def test_a_lease_of_a_stranger_fails() -> None:
    stranger = Lease(f"{FOLDER}/10.2.9.0-24", IPv4Network("10.2.9.0/24"), '{"PublicIP":"192.168.199.99"}', 5)
    seen = failures(with_leases(*known(facts().leases), stranger))
    assert seen["lease owner", stranger.key] == ("a minion of the lab", stranger.value)


@pytest.mark.parametrize("subnet", ["10.2.52.0/25", "10.3.35.0/24"])
def test_subnets_that_overlap_or_lie_outside_fail(subnet: str) -> None:
    first, second = known(facts().leases)
    assert ("subnets", "etcd") in failures(with_leases(replace(first, subnet=IPv4Network(subnet)), second))


def test_another_flannel_configuration_in_etcd_fails() -> None:
    seen = replace(facts(), config='{ "Network": "10.9.0.0/16" }')
    assert failures(seen) == {
        ("flannel config", "/coreos.com/network"): (
            '{ "Network": "10.2.0.0/16" }',
            '{ "Network": "10.9.0.0/16" }',
        )
    }


@pytest.mark.parametrize(
    ("device", "changes", "check", "expected", "seen"),
    [
        (
            "eth0",
            {"addresses": ("192.168.199.99/24",)},
            "eth0 address",
            "192.168.199.52/24",
            "192.168.199.99/24",
        ),
        ("flannel0", {"addresses": ("10.2.35.0/32",)}, "flannel0 address", "10.2.35.0/16", "10.2.35.0/32"),
        ("flannel0", {"addresses": ()}, "flannel0 address", "10.2.35.0/16", "no address"),
        ("flannel0", {"mtu": 1500}, "flannel0 MTU", "1472", "1500"),
        ("flannel0", {"queue": 1000}, "flannel0 queue length", "500", "1000"),
        ("flannel0", {"up": False}, "flannel0 state", "UP", "DOWN"),
        ("docker0", {"addresses": ("172.17.0.1/16",)}, "docker0 address", "10.2.35.1/24", "172.17.0.1/16"),
        ("docker0", {"mtu": 1500}, "docker0 MTU", "1472", "1500"),
    ],
)
def test_a_device_that_is_not_as_the_lease_says_fails(
    device: str, changes: dict[str, Any], check: str, expected: str, seen: str
) -> None:
    assert failures(with_link(device, **changes)) == {(check, ONE): (expected, seen)}


def test_a_minion_without_flannel0_fails_in_all_that_is_flannel0s() -> None:
    links = {name: item for name, item in known(minion(ONE).links).items() if name != "flannel0"}
    seen = failures(with_minion(links=links))
    assert {key[0] for key in seen} == {
        "flannel0 address",
        "flannel0 MTU",
        "flannel0 queue length",
        "flannel0 state",
    }
    assert {value for _, value in seen.values()} == {"no such device"}


def test_the_overlays_mtu_is_the_underlays_less_28() -> None:
    # A machine whose underlay carries 1400 bytes: 1400 - 20 (IPv4) - 8 (UDP).
    seen = failures(with_link("eth0", mtu=1400))
    assert seen["flannel0 MTU", ONE] == ("1372", "1472")
    assert seen["docker0 MTU", ONE] == ("1372", "1472")


@pytest.mark.parametrize("address", ["10.2.52.1/24", "10.2.35.2/24", "10.2.52.2/16", "172.17.0.2/16"])
def test_a_pods_address_outside_its_nodes_lease_fails(address: str) -> None:
    links = dict(facts().pod_links) | {"mysql01": {"eth0": link("eth0", address)}}
    assert failures(replace(facts(), pod_links=links)) == {
        ("pod eth0 address", "mysql01"): ("10.2.52.2/24 to 10.2.52.254/24", address)
    }


def test_a_pod_whose_interface_has_another_mtu_fails() -> None:
    links = dict(facts().pod_links) | {"mysql01": {"eth0": link("eth0", "10.2.52.2/24", 1500)}}
    assert failures(replace(facts(), pod_links=links)) == {("pod eth0 MTU", "mysql01"): ("1472", "1500")}


def test_subnet_env_is_compared_to_the_byte() -> None:
    text = known(minion(ONE).subnet_env).replace("1472", "1450")
    assert failures(with_minion(subnet_env=text))["subnet.env", ONE][1] == text


def test_with_ip_masq_flannel_says_so_in_subnet_env() -> None:
    spec = SPEC.model_copy(update={"flanneld_options": ("-iface=eth0", "-ip-masq")})
    seen = failures(replace(facts(), spec=spec))
    assert {check for check in seen if check[0] == "subnet.env"} == {("subnet.env", ONE), ("subnet.env", TWO)}
    assert "FLANNEL_IPMASQ=true" in seen["subnet.env", ONE][0]


def test_with_ip_masq_a_server_must_see_the_client_pods_own_address() -> None:
    spec = SPEC.model_copy(update={"flanneld_options": ("-iface=eth0", "-ip-masq")})
    seen = failures(replace(facts(), spec=spec))
    assert seen["source with mysql", "mysql02 -> mysql01"] == ("10.2.35.2", "10.2.35.0")
    own = [replace(login, source=str(pod(login.client).address)) for login in facts().logins]
    assert {check for check, _ in failures(replace(facts(), spec=spec, logins=tuple(own)))} == {"subnet.env"}


@pytest.mark.parametrize(
    ("route", "check"),
    [
        ("default via 192.168.199.1 dev eth0", "default route"),
        ("10.2.52.0/24 via 192.168.199.53 dev eth0", "overlay routes"),
        ("10.2.52.7 dev eth0 scope link", "overlay routes"),
        ("unreachable 10.2.52.0/24", "overlay routes"),
        ("0.0.0.0/1 dev eth0 scope link", "overlay routes"),
    ],
)
def test_a_route_out_of_the_lab_or_a_second_way_into_the_overlay_fails(route: str, check: str) -> None:
    seen = failures(with_minion(routes=(*known(minion(ONE).routes), route)))
    assert set(seen) == {(check, ONE)}
    assert route in seen[check, ONE][1].splitlines()


def test_a_missing_route_fails() -> None:
    assert set(failures(with_minion(routes=known(minion(ONE).routes)[1:]))) == {("overlay routes", ONE)}


def test_a_pod_of_the_lab_that_is_missing_or_elsewhere_fails() -> None:
    assert failures(replace(facts(), pods=(pod("mysql02"),)))["pod", "mysql01"] == (
        "Running 1/1 on centos-minion02",
        "there is no such pod",
    )
    moved = replace(pod("mysql01"), status="CrashLoopBackOff", ready="0/1")
    assert failures(replace(facts(), pods=(moved, pod("mysql02")))) == {
        ("pod", "mysql01"): ("Running 1/1 on centos-minion02", "CrashLoopBackOff 0/1 on centos-minion02")
    }


def test_a_service_that_does_not_run_fails_and_is_told_with_its_state() -> None:
    flanneld, docker = facts().services[ONE]
    dead = replace(flanneld, state="failed", detail="signal")
    seen = replace(facts(), services={**facts().services, ONE: (dead, docker)})
    assert failures(seen) == {
        ("flanneld service", ONE): ("active", "failed (signal) since 2016-03-13 11:24:58 UTC")
    }


def test_a_service_that_came_back_by_itself_passes_and_its_restarts_are_shown() -> None:
    flanneld, docker = facts().services[ONE]
    seen = replace(facts(), services={**facts().services, ONE: (replace(flanneld, restarts=3), docker)})
    assert failures(seen) == {}
    (told,) = [item for item in checks.services(seen) if "restarted" in item.seen]
    assert told.seen == "active since 2016-03-13 11:24:58 UTC, restarted 3 times"


@pytest.mark.parametrize(("policy", "right"), [("Always", False), ("OnFailure", True), ("Never", True)])
def test_a_pod_that_has_done_its_work_is_right_if_it_is_not_to_be_restarted(policy: str, right: bool) -> None:
    done = replace(pod("mysql01"), status="Completed", ready="0/1")
    done = replace(done, spec=done.spec.model_copy(update={"restart_policy": policy}))
    links = {"mysql02": facts().pod_links["mysql02"]}
    seen = failures(replace(facts(), pods=(done, pod("mysql02")), pod_links=links))
    assert (("pod", "mysql01") not in seen) is right
    assert ("pod eth0 address", "mysql01") not in seen


def test_a_login_that_another_host_answers_fails() -> None:
    others = [item for item in facts().logins if (item.client, item.way) != ("mysql02", "mysql")]
    login = Login("mysql02", "mysql01", "mysql", "mysql02", "9.7.0", "")
    assert failures(replace(facts(), logins=(*others, login))) == {
        ("login with mysql", "mysql02 -> mysql01"): (
            "a MySQL server on host mysql01",
            "MySQL 9.7.0 on host mysql02",
        )
    }


def test_a_login_that_fails_shows_the_clients_words() -> None:
    words = "ERROR 2003 (HY000): Can't connect to MySQL server on '10.2.52.2:3306' (110)"
    login = parse_login("mysql02", "mysql01", "mysql", Output(1, "", f"a warning\n{words}\n"))
    assert failures(replace(facts(), logins=(login,)))["login with mysql", "mysql02 -> mysql01"][1] == words


def test_a_login_that_could_not_be_tried_has_failed() -> None:
    seen = failures(replace(facts(), logins=facts().logins[1:]))
    assert seen == {
        ("login with mysql", "mysql01 -> mysql02"): (
            "a MySQL server on host mysql02",
            "not tried: one of the two pods does not run",
        )
    }


@pytest.mark.parametrize("end", [Output(0, "", ""), Output(124, "", ""), Output(0, "mysql01\n", "")])
def test_a_client_that_prints_something_else_has_not_logged_in(end: Output) -> None:
    assert parse_login("a", "b", "mysql", end).error != ""


def test_the_report_counts_and_repeats_every_finding() -> None:
    findings = checks.judge(with_link("flannel0", mtu=1500))
    document = checks.report(findings)
    assert (document["passed"], document["failed"]) == (len(findings) - 1, 1)
    assert {"check", "subject", "ok", "expected", "seen"} == set(document["findings"][0])
    assert json.loads(json.dumps(document)) == document


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_subnets_key_is_read_back(address: int, length: int) -> None:
    network = IPv4Network((address, length), strict=False)
    assert subnet_of_key(f"{FOLDER}/{str(network).replace('/', '-')}") == network


@pytest.mark.parametrize(
    "key", ["junk", "10.2.35.0-33", "10.2.35.1-24", "300.2.35.0-24", "10.2.35.0-24x", "é"]
)
def test_a_key_that_is_no_subnets_is_none(key: str) -> None:
    assert subnet_of_key(f"{FOLDER}/{key}") is None


def test_links_are_read_from_ip() -> None:
    first, second = (
        link("flannel0", "10.2.35.0/16", queue=500),
        replace(link("docker0", "10.2.35.1/24"), up=False),
    )
    assert parse_links(ip_json(first, second)) == {"flannel0": first, "docker0": second}
    assert parse_links('[{},{"ifname":"x","flags":[],"mtu":1}]')["x"].addresses == ()


def test_a_bridge_without_a_port_is_still_the_same_route() -> None:
    text = "10.2.35.0/24 dev docker0 proto kernel scope link src 10.2.35.1 linkdown \n\n"
    assert parse_routes(text) == ("10.2.35.0/24 dev docker0 proto kernel scope link src 10.2.35.1",)


def test_leases_are_read_from_etcdctl() -> None:
    assert parse_leases(etcd_answer(*known(facts().leases))) == known(facts().leases)
    assert parse_leases('{"header": {}, "ttl": {}}') == ()
    key = base64.b64encode(f"{FOLDER}/junk".encode()).decode()
    assert parse_leases(json.dumps({"kvs": [{"key": key}], "ttl": {}})) == (
        Lease(f"{FOLDER}/junk", None, "", -1),
    )


@pytest.mark.parametrize("parse", [parse_links, parse_leases])
@pytest.mark.parametrize("text", ["", "no JSON", "[3]", '{"kvs": [{}]}'])
def test_what_is_not_the_programs_answer_is_reported(parse: Any, text: str) -> None:
    with pytest.raises(LabError, match="reading the"):
        parse(text)


def test_one_call_a_machine_collects_everything() -> None:
    collected = checks.collect(fake_lab())
    assert replace(collected, logins=(), pings=()) == replace(facts(), logins=(), pings=())
    assert set(collected.logins) == set(facts().logins)
    assert set(collected.pings) == set(facts().pings)
    assert [finding for finding in checks.run_all(fake_lab()) if not finding.ok] == []


def test_the_client_is_the_tutorials_inside_the_other_pod_and_the_password_is_no_argument_of_it() -> None:
    lab = fake_lab()
    checks.collect(lab)
    argv = lab.nodes[ONE].asked["mysql mysql02 mysql01"]
    assert argv[:2] == ["docker", "exec"]
    client = argv[argv.index("mysql02_mysql02") + 1 :]
    assert client[:3] == ["mysql", "-uroot", "-h10.2.52.2"]
    assert not [word for word in client if "p123456" in word]


def test_pymysql_runs_on_the_node_inside_the_pods_network_namespace() -> None:
    lab = fake_lab()
    checks.collect(lab)
    argv = lab.nodes[ONE].asked["pymysql mysql02 mysql01"]
    assert argv[:4] == ["nsenter", "--target", "4711", "--net"]


def test_a_flanneld_that_wrote_no_subnet_env_is_a_finding() -> None:
    lab = fake_lab()
    words = "cat: /run/flannel/subnet.env: No such file or directory"
    lab.nodes[ONE].answers["subnet.env"] = ("", f"{words}\n", 1)
    assert failures(checks.collect(lab))["subnet.env", ONE][1] == words


def test_an_etcd_that_does_not_answer_is_a_finding_with_its_words_and_all_else_is_compared() -> None:
    lab = fake_lab()
    lab.master.answers["config"] = ("", "Error: context deadline exceeded\n", 1)
    seen = checks.collect(lab)
    asked = "etcdctl get --print-value-only /coreos.com/network/config"
    assert failures(seen) == {
        ("machine", "centos-master"): (f"an answer to: {asked}", "Error: context deadline exceeded")
    }
    made = {(item.check, item.subject) for item in checks.judge(seen) if item.ok}
    every = {(item.check, item.subject) for item in checks.judge(facts())}
    assert every - made == {("flannel config", "/coreos.com/network")}


def test_a_question_that_is_not_answered_in_time_is_a_finding_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_PATIENCE", "2")
    lab = fake_lab()
    lab.nodes[ONE].answers["routes"] = ("", "", 124)
    assert failures(checks.collect(lab)) == {
        ("machine", ONE): ("an answer to: ip -4 route show", "no answer within 120 s")
    }


def test_a_flanneld_of_somebodys_own_that_runs_when_asked_for_its_version_is_a_finding() -> None:
    program = Program(path="/mine", digest="0", architecture="any")
    nodes = [
        node.model_copy(update={"flanneld": Flanneld(program=program)}) if node.name == ONE else node
        for node in SPEC.nodes
    ]
    lab = replace(fake_lab(), spec=SPEC.model_copy(update={"nodes": tuple(nodes)}))
    lab.nodes[ONE].answers["version"] = ("", "", 137)
    found = failures(checks.collect(lab))
    assert found["machine", ONE] == (
        "an answer to: flanneld -version",
        "it did not end in 10 s, and was killed",
    )
    lab.nodes[ONE].answers["version"] = ("mydaemon 0.1\n", "", 0)
    assert ("machine", ONE) not in failures(checks.collect(lab))


def test_a_machine_that_cannot_be_asked_is_a_finding_and_the_others_are_compared() -> None:
    lab = fake_lab()
    lab.nodes[ONE].answers.clear()
    seen = checks.collect(lab)
    found = failures(seen)
    expected, said = found.pop(("machine", ONE))
    assert expected == "it runs and answers"
    assert said.startswith("centos-minion01: exit status 127")
    assert {check for check, _ in found} == {"login with mysql", "login with pymysql"}
    assert {said for _, said in found.values()} == {"not tried: centos-minion01 does not answer"}
    made = {(item.check, item.subject) for item in checks.judge(seen)}
    assert {(what, TWO) for what in ("flannel0 address", "docker0 MTU", "overlay routes", "lease")} <= made
    assert not {("flannel0 address", ONE), ("subnet.env", ONE), ("flanneld service", ONE)} & made


def test_a_lab_that_cannot_be_asked_at_all_is_one_finding() -> None:
    class Unreachable(FakeLab):
        def pods(self) -> Sequence[RunningPod]:
            raise LabError("listing containers: the Docker engine does not answer")

    lab = fake_lab()
    assert checks.run_or_tell(lab) == checks.run_all(fake_lab())
    (finding,) = checks.run_or_tell(Unreachable(lab.master, lab.minions))
    assert (finding.ok, finding.expected) == (False, "each machine runs and answers")
    assert finding.seen == "listing containers: the Docker engine does not answer"
