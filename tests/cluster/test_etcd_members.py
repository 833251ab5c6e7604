"""An etcd of three members with TLS and users, on machines that run flannel as well."""

import json
import re

import pytest

from lab import checks, wait
from lab.deadlines import patience
from lab.node.etcd import CREATE_USERS
from lab.soak import gather, workload
from lab.soak.history import changes
from lab.soak.programs import Programs
from lab.soak.records import lines_of
from tests.cluster.examples import example
from tests.cluster.judging import wait_until_right, wrong
from tests.unpacked import unpacked

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

FILES = {"cacert": "ca", "cert": "node", "key": "node-key"}
"""etcdctl's options, and the files of a machine."""


@pytest.fixture(scope="module")
def three_members(engine):
    yield from example(engine, "three-etcd-members.yaml")


def test_three_members_of_etcd_agree_and_every_check_holds(three_members):
    assert wrong(three_members) == []
    for node in three_members.nodes.values():
        listed = node.run(["etcdctl", "member", "list"]).text
        assert listed.count("started") == 3
        env = node.run(["cat", "/etc/sysconfig/flanneld"]).text
        assert 'FLANNEL_ETCD="https://node1:2379,https://node2:2379,https://node3:2379"' in env


def test_a_bundle_has_the_keys_of_an_etcd_with_tls_and_users_and_nothing_that_lets_anybody_in(
    three_members, run_lab, tmp_path
):
    done = run_lab("bundle", "--name", three_members.name, "-o", str(tmp_path / "bundle.tar.gz"))
    assert done.returncode == 0, done.stderr
    found = unpacked(tmp_path / "bundle.tar.gz")
    for name in three_members.nodes:
        keys = {item["key"] for item in json.loads(found[f"nodes/{name}/etcd/keys.json"])["keys"]}
        assert f"{three_members.spec.etcd_prefix}/config" in keys
        assert "etcd_server_has_leader 1" in found[f"nodes/{name}/etcd/metrics.txt"]
    node = three_members.node("node2")
    given = node.run(["cat", "/etc/overlay-lab/etcdctl.env"]).text
    secret = re.findall(r"(?m)^\w*PASSWORD=(\S+)$", given)
    assert len(secret) == 2
    secret += node.run(["sed", "1d;$d", "/etc/overlay-lab/etcd/node-key.pem"]).text.split()
    assert [path for path, text in found.items() if any(each in text for each in secret)] == []


def test_a_search_sees_what_became_of_keys_while_its_watch_was_not_let_in(three_members):
    """As after a restart of etcd, which then knows no token any more: at times the watch ends."""
    node, other = three_members.node("node2"), three_members.node("node3")
    asked = workload.wanted(three_members.spec, {}, ())["node2", workload.RECORDER]
    key = f"{three_members.spec.etcd_prefix}/seen"

    def seen() -> list[tuple[str, str | None]]:
        told = lines_of("node2", node.run(["cat", workload.RECORD]).text, 0.0)
        return [(change.key, change.value) for change in changes(told)]

    def everything() -> bool | wait.NotYet:
        return seen() == [(key, "now"), (key, None)] or wait.NotYet(seen())

    only = {("node2", workload.RECORDER): {**asked, "commands": {}, "files": {}, "urls": {}}}
    with Programs(three_members, only, gather.clocks(three_members)) as programs:
        node.run(["systemctl", "stop", "etcd"])
        try:
            node.run(["pkill", "-KILL", "-x", "etcdctl"], check=False)  # it may have ended by itself
            other.run(["etcdctl", "put", key, "now"])
            other.run(["etcdctl", "del", key])
        finally:
            node.start_service("etcd")
        wait.until(everything, what="the watch to tell all", timeout=30 * patience())
        assert set(programs.end()) == set(only)
    node.run(["rm", workload.RECORD])


def test_etcd_with_tls_and_users_lets_in_nobody_else(three_members):
    node = three_members.node("node2")
    prefix = three_members.spec.etcd_prefix
    get = ["/usr/bin/etcdctl", "--command-timeout=1s", "--dial-timeout=1s", "get", "--prefix", prefix]
    plain = node.run([*get, "--endpoints=http://node1:2379"], check=False)
    assert plain.exit_code != 0
    files = [f"--{kind}=/etc/overlay-lab/etcd/{name}.pem" for kind, name in FILES.items()]
    there = [*get, "--endpoints=https://node1:2379"]
    stranger = node.run([*there, files[0]], check=False)  # without a certificate
    assert stranger.exit_code != 0
    nobody = node.run([*there, *files], check=False)  # a machine of the lab, and no user
    assert nobody.exit_code != 0
    assert re.search("permission denied|user name is empty", nobody.output)


def test_etcdctl_on_a_machine_asks_its_own_member_or_the_one_that_is_named(three_members):
    node = three_members.node("node2")

    def asked(*argv: str) -> list[str]:
        done = node.run([*argv, "endpoint", "status"]).text
        return [line.partition(",")[0] for line in done.splitlines()]

    assert asked("etcdctl") == ["https://127.0.0.1:2379"]
    assert asked("etcdctl", "--endpoints=https://node3:2379") == ["https://node3:2379"]
    assert asked("env", "ETCDCTL_ENDPOINTS=https://node1:2379", "etcdctl") == ["https://node1:2379"]


def test_etcds_users_can_be_made_again_though_they_are_there(three_members):
    node = three_members.node("node1")
    assert node.run([CREATE_USERS, three_members.spec.etcd_prefix]).exit_code == 0


def test_flannels_user_has_flannels_keys_alone(three_members):
    node = three_members.node("node3")
    script = """
        . /etc/sysconfig/flanneld
        export ETCDCTL_USER=$FLANNELD_ETCD_USERNAME ETCDCTL_PASSWORD=$FLANNELD_ETCD_PASSWORD
        export ETCDCTL_CACERT=$0/ca.pem ETCDCTL_CERT=$0/node.pem ETCDCTL_KEY=$0/node-key.pem
        export ETCDCTL_ENDPOINTS=$FLANNEL_ETCD
        /usr/bin/etcdctl get --print-value-only /coreos.com/network/config && /usr/bin/etcdctl put /other x
    """
    done = node.run(["sh", "-c", script, "/etc/overlay-lab/etcd"], check=False)
    assert '"Network": "10.3.0.0/16"' in done.text
    assert done.exit_code != 0
    assert "permission denied" in done.output


def test_passwords_and_keys_are_on_the_nodes_and_nowhere_else(three_members):
    node = three_members.node("node1")
    secrets = [
        line.partition("=")[2]
        for line in node.run(["cat", "/etc/overlay-lab/etcdctl.env"]).text.splitlines()
        if "PASSWORD" in line
    ]
    assert len(secrets) == 2
    api = three_members.engine._api  # the engine's own words, of which the lab reads a part
    told = json.dumps([api.inspect_container(item.container.id) for item in three_members.nodes.values()])
    told += json.dumps(api.inspect_network(three_members.network.id))
    told += node.run(["ps", "-ww", "-eo", "args"]).text
    assert [word for word in secrets if word in told] == []
    assert "PRIVATE KEY" not in told
    modes = node.run(["stat", "-c", "%a", "/etc/overlay-lab/etcdctl.env", "/etc/sysconfig/flanneld"]).text
    assert modes.split() == ["600", "600"]


def test_without_one_member_of_etcd_flannel_goes_on(three_members):
    first = three_members.node("node1")
    first.run(["systemctl", "stop", "etcd"])
    try:
        # A lease that is written now reaches the others: the daemon asks the members that are left.
        second = three_members.node("node2")
        second.run(["systemctl", "restart", "flanneld"])
        second.start_service("docker")  # which was restarted along with it
        found = checks.run_all(three_members, ["leases.*", "routes.*", "ping.nodes"])
        # That its own etcd does not answer is all that is told.
        assert {(item.id, item.subject.names) for item in checks.failed(found)} == {
            ("node.answers", ("node1",))
        }
    finally:
        first.run(["systemctl", "start", "etcd"])
    wait_until_right(three_members)
