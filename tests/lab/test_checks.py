"""What each check says of what was seen: the tutorial's cluster, and what can be wrong with it."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from lab import checks
from lab.checks import Kind
from lab.observe import File, Lease, Login, NodeObservation, Observation, Output, Ping, Silent
from lab.observe.parse import parse_login
from lab.spec import CommandCheck, ServiceName
from lab.spec.node import Docker
from tests.lab.examples import (
    AT,
    FOLDER,
    MINIONS,
    SPEC,
    changed,
    known,
    link,
    master,
    minion,
    observation,
    pod,
    seen_of,
    silent,
)

ONE, TWO = MINIONS
MASTER = "centos-master"
ENV = known(minion(ONE).subnet_env).text or ""


def failures(seen: Observation) -> dict[tuple[str, str], tuple[str, str]]:
    """(identifier, subject) -> (expected, seen), in words, of what does not hold."""
    return {
        (item.id, str(item.subject)): (item.expected.text, item.seen.text)
        for item in checks.failed(checks.judge(seen))
    }


def with_minion(**changes: Any) -> Observation:
    """The tutorial's cluster with the first minion changed."""
    return changed(observation(), ONE, **changes)


def with_link(name: str, **changes: Any) -> Observation:
    links = dict(known(minion(ONE).links))
    links[name] = replace(links[name], **changes)
    return with_minion(links=links)


def with_leases(*leases: Lease) -> Observation:
    return changed(observation(), MASTER, leases=leases)


def with_options(*options: str) -> Observation:
    return replace(observation(), spec=SPEC.model_copy(update={"flanneld_options": options}))


def with_pods(*nodes: NodeObservation) -> Observation:
    return seen_of(master(), *nodes)


def test_the_tutorials_cluster_passes_every_check() -> None:
    assert failures(observation()) == {}


def test_every_check_is_made_of_every_machine_and_every_pod() -> None:
    made = {(item.id, str(item.subject)) for item in checks.judge(observation())}
    assert {
        (what, node)
        for node in MINIONS
        for what in (
            "service.active",
            "leases.key",
            "leases.value",
            "leases.ttl",
            "underlay.address",
            "overlay.address",
            "overlay.mtu",
            "overlay.queue",
            "overlay.state",
            "docker0.address",
            "docker0.mtu",
            "subnet-env.text",
            "routes.overlay",
            "routes.default",
        )
    } <= made
    assert {(node, unit) for node in MINIONS for unit in ("flanneld", "docker")} | {
        ("centos-master", "etcd")
    } == {
        (str(item.subject), item.subject.part)
        for item in checks.judge(observation())
        if item.id == "service.active"
    }
    assert {("ping.nodes", f"{ONE} -> {TWO}"), ("ping.nodes", f"{TWO} -> {ONE}")} <= made
    pairs = ("mysql01 -> mysql02", "mysql02 -> mysql01")
    assert {(f"login.{way}", pair) for way in ("mysql", "pymysql") for pair in pairs} <= made
    assert {
        (what, name) for what in ("pod.running", "pod.address", "pod.mtu") for name in ("mysql01", "mysql02")
    } <= made


def test_a_lease_without_publicipv6_is_not_what_flannel_writes() -> None:
    first, second = known(master().leases)
    seen = with_leases(replace(first, value='{"PublicIP":"192.168.199.52"}'), second)
    assert failures(seen) == {
        ("leases.value", ONE): (
            '{"PublicIP":"192.168.199.52","PublicIPv6":null}',
            '{"PublicIP":"192.168.199.52"}',
        )
    }


@pytest.mark.parametrize("ttl", [-1, 0, 86401])
def test_a_lease_that_is_bound_to_no_time_or_too_long_fails(ttl: int) -> None:
    first, second = known(master().leases)
    assert failures(with_leases(replace(first, ttl=ttl), second)) == {
        ("leases.ttl", ONE): ("more than 0 s, at most 86400 s", f"{ttl} s")
    }


def test_two_leases_of_one_minion_fail() -> None:
    first, second = known(master().leases)
    third = replace(first, key=f"{FOLDER}/10.2.36.0-24", subnet=IPv4Network("10.2.36.0/24"))
    seen = failures(with_leases(first, second, third))
    assert seen["leases.key", ONE] == (f"one key {FOLDER}/SUBNET", f"{first.key}\n{third.key}")
    assert seen["leases.subnets", "etcd"][1] == "10.2.35.0/24, 10.2.52.0/24, 10.2.36.0/24"


def test_a_minion_without_a_lease_fails_and_says_what_there_is() -> None:
    _, second = known(master().leases)
    seen = failures(with_leases(second))
    assert seen["leases.value", ONE][1] == f"no lease of this address among: {second.value}"
    assert failures(with_leases())["leases.value", TWO][1] == "no lease at all"


def test_of_a_minion_without_a_lease_all_is_compared_with_what_its_own_subnet_env_says() -> None:
    _, second = known(master().leases)
    seen = with_leases(second)
    missing = {"leases.key", "leases.value", "leases.ttl"}
    assert {check for check, subject in failures(seen) if subject == ONE} == missing
    links = dict(known(minion(ONE).links))
    links["docker0"] = replace(links["docker0"], mtu=1500, addresses=("172.17.0.1/16",))
    env = ENV.replace("1472", "1400")
    wrong = changed(seen, ONE, links=links, subnet_env=File(env))
    found = failures(wrong)
    assert found["docker0.mtu", ONE] == ("1472", "1500")
    assert found["docker0.address", ONE] == ("10.2.35.1/24", "172.17.0.1/16")
    assert found["subnet-env.text", ONE] == (ENV, env)


def test_of_a_minion_without_lease_and_subnet_env_is_compared_what_needs_no_subnet() -> None:
    _, second = known(master().leases)
    missing = "cat: /run/flannel/subnet.env: No such file or directory"
    links = dict(known(minion(ONE).links))
    links["flannel0"] = replace(links["flannel0"], mtu=1500)
    seen = changed(with_leases(second), ONE, links=links, subnet_env=File(None, missing))
    found = failures(seen)
    assert found["overlay.mtu", ONE] == ("1472", "1500")
    assert found["overlay.address", ONE] == ("that of its lease, which it does not have", "10.2.35.0/16")
    assert found["subnet-env.text", ONE][1] == missing
    assert ("pod.address", "mysql02") in found
    made = {item.id for item in checks.judge(seen) if str(item.subject) == ONE}
    assert {"overlay.state", "overlay.queue", "docker0.mtu", "underlay.address", "routes.default"} <= made
    assert not [expected for expected, _ in found.values() if "None" in expected]


def test_without_etcd_the_machines_are_compared_with_their_own_word() -> None:
    silence = Silent("Error: context deadline exceeded", AT, "etcdctl get")
    seen = changed(observation(), MASTER, config=silence, leases=silence)
    assert failures(seen) == {
        ("node.answers", MASTER): ("an answer to: etcdctl get", "Error: context deadline exceeded")
    }
    made = {item.id for item in checks.judge(seen)}
    assert {"overlay.address", "routes.overlay", "subnet-env.text", "pod.address"} <= made
    links = dict(known(minion(ONE).links))
    links["docker0"] = replace(links["docker0"], mtu=1500)
    assert ("docker0.mtu", ONE) in failures(changed(seen, ONE, links=links))


def test_a_lease_of_a_stranger_fails() -> None:
    stranger = Lease(f"{FOLDER}/10.2.9.0-24", IPv4Network("10.2.9.0/24"), '{"PublicIP":"192.168.199.99"}', 5)
    seen = failures(with_leases(*known(master().leases), stranger))
    assert seen["leases.owner", stranger.key] == (
        "192.168.199.52 or 192.168.199.53",
        stranger.value,
    )


@pytest.mark.parametrize("subnet", ["10.2.52.0/25", "10.3.35.0/24"])
def test_subnets_that_overlap_or_lie_outside_fail(subnet: str) -> None:
    first, second = known(master().leases)
    assert ("leases.subnets", "etcd") in failures(
        with_leases(replace(first, subnet=IPv4Network(subnet)), second)
    )


def test_another_flannel_configuration_in_etcd_fails() -> None:
    seen = changed(observation(), MASTER, config='{ "Network": "10.9.0.0/16" }')
    assert failures(seen) == {
        ("config.value", "/coreos.com/network/config"): (
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
            "underlay.address",
            "192.168.199.52/24",
            "192.168.199.99/24",
        ),
        ("flannel0", {"addresses": ("10.2.35.0/32",)}, "overlay.address", "10.2.35.0/16", "10.2.35.0/32"),
        ("flannel0", {"addresses": ()}, "overlay.address", "10.2.35.0/16", "no address"),
        ("flannel0", {"mtu": 1500}, "overlay.mtu", "1472", "1500"),
        ("flannel0", {"queue": 1000}, "overlay.queue", "500", "1000"),
        ("flannel0", {"up": False}, "overlay.state", "UP", "DOWN"),
        ("docker0", {"addresses": ("172.17.0.1/16",)}, "docker0.address", "10.2.35.1/24", "172.17.0.1/16"),
        ("docker0", {"mtu": 1500}, "docker0.mtu", "1472", "1500"),
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
        "overlay.address",
        "overlay.mtu",
        "overlay.queue",
        "overlay.state",
    }
    assert {value for _, value in seen.values()} == {"no such device"}


def test_the_overlays_mtu_is_the_underlays_less_28() -> None:
    # A machine whose underlay carries 1400 bytes: 1400 - 20 (IPv4) - 8 (UDP).
    seen = failures(with_link("eth0", mtu=1400))
    assert seen["overlay.mtu", ONE] == ("1372", "1472")
    assert seen["docker0.mtu", ONE] == ("1372", "1472")


@pytest.mark.parametrize("address", ["10.2.52.1/24", "10.2.35.2/24", "10.2.52.2/16", "172.17.0.2/16"])
def test_a_pods_address_outside_its_nodes_lease_fails(address: str) -> None:
    links = {"mysql01": {"eth0": link("eth0", address)}}
    assert failures(changed(observation(), TWO, pod_links=links)) == {
        ("pod.address", "mysql01"): ("10.2.52.2/24 to 10.2.52.254/24", address)
    }


def test_a_pod_whose_interface_has_another_mtu_fails() -> None:
    links = {"mysql01": {"eth0": link("eth0", "10.2.52.2/24", 1500)}}
    assert failures(changed(observation(), TWO, pod_links=links)) == {
        ("pod.mtu", "mysql01"): ("1472", "1500")
    }


def test_subnet_env_is_compared_to_the_byte() -> None:
    text = ENV.replace("1472", "1450")
    assert failures(with_minion(subnet_env=File(text)))["subnet-env.text", ONE][1] == text


def test_with_ip_masq_flannel_says_so_in_subnet_env() -> None:
    seen = failures(with_options("-iface=eth0", "-ip-masq"))
    files = {subject for identifier, subject in seen if identifier == "subnet-env.text"}
    assert files == {ONE, TWO}
    assert "FLANNEL_IPMASQ=true" in seen["subnet-env.text", ONE][0]


def test_with_ip_masq_a_server_must_see_the_client_pods_own_address() -> None:
    seen = with_options("-iface=eth0", "-ip-masq")
    assert failures(seen)["source.mysql", "mysql02 -> mysql01"] == ("10.2.35.2", "10.2.35.0")
    for name in MINIONS:
        logins = known(seen.nodes[name].logins)
        own = tuple(replace(login, source=str(pod(login.client).address)) for login in logins)
        seen = changed(seen, name, logins=own)
    assert {identifier for identifier, _ in failures(seen)} == {"subnet-env.text"}


@pytest.mark.parametrize(
    ("route", "check"),
    [
        ("default via 192.168.199.1 dev eth0", "routes.default"),
        ("10.2.52.0/24 via 192.168.199.53 dev eth0", "routes.overlay"),
        ("10.2.52.7 dev eth0 scope link", "routes.overlay"),
        ("unreachable 10.2.52.0/24", "routes.overlay"),
        ("0.0.0.0/1 dev eth0 scope link", "routes.overlay"),
    ],
)
def test_a_route_out_of_the_lab_or_a_second_way_into_the_overlay_fails(route: str, check: str) -> None:
    seen = failures(with_minion(routes=(*known(minion(ONE).routes), route)))
    assert set(seen) == {(check, ONE)}
    assert route in seen[check, ONE][1].splitlines()


def test_a_missing_route_fails() -> None:
    assert set(failures(with_minion(routes=known(minion(ONE).routes)[1:]))) == {("routes.overlay", ONE)}


def test_a_pod_of_the_lab_that_is_missing_or_elsewhere_fails() -> None:
    gone = changed(observation(), TWO, pods=(), pod_links={}, pings=(), logins=())
    assert failures(gone)["pod.running", "mysql01"] == (
        "Running 1/1 on centos-minion02",
        "there is no such pod",
    )
    moved = replace(pod("mysql01"), status="CrashLoopBackOff", ready="0/1")
    assert failures(changed(observation(), TWO, pods=(moved,))) == {
        ("pod.running", "mysql01"): (
            "Running 1/1 on centos-minion02",
            "CrashLoopBackOff 0/1 on centos-minion02",
        )
    }


def test_a_service_that_does_not_run_fails_and_is_told_with_its_state() -> None:
    flanneld, docker = known(minion(ONE).services)
    dead = replace(flanneld, state="failed", detail="signal")
    assert failures(with_minion(services=(dead, docker))) == {
        ("service.active", ONE): ("active", "failed (signal) since 2016-03-13 11:24:58 UTC")
    }


def test_a_service_that_came_back_by_itself_passes_and_its_restarts_are_shown() -> None:
    flanneld, docker = known(minion(ONE).services)
    seen = with_minion(services=(replace(flanneld, restarts=3), docker))
    assert failures(seen) == {}
    found = checks.judge(seen, checks.chosen(["service.active"]))
    (told,) = [item.seen.text for item in found if "restarted" in item.seen.text]
    assert told == "active since 2016-03-13 11:24:58 UTC, restarted 3 times"


@pytest.mark.parametrize(("policy", "right"), [("Always", False), ("OnFailure", True), ("Never", True)])
def test_a_pod_that_has_done_its_work_is_right_if_it_is_not_to_be_restarted(policy: str, right: bool) -> None:
    done = replace(pod("mysql01"), status="Completed", ready="0/1")
    done = replace(done, spec=done.spec.model_copy(update={"restart_policy": policy}))
    seen = failures(changed(observation(), TWO, pods=(done,), pod_links={}))
    assert (("pod.running", "mysql01") not in seen) is right
    assert ("pod.address", "mysql01") not in seen


def test_a_login_that_another_host_answers_fails() -> None:
    login = Login("mysql02", "mysql01", "mysql", "mysql02", "9.7.0", "")
    others = [item for item in known(minion(ONE).logins) if item.way != "mysql"]
    assert failures(with_minion(logins=(*others, login))) == {
        ("login.mysql", "mysql02 -> mysql01"): ("MySQL on host mysql01", "MySQL 9.7.0 on host mysql02")
    }


def test_a_login_that_fails_shows_the_clients_words() -> None:
    words = "ERROR 2003 (HY000): Can't connect to MySQL server on '10.2.52.2:3306' (110)"
    login = parse_login("mysql02", "mysql01", "mysql", Output(1, "", f"a warning\n{words}\n"))
    assert failures(with_minion(logins=(login,)))["login.mysql", "mysql02 -> mysql01"][1] == words


def test_a_login_that_could_not_be_tried_has_failed() -> None:
    assert failures(with_minion(logins=known(minion(ONE).logins)[1:])) == {
        ("login.mysql", "mysql02 -> mysql01"): (
            "MySQL on host mysql01",
            "not tried: one of the two pods does not run",
        )
    }


# What a machine that stands still makes unknown, and nothing else.
HIDDEN = {"node.answers", "pod.running", "ping.nodes", "login.mysql", "login.pymysql"}


def test_of_a_machine_that_is_silent_nothing_is_known_and_of_the_others_everything() -> None:
    seen = with_pods(silent(minion(ONE), "did not answer in 65 s"), minion(TWO))
    found = checks.judge(seen)
    wrong = checks.failed(found)
    assert {item.kind for item in wrong} == {Kind.UNKNOWN}
    assert {item.id for item in wrong} == HIDDEN
    (told,) = [item.seen.text for item in wrong if item.id == "node.answers"]
    assert told == "did not answer in 65 s"
    every = {(item.id, item.subject) for item in checks.judge(observation())}
    others = {(item, subject) for item, subject in every if not {ONE, "mysql02"} & set(subject.names)}
    assert others <= {(item.id, item.subject) for item in found if item.ok}
    # In etcd its lease stands all the same.
    assert {item.id for item in found if str(item.subject) == ONE and item.ok} >= {"leases.key", "leases.ttl"}


def test_a_machine_that_does_not_run_has_failed() -> None:
    stopped = replace(silent(minion(ONE), "its container is exited"), state="exited")
    (finding,) = [item for item in checks.judge(with_pods(stopped, minion(TWO))) if item.id == "node.answers"]
    assert (finding.kind, finding.expected.text) == (Kind.FAIL, "it runs and answers")


def test_a_machine_whose_docker_is_silent_may_have_the_pods_that_are_missing() -> None:
    silence = Silent("Cannot connect to the Docker daemon", AT, "pods")
    seen = with_minion(pods=silence, pod_links={}, pings=(), logins=())
    wrong = {(item.id, str(item.subject)): item for item in checks.failed(checks.judge(seen))}
    assert wrong["pod.running", "mysql02"].kind is Kind.UNKNOWN
    assert ("pod.running", "mysql01") not in wrong
    login = wrong["login.mysql", "mysql02 -> mysql01"]
    assert login.kind is Kind.UNKNOWN
    assert login.seen.text == ("not tried: centos-minion01 does not say: Cannot connect to the Docker daemon")


CHECK = CommandCheck(
    name="it answers", node=ONE, run=("curl", "-s", "x"), status=0, output="^pong$", within=3
)


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        (Output(0, "ping\npong\n", ""), None),
        (Output(0, "ping\n", ""), "exit status 0\nping"),
        (Output(7, "pong\n", "refused\n"), "exit status 7\nrefused"),
        (Output(124, "pong\n", "", "own"), "it had not ended after 3 s, and was killed"),
        (Output(137, "\x1b]0;x\x07\n", ""), "exit status 137\n\ufffd]0;x\ufffd"),
        (Output(124, "", "", "all"), "it was not given the time that it may take"),
    ],
)
def test_a_check_of_the_lab_files_own_holds_as_the_lab_file_says(output: Output, seen: str | None) -> None:
    lab = replace(observation(), spec=SPEC.model_copy(update={"checks": (CHECK,)}))
    found = failures(changed(lab, ONE, commands={CHECK.name: output}))
    told = ("exit status 0 from: curl -s x, with output like ^pong$", seen)
    assert found == ({} if seen is None else {("file.command", ONE): told})


def test_a_check_of_the_lab_files_own_may_want_a_command_to_fail() -> None:
    wanted = CHECK.model_copy(update={"status": 137, "output": None})
    lab = replace(observation(), spec=SPEC.model_copy(update={"checks": (wanted,)}))
    assert failures(changed(lab, ONE, commands={CHECK.name: Output(137, "", "")})) == {}


def with_services(*services: ServiceName, bip: str = "from-subnet-env") -> Observation:
    """The tutorial's cluster, the first minion of which runs something else."""
    nodes = tuple(
        node.model_copy(update={"services": services, "docker": Docker(bip=bip)})
        if node.name == ONE
        else node
        for node in SPEC.nodes
    )
    return replace(observation(), spec=SPEC.model_copy(update={"nodes": nodes}))


def test_of_a_machine_with_a_fixed_docker0_that_address_is_compared_and_no_other() -> None:
    links = dict(known(minion(ONE).links))
    links["docker0"] = replace(links["docker0"], addresses=("10.9.1.1/24",), mtu=1500)
    routes = [route for route in known(minion(ONE).routes) if " dev docker0 " not in route]
    fixed = with_services("flanneld", "docker", bip="10.9.1.1/24")
    found = failures(changed(fixed, ONE, links=links, routes=tuple(routes)))
    assert {check for check, node in found if node == ONE} == set()
    assert [str(item) for item in checks.left_out(fixed.spec)] == [
        f"Left out on {ONE}: its docker0 has an address of the lab file's, so that no packets to and from "
        "its pods are expected."
    ]
    (wrong,) = [
        words for (check, node), words in failures(fixed).items() if (check, node) == ("docker0.address", ONE)
    ]
    assert wrong[0] == "10.9.1.1/24"


def test_what_cannot_be_compared_on_a_machine_without_flanneld_is_left_out_and_said() -> None:
    seen = changed(with_services("docker"), ONE, subnet_env=None, routes=None, links=None)
    made = {item.id for item in checks.judge(seen) if item.subject.names == (ONE,)}
    assert not {check for check in made if check.partition(".")[0] in {"leases", "overlay", "docker0"}}
    assert [str(item) for item in checks.left_out(seen.spec)] == [
        f"Left out on {ONE}: no flanneld runs there, so its lease, devices and routes are not compared."
    ]


def test_what_another_daemon_carries_may_have_any_ttl_left() -> None:
    seen = with_services("docker")
    probe = Ping(ONE, TWO, 62, "")
    assert ("ping.nodes", f"{ONE} -> {TWO}") not in failures(changed(seen, ONE, probes=(probe,)))
    back = Ping(TWO, ONE, None, "no answer")
    assert ("ping.nodes", f"{TWO} -> {ONE}") in failures(changed(seen, TWO, probes=(back,)))


def test_nothing_is_left_out_of_the_tutorials_cluster() -> None:
    assert checks.left_out(SPEC) == ()
