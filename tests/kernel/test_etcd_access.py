"""The daemon and an etcd that is guarded, has several members, or speaks v2."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from lab import wait
from lab.engine import FileContent
from lab.errors import CommandError
from tests.flanneld_py.certificates import Authority
from tests.kernel.harness import PREFIX, TUTORIAL, Host, Process, Sandbox, eventually, options

pytestmark = pytest.mark.kernel

PKI = "/etc/test-pki"
PORT = 3379
CLIENT = {
    "etcd-cafile": f"{PKI}/ca.pem",
    "etcd-certfile": f"{PKI}/client.pem",
    "etcd-keyfile": f"{PKI}/client-key.pem",
}
USER = {"etcd-username": "flannel", "etcd-password": "secret"}
READY = "Watching for new subnet leases"
GRANT = f"give our user a role that has it, for {PREFIX}-ext/udp/"
STRANGER = '{"PublicIP":"192.168.50.99","PublicIPv6":null}'


@cache
def pki() -> dict[str, FileContent]:
    authority = Authority("cluster")
    server, client = authority.issue("etcd", "192.168.50.1"), authority.issue("flannel")
    files = {
        "ca": authority.pem, "other-ca": Authority("other").pem, "server": server.pem,
        "server-key": server.key, "client": client.pem, "client-key": client.key,
    }  # fmt: skip
    return {f"{PKI}/{name}.pem": FileContent(content) for name, content in files.items()}


@dataclass
class Member:
    """An etcd beside the sandbox's own."""

    sandbox: Sandbox
    endpoint: str
    process: Process
    flags: tuple[str, ...] = ()

    def ctl(self, *argv: str, api: int = 3) -> str:
        program = ["env", f"ETCDCTL_API={api}", "etcdctl", f"--endpoints={self.endpoint}", *self.flags]
        return self.sandbox.run(*program, *argv).text

    def ctl_eventually(self, *argv: str) -> None:
        """Likewise, while a cluster may be without a leader."""

        def probe() -> bool | wait.NotYet:
            try:
                self.ctl(*argv)
            except CommandError as error:
                return wait.NotYet(str(error))
            return True

        eventually(probe, f"etcdctl {argv[0]} to succeed", 30)


def start(sandbox: Sandbox, *flags: str, port: int = PORT, name: str = "x", cluster: str = "") -> Member:
    scheme = "https" if any(flag.startswith("--cert-file") for flag in flags) else "http"
    endpoint = f"{scheme}://192.168.50.1:{port}"
    peer = f"http://192.168.50.1:{port + 1}"
    process = sandbox.spawn(
        "etcd", f"--name={name}", f"--data-dir=/run/etcd-{name}", f"--listen-client-urls={endpoint}",
        f"--advertise-client-urls={endpoint}", f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}", f"--initial-cluster={cluster or f'{name}={peer}'}",
        "--bcrypt-cost=4", *flags,
    )  # fmt: skip
    return Member(sandbox, endpoint, process)


@pytest.fixture
def host(sandbox: Sandbox) -> Iterator[Host]:
    yield sandbox.host("a")
    sandbox.run("sh", "-c", "rm -rf /run/etcd-*")


def ready(member: Member) -> Member:
    member.process.says("ready to serve client requests")
    return member


# Certificates


@pytest.fixture
def secured(sandbox: Sandbox, host: Host) -> Member:
    """An etcd that speaks TLS and lets in who has a certificate of its authority."""
    sandbox.put(pki())
    member = start(
        sandbox, "--client-cert-auth", f"--trusted-ca-file={PKI}/ca.pem",
        f"--cert-file={PKI}/server.pem", f"--key-file={PKI}/server-key.pem",
    )  # fmt: skip
    ready(member)
    member.flags = (
        f"--cacert={PKI}/ca.pem",
        f"--cert={PKI}/client.pem",
        f"--key={PKI}/client-key.pem",
    )
    member.ctl("put", f"{PREFIX}/config", TUTORIAL)
    return member


def test_a_daemon_with_certificates_gets_its_lease_and_learns_of_others(host, secured):
    daemon = host.flanneld(*options(CLIENT), endpoints=secured.endpoint)
    daemon.says(READY)
    secured.ctl("put", f"{PREFIX}/subnets/10.2.0.0-24", STRANGER)
    daemon.says("Subnet added: 10.2.0.0/24")


@pytest.mark.thorough
def test_a_certificate_that_is_not_trusted_is_told_now_and_then(host, secured):
    wrong = CLIENT | {"etcd-cafile": f"{PKI}/other-ca.pem"}
    daemon = host.flanneld(*options(wrong), endpoints=secured.endpoint)
    daemon.says(f"its certificate is not trusted by {PKI}/other-ca.pem", times=2, timeout=20)
    assert daemon.log.count("not trusted") < 4


@pytest.mark.thorough
def test_an_etcd_that_wants_a_certificate_is_told_as_that(host, secured):
    daemon = host.flanneld(f"-etcd-cafile={PKI}/ca.pem", endpoints=secured.endpoint)
    daemon.says("it requires a client certificate: give -etcd-certfile and -etcd-keyfile")


def test_a_file_that_is_missing_ends_the_daemon_with_its_flag(host, secured):
    missing = CLIENT | {"etcd-keyfile": f"{PKI}/nowhere.pem"}
    daemon = host.flanneld(*options(missing), endpoints=secured.endpoint)
    assert daemon.ends(10) != 0
    assert f"-etcd-keyfile: {PKI}/nowhere.pem cannot be read: No such file" in daemon.log


# Users


@pytest.fixture
def guarded(sandbox: Sandbox, host: Host) -> Member:
    """An etcd that lets in users, with tokens that end after a second without use."""
    member = ready(start(sandbox, "--auth-token-ttl=1", "--log-level=info"))
    member.ctl("put", f"{PREFIX}/config", TUTORIAL)
    for words in (
        "user add root:root", "user grant-role root root",
        "user add flannel:secret", "user add guest:guest", "role add network",
        f"role grant-permission --prefix=true network readwrite {PREFIX}/",
        "user grant-role flannel network", "auth enable",
    ):  # fmt: skip
        member.ctl(*words.split())
    member.flags = ("--user=root:root",)
    return member


@pytest.mark.thorough
def test_a_users_token_that_ends_is_nothing_that_anybody_sees(host, guarded):
    daemon = host.flanneld(*options(USER), endpoints=guarded.endpoint)
    daemon.says(READY)
    # The daemon asks for something every two seconds of silence; by then its token has ended.
    guarded.process.says("invalid auth token", times=3, timeout=20)
    guarded.ctl("put", f"{PREFIX}/subnets/10.2.0.0-24", STRANGER)
    daemon.says("Subnet added: 10.2.0.0/24")
    assert "token" not in daemon.log


@pytest.mark.parametrize(
    ("user", "told"),
    [
        (USER | {"etcd-password": "oops"}, "it rejects the user 'flannel' or its password"),
        (
            {"etcd-username": "guest", "etcd-password": "guest"},
            f"the user 'guest' may not read and write {PREFIX}: give it a role that may",
        ),
        ({}, "it requires a user: give -etcd-username and -etcd-password"),
    ],
)
def test_a_user_that_is_not_let_in_is_told_why_and_comes_in_once_it_may(host, guarded, user, told):
    daemon = host.flanneld(*options(user), endpoints=guarded.endpoint)
    daemon.says(told)
    assert "oops" not in daemon.log
    guarded.ctl("auth", "disable")
    guarded.flags = ()
    daemon.says(READY, timeout=20)


def restarted(sandbox: Sandbox, member: Member) -> Member:
    member.process.signal("KILL")
    member.process.ends(5)
    again = ready(start(sandbox, "--auth-token-ttl=1"))
    again.flags = member.flags
    return again


@pytest.mark.thorough
def test_a_restart_of_etcd_that_forgets_all_tokens_is_survived(sandbox, host, guarded):
    daemon = host.flanneld(*options(USER), endpoints=guarded.endpoint)
    daemon.says(READY)
    restarted(sandbox, guarded)
    guarded.ctl("put", f"{PREFIX}/subnets/10.2.0.0-24", STRANGER)
    daemon.says("Subnet added: 10.2.0.0/24", timeout=20)
    assert "lost" not in daemon.log


@pytest.mark.thorough
def test_a_user_that_may_not_read_beside_the_leases_does_without_until_it_may(sandbox, host, guarded):
    other = sandbox.host("b")
    daemons = [machine.flanneld(*options(USER), endpoints=guarded.endpoint) for machine in (host, other)]
    for daemon in daemons:
        daemon.says("Subnet added: 10.2.")
        daemon.says(f"no permission to read what nodes announce: {GRANT}")
    source, target = host.bridge(), other.bridge()
    host.reaches(target, source)
    guarded.ctl("put", f"{PREFIX}/subnets/10.2.0.0-24", STRANGER)
    for daemon in daemons:
        daemon.says("Subnet added: 10.2.0.0/24")
        assert daemon.log.count("no permission to") == 1
    assert guarded.ctl("get", "--prefix", "--keys-only", f"{PREFIX}-ext/") == ""
    grant = ("role", "grant-permission", "--prefix=true", "network", "read", f"{PREFIX}-ext/")
    guarded.ctl(*grant)
    again = restarted(sandbox, guarded)
    for daemon in daemons:
        daemon.says("no permission to write what nodes announce", timeout=20)
    again.ctl(*grant[:4], "readwrite", grant[5])
    again = restarted(sandbox, again)
    keys = {f"{PREFIX}-ext/udp/{machine.subnet}.0-24" for machine in (host, other)}

    def probe() -> bool | wait.NotYet:
        told = again.ctl("get", "--prefix", "--keys-only", f"{PREFIX}-ext/")
        return set(told.split()) == keys or wait.NotYet(f"{told}\n{daemons[0].log}")

    eventually(probe, f"what is said at {keys}", 30)
    host.reaches(target, source)


def test_an_etcd_behind_a_socket_of_the_file_system_is_reached(host, sandbox):
    member = ready(start(sandbox, f"--listen-client-urls=http://192.168.50.1:{PORT},unix:///run/etcd.sock"))
    member.ctl("put", f"{PREFIX}/config", TUTORIAL)
    daemon = host.flanneld(endpoints="unix:///run/etcd.sock")
    daemon.says(READY)
    member.ctl("put", f"{PREFIX}/subnets/10.2.0.0-24", STRANGER)
    daemon.says("Subnet added: 10.2.0.0/24")


# Several members


@pytest.fixture
def members(sandbox: Sandbox, host: Host) -> list[Member]:
    names = {f"m{number}": 3379 + 1000 * number for number in range(3)}
    cluster = ",".join(f"{name}=http://192.168.50.1:{port + 1}" for name, port in names.items())
    started = [start(sandbox, port=port, name=name, cluster=cluster) for name, port in names.items()]
    for member in started:
        ready(member)
    started[0].ctl_eventually("put", f"{PREFIX}/config", TUTORIAL)
    return started


@pytest.mark.thorough
def test_a_member_of_three_that_is_lost_costs_no_packet_and_no_lease(sandbox, host, members):
    other = sandbox.host("b")
    endpoints = ",".join(member.endpoint for member in members)
    daemons = [machine.flanneld(endpoints=endpoints) for machine in (host, other)]
    for daemon in daemons:
        daemon.says("Subnet added: 10.2.")
    source, target = host.bridge(), other.bridge()
    host.reaches(target, source)
    pinging = host.spawn("ping", "-i0.1", "-c60", "-W2", "-I", source, target)
    members[0].process.signal("KILL")
    members[1].ctl_eventually("put", f"{PREFIX}/subnets/10.2.0.0-24", STRANGER)
    for daemon in daemons:
        daemon.says("Subnet added: 10.2.0.0/24", timeout=30)
        assert "lost" not in daemon.log
    pinging.ends(30)
    assert " 0% packet loss" in pinging.log


@pytest.mark.thorough
def test_a_member_that_hangs_is_left_for_another(host, members):
    daemon = host.flanneld(endpoints=",".join(member.endpoint for member in members))
    daemon.says(READY)
    members[0].process.signal("STOP")
    members[1].ctl_eventually("put", f"{PREFIX}/subnets/10.2.0.0-24", STRANGER)
    daemon.says("Subnet added: 10.2.0.0/24", timeout=20)
    assert "lost" not in daemon.log
    members[0].process.signal("CONT")


# etcd's v2 API


@pytest.fixture
def old(sandbox: Sandbox, host: Host) -> Member:
    return ready(start(sandbox, "--enable-v2=true"))


def test_the_tutorials_own_etcdctl_works_with_the_v2_api(host, old):
    old.ctl("mkdir", PREFIX, api=2)
    old.ctl("set", f"{PREFIX}/config", TUTORIAL, api=2)
    daemon = host.flanneld("-etcd-api=v2", endpoints=old.endpoint)
    daemon.says(READY)
    key = f"{PREFIX}/subnets/{host.subnet}.0-24"
    assert old.ctl("ls", f"{PREFIX}/subnets", api=2) == f"{key}\n"
    assert old.ctl("get", key, api=2) == '{"PublicIP":"192.168.50.11"}\n'
    old.ctl("set", f"{PREFIX}/subnets/10.2.0.0-24", '{"PublicIP":"192.168.50.99"}', api=2)
    daemon.says("Subnet added: 10.2.0.0/24")
    old.ctl("rm", "--recursive", f"{PREFIX}/subnets", api=2)
    daemon.says("Subnet removed: 10.2.0.0/24")
    daemon.says("Subnet lease acquired", times=2)
    assert old.ctl("ls", f"{PREFIX}/subnets", api=2) == f"{key}\n"


@pytest.mark.thorough
def test_what_is_said_beside_a_lease_is_kept_by_the_v2_api_too(host, old):
    old.ctl("set", f"{PREFIX}/config", TUTORIAL, api=2)
    daemon = host.flanneld("-etcd-api=v2", endpoints=old.endpoint)
    daemon.says(READY)
    name = f"{host.subnet}.0-24"

    def said() -> bool | wait.NotYet:
        lease = record(old, f"{PREFIX}/subnets/{name}")
        beside = record(old, f"{PREFIX}-ext/udp/{name}")
        if beside is None:
            return wait.NotYet(daemon.log)
        text = json.loads(beside["value"])
        well = (text["Revision"], text["MTU"]) == (lease["modifiedIndex"], 1500)
        # Longer than the lease by no more than a request takes: its lifetime is read, then written.
        goes_too = 0 < beside["ttl"] < lease["ttl"] + 60
        return (well and goes_too) or wait.NotYet(f"{lease} {beside}")

    eventually(said, "what the daemon says of its lease")
    for path in (f"{PREFIX}-ext", f"{PREFIX}-ext/udp", f"{PREFIX}-ext/udp/{name}"):
        old.ctl("rm", "--recursive", path, api=2)
        eventually(said, f"it to be said again after {path} was removed")
    assert "lost" not in daemon.log


def record(member: Member, key: str) -> Any:
    """What etcd v2 tells of a key; None where there is none."""
    answer = member.sandbox.run_python("get_url", f"{member.endpoint}/v2/keys{key}", check=False)
    return json.loads(answer.text)["node"] if answer.exit_code == 0 else None


def test_an_etcd_without_the_v2_api_is_told_what_it_needs(sandbox, host):
    sandbox.configure()
    daemon = host.flanneld("-etcd-api=v2")
    daemon.says("it has no v2 API: etcd needs --enable-v2=true")


@pytest.mark.thorough
def test_an_etcd_v2_that_restarts_or_hangs_is_survived(sandbox, host, old):
    old.ctl("set", f"{PREFIX}/config", TUTORIAL, api=2)
    daemon = host.flanneld("-etcd-api=v2", endpoints=old.endpoint)
    daemon.says(READY)
    old.process.signal("STOP")
    daemon.says("Watch subnets: etcd does not answer", timeout=15)
    old.process.signal("KILL")
    old.process.ends(5)
    ready(start(sandbox, "--enable-v2=true"))
    old.ctl("set", f"{PREFIX}/subnets/10.2.0.0-24", '{"PublicIP":"192.168.50.99"}', api=2)
    daemon.says("Subnet added: 10.2.0.0/24", timeout=15)
    assert "lost" not in daemon.log


@pytest.mark.thorough
def test_a_user_of_the_v2_api_is_let_in(host, old):
    old.ctl("set", f"{PREFIX}/config", TUTORIAL, api=2)
    for words in (
        "user add root:root", "role add network", "user add flannel:secret",
        f"role grant -readwrite -path {PREFIX}/* network",
        "user grant --roles network flannel", "auth enable", "--username root:root role remove guest",
    ):  # fmt: skip
        old.ctl(*words.split(), api=2)
    refused = host.flanneld("-etcd-api=v2", endpoints=old.endpoint)
    refused.says("it requires a user: give -etcd-username and -etcd-password")
    refused.signal("TERM")
    refused.ends(5)
    daemon = host.flanneld("-etcd-api=v2", *options(USER), endpoints=old.endpoint)
    daemon.says(READY)
    old.ctl(
        "--username", "root:root", "set", f"{PREFIX}/subnets/10.2.0.0-24",
        '{"PublicIP":"192.168.50.99"}', api=2,
    )  # fmt: skip
    daemon.says("Subnet added: 10.2.0.0/24")
    assert daemon.log.count(f"no permission to read what nodes announce: {GRANT}") == 1


def test_a_configuration_in_the_other_api_is_found_and_the_line_it_names_copies_it(host, old):
    old.ctl("set", f"{PREFIX}/config", TUTORIAL, api=2)
    daemon = host.flanneld("-etcd-api=v3", endpoints=old.endpoint)
    daemon.says(f"etcd has no key {PREFIX}/config yet: it is in etcd's v2 API")
    copy = f"ETCDCTL_API=2 etcdctl get {PREFIX}/config | ETCDCTL_API=3 etcdctl put {PREFIX}/config"
    assert f"or copy it: {copy}" in daemon.log
    at = f"etcdctl --endpoints={old.endpoint}"
    old.sandbox.run("sh", "-ec", copy.replace("etcdctl", at))
    daemon.says(READY)
