"""What lets a lab's machines into its etcd: certificates that Python's own TLS takes, and where they go."""

import ssl

import pytest

from lab import spec
from lab.errors import Unfit
from lab.node.credentials import make_credentials
from lab.node.etcd import Credentials, etcd_conf
from lab.node.files import node_files, sysconfig

LAB = spec.load(
    """
    name: demo
    etcd: {tls: true, auth: true}
    nodes:
    - {name: one, host: 2, services: [etcd, flanneld, docker]}
    - {name: two, host: 3, services: [flanneld]}
    - {name: three, host: 4, services: [docker]}
    pods: []
    """,
    "lab.yaml",
)
ONE, TWO, THREE = LAB.nodes


@pytest.fixture(scope="module")
def made() -> Credentials:
    return make_credentials(LAB)


def shake_hands(made: Credentials, tmp_path, *, name: str = "one", shows: bool = True) -> None:
    """A handshake of a client on `two` with a server on `one` that wants a certificate, in memory."""

    def context(purpose: ssl.Purpose, node: str | None) -> ssl.SSLContext:
        found = ssl.create_default_context(purpose, cadata=made.authority.decode())
        found.verify_flags |= ssl.VERIFY_X509_STRICT  # RFC 5280 to the letter, Python 3.13's default
        if node is not None:
            both = made.nodes[node]
            path = tmp_path / f"{node}.pem"
            path.write_bytes(both.certificate + both.key)
            found.load_cert_chain(path)
        return found

    there = context(ssl.Purpose.CLIENT_AUTH, "one")
    there.verify_mode = ssl.CERT_REQUIRED
    here = context(ssl.Purpose.SERVER_AUTH, "two" if shows else None)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = there.wrap_bio(to_server, to_client, server_side=True)
    client = here.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):  # more than a handshake of TLS 1.3 has turns
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["one", "localhost", "127.0.0.1"])
def test_members_and_clients_trust_each_other_by_the_names_that_the_lab_uses(made, tmp_path, name) -> None:
    shake_hands(made, tmp_path, name=name)


def test_a_certificate_is_good_for_its_own_machine_alone(made, tmp_path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(made, tmp_path, name="two")


def test_who_shows_no_certificate_is_not_let_in(made, tmp_path) -> None:
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(made, tmp_path, shows=False)


def test_no_two_labs_have_the_same(made) -> None:
    other = make_credentials(LAB)
    assert other.authority != made.authority
    assert {other.root_password, other.flannel_password}.isdisjoint(
        {made.root_password, made.flannel_password}
    )
    assert made.root_password != made.flannel_password


def test_a_lab_that_asks_for_none_has_none() -> None:
    assert make_credentials(spec.tutorial()) == Credentials()


def files(node, made) -> dict[str, tuple[str, int]]:
    found = node_files(LAB, node, "amd64", made)
    return {path: (file.data.decode(errors="replace"), file.mode) for path, file in found.items()}


def test_keys_and_passwords_are_roots_alone(made) -> None:
    for node in (ONE, TWO):
        secret = {made.nodes[node.name].key.decode(), made.root_password, made.flannel_password}
        have = {
            path: mode for path, (text, mode) in files(node, made).items() if any(s in text for s in secret)
        }
        assert set(have.values()) == {0o600}, have


def test_a_machine_that_uses_no_etcd_has_nothing_of_it(made) -> None:
    found = [path for path in files(THREE, made) if "etcd" in path]
    # The daemon's, and the program that makes faults.
    assert not [path for path in found if "flanneld_py" not in path and "/faults/" not in path]


def test_the_lab_itself_says_nothing_of_them(made) -> None:
    for text in (LAB.to_json(), repr(made)):
        assert made.root_password not in text
        assert "PRIVATE KEY" not in text


def test_flanneld_is_told_its_password_where_no_list_of_processes_shows_it(made) -> None:
    # flannel's documentation: every option has a variable FLANNELD_...
    file = sysconfig(LAB, TWO, made)
    lines = file.data.decode().splitlines()
    assert 'FLANNEL_ETCD="https://one:2379"' in lines
    assert "FLANNELD_ETCD_USERNAME=flannel" in lines
    assert f"FLANNELD_ETCD_PASSWORD={made.flannel_password}" in lines
    (options,) = [line for line in lines if line.startswith("FLANNEL_OPTIONS=")]
    assert "-etcd-keyfile=/etc/overlay-lab/etcd/node-key.pem" in options
    assert made.flannel_password not in options
    assert file.mode == 0o600


def test_etcd_asks_clients_and_peers_for_a_certificate() -> None:
    # The variables of etcd's documentation, "Security flags".
    alone = etcd_conf(ONE, [ONE], tls=True).data.decode().splitlines()
    assert 'ETCD_LISTEN_CLIENT_URLS="https://0.0.0.0:2379"' in alone
    assert "ETCD_CLIENT_CERT_AUTH=true" in alone
    assert "ETCD_PEER_CLIENT_CERT_AUTH=true" not in alone  # it has no peer, and listens on localhost for some
    several = etcd_conf(ONE, [ONE, TWO, THREE], tls=True).data.decode().splitlines()
    assert 'ETCD_LISTEN_PEER_URLS="https://0.0.0.0:2380"' in several
    assert "ETCD_PEER_CLIENT_CERT_AUTH=true" in several
    assert 'ETCD_PEER_TRUSTED_CA_FILE="/etc/overlay-lab/etcd/ca.pem"' in several


def test_the_v2_store_has_no_users_for_flannel() -> None:
    with pytest.raises(Unfit, match=r"etcd\.auth: expected with flannel\.etcdApi: v3 only"):
        spec.load("etcd: {auth: true}\nflannel: {etcdApi: v2}", "lab.yaml")
