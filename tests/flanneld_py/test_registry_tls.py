"""Certificates of etcd and ours: what is refused at the start, and what is told while we run."""

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flanneld_py.errors import Fatal
from flanneld_py.registry import AccessRefused, RegistryUnavailable, tls_diagnosis
from flanneld_py.registry.access import Credentials, Endpoint
from flanneld_py.registry.etcd import EtcdRegistry
from flanneld_py.registry.etcd.library import grpc
from flanneld_py.registry.etcd2 import Etcd2Registry
from tests.flanneld_py.certificates import Authority
from tests.flanneld_py.fake_etcd import FakeEtcd
from tests.flanneld_py.fake_etcd2 import FakeEtcd2
from tests.flanneld_py.registry_conformance import PREFIX

ENDPOINT = "https://127.0.0.1:2379"


@dataclass(frozen=True)
class Files:
    """PEM files of one authority's cluster, and some that do not fit."""

    ca: str
    server: str
    server_key: str
    client: str
    client_key: str
    encrypted_key: str
    other_ca: str
    other_client: str
    other_client_key: str
    misnamed: str
    misnamed_key: str
    junk: str

    def client_files(self) -> Credentials:
        return Credentials(self.ca, self.client, self.client_key)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    authority, other = Authority("cluster"), Authority("other")
    server, client = authority.issue("etcd", "127.0.0.1"), authority.issue("flannel")
    misnamed, stranger = authority.issue("elsewhere", "192.0.2.1"), other.issue("stranger")
    folder = tmp_path_factory.mktemp("pem")

    def write(name: str, content: bytes) -> str:
        path: Path = folder / f"{name}.pem"
        path.write_bytes(content)
        return str(path)

    return Files(
        write("ca", authority.pem),
        write("server", server.pem),
        write("server-key", server.key),
        write("client", client.pem),
        write("client-key", client.key),
        write("encrypted-key", client.encrypted_key),
        write("other-ca", other.pem),
        write("other-client", stranger.pem),
        write("other-client-key", stranger.key),
        write("misnamed", misnamed.pem),
        write("misnamed-key", misnamed.key),
        write("junk", b"no certificate"),
    )


class Secured:
    """An etcd of either API that speaks TLS and wants a client certificate of its authority."""

    def __init__(self, api: str, certificate: str, key: str, ca: str) -> None:
        if api == "v3":
            pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
            wants = grpc.ssl_server_credentials([pair], Path(ca).read_bytes(), require_client_auth=True)
            self.etcd: FakeEtcd | FakeEtcd2 = FakeEtcd(wants)
            self.etcd.put(f"{PREFIX}/config", b"{}")
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
            self.etcd = FakeEtcd2(context)
            self.etcd.write(f"{PREFIX}/config", "{}")


@pytest.fixture(params=["v3", "v2"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(api: str, files: Files) -> Iterator[Callable[..., str]]:
    made: list[Secured] = []

    def serve(certificate: str = files.server, key: str = files.server_key) -> str:
        made.append(Secured(api, certificate, key, files.ca))
        return made[-1].etcd.endpoint

    yield serve
    for secured in made:
        secured.etcd.stop()


@pytest.fixture
def connect(api: str) -> Iterator[Callable[..., EtcdRegistry | Etcd2Registry]]:
    made: list[EtcdRegistry | Etcd2Registry] = []

    def connect(
        endpoints: str, credentials: Credentials, timeout: float = 10
    ) -> EtcdRegistry | Etcd2Registry:
        kind = EtcdRegistry if api == "v3" else Etcd2Registry
        made.append(kind(endpoints.split(","), PREFIX, credentials, timeout=timeout))
        return made[-1]

    yield connect
    for registry in made:
        registry.close()


# While we run


def test_etcd_is_reached_with_certificates_of_its_authority(serve, connect, files):
    assert connect(serve(), files.client_files()).config() == b"{}"


def test_the_systems_authorities_are_trusted_where_none_is_given(serve, connect, files, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)  # Go's variable for the file of the system's
    assert connect(serve(), Credentials("", files.client, files.client_key)).config() == b"{}"


def test_a_certificate_of_another_authority_is_not_trusted(serve, connect, files):
    registry = connect(serve(), Credentials(files.other_ca, files.client, files.client_key))
    with pytest.raises(
        AccessRefused, match=r"its certificate is not trusted by .*other-ca\.pem: .*-etcd-cafile"
    ):
        registry.config()


def test_a_certificate_for_another_host_is_told_as_that(serve, connect, files):
    endpoint = serve(files.misnamed, files.misnamed_key)
    with pytest.raises(AccessRefused, match=r"its certificate is not valid for 127\.0\.0\.1"):
        connect(endpoint, files.client_files()).config()


def test_an_etcd_that_wants_a_client_certificate_says_so(serve, connect, files, monkeypatch):
    monkeypatch.setattr(tls_diagnosis, "TIMEOUT", 10)
    with pytest.raises(
        AccessRefused, match="it requires a client certificate: give -etcd-certfile and -etcd-keyfile"
    ):
        connect(serve(), Credentials(files.ca)).config()


def test_a_client_certificate_that_is_not_accepted_is_told_as_that(serve, connect, files, monkeypatch):
    monkeypatch.setattr(tls_diagnosis, "TIMEOUT", 10)
    credentials = Credentials(files.ca, files.other_client, files.other_client_key)
    with pytest.raises(AccessRefused, match="it rejects our client certificate: check -etcd-certfile"):
        connect(serve(), credentials).config()


def test_an_http_endpoint_that_speaks_tls_is_told_as_that(serve, connect):
    endpoint = serve().replace("https", "http")
    with pytest.raises(AccessRefused, match="it speaks TLS: give an https:// endpoint"):
        connect(endpoint, Credentials()).config()


def test_an_https_endpoint_that_does_not_speak_tls_is_told_as_that(connect, files):
    etcd = FakeEtcd2()
    try:
        endpoint = etcd.endpoint.replace("http", "https")
        with pytest.raises(AccessRefused, match="give an http:// endpoint"):
            connect(endpoint, files.client_files()).config()
    finally:
        etcd.stop()


def test_an_endpoint_that_shakes_no_hands_is_unavailable_in_time(connect, files):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RegistryUnavailable):
            connect(endpoint, files.client_files(), timeout=0.2).config()


def test_an_endpoint_that_is_not_trusted_is_left_for_one_that_is(serve, connect, files):
    endpoints = f"{serve(files.misnamed, files.misnamed_key)},{serve()}"
    registry = connect(endpoints, files.client_files())
    assert registry.config() == b"{}"
    assert registry.probe() == b"{}"


def test_files_that_are_gone_when_a_connection_is_made_anew_are_told(serve, connect, files, tmp_path):
    certificate, key = tmp_path / "client.pem", tmp_path / "key.pem"
    certificate.write_bytes(Path(files.client).read_bytes())
    key.write_bytes(Path(files.client_key).read_bytes())
    registry = connect(serve(), Credentials(files.ca, str(certificate), str(key)))
    key.unlink()
    with pytest.raises(RegistryUnavailable, match=r"key\.pem"):
        registry.config()


# At the start


def refused(credentials: Credentials, *endpoints: str) -> str:
    with pytest.raises(Fatal) as caught:
        EtcdRegistry(endpoints or [ENDPOINT], PREFIX, credentials)
    return str(caught.value)


def test_a_file_that_is_missing_is_named_with_its_flag(files):
    assert refused(Credentials("/nowhere/ca.pem")) == (
        "-etcd-cafile: /nowhere/ca.pem cannot be read: No such file or directory: name a PEM file"
    )
    assert refused(Credentials(files.ca, "/nowhere/c.pem", files.client_key)).startswith("-etcd-certfile: ")
    assert refused(Credentials(files.ca, files.client, "/nowhere/k.pem")).startswith("-etcd-keyfile: ")


def test_a_directory_is_no_file(tmp_path):
    assert refused(Credentials(str(tmp_path))).endswith("cannot be read: Is a directory: name a PEM file")


def test_a_file_that_is_not_pem_is_named_with_its_flag(files):
    text = "is not in PEM format (no line says -----BEGIN ...-----)"
    assert refused(Credentials(files.junk)) == f"-etcd-cafile: {files.junk} {text}"
    assert refused(Credentials(files.ca, files.client, files.junk)) == f"-etcd-keyfile: {files.junk} {text}"


def test_a_pem_file_of_something_else_is_refused(files):
    assert refused(Credentials(files.client_key)).startswith(
        f"-etcd-cafile: {files.client_key} holds no certificate that can be used: "
    )


def test_a_key_that_is_another_certificates_is_refused(files):
    assert refused(Credentials(files.ca, files.client, files.server_key)) == (
        f"-etcd-certfile and -etcd-keyfile: {files.client} and {files.server_key} cannot be used together: "
        "key values mismatch"
    )


def test_a_key_with_a_password_is_refused(files):
    assert refused(Credentials(files.ca, files.client, files.encrypted_key)) == (
        f"-etcd-keyfile: {files.encrypted_key} is encrypted: give one that needs no password"
    )


def test_a_password_that_is_no_text_is_refused():
    from_a_variable = b"\xff".decode(errors="surrogateescape")
    told = refused(Credentials(username="flannel", password=from_a_variable))
    assert told == "-etcd-password is not UTF-8, and etcd accepts nothing else"


def test_a_machine_that_trusts_nobody_needs_a_cafile(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr("flanneld_py.registry.tls.SYSTEM", ("/nowhere/ca.crt",))
    assert refused(Credentials()).endswith("(/nowhere/ca.crt and the like are missing): give -etcd-cafile")


def test_files_are_not_looked_at_where_no_endpoint_is_https():
    EtcdRegistry(["http://127.0.0.1:2379"], PREFIX, Credentials("/nowhere/ca.pem"))


def test_the_password_is_in_no_text_of_the_credentials():
    assert "secret" not in repr(Credentials(username="flannel", password="secret"))


# Endpoints


@pytest.mark.parametrize(
    ("url", "host", "authority"),
    [
        ("http://127.0.0.1:2379", "127.0.0.1", "127.0.0.1:2379"),
        ("https://etcd-1.example:2379/", "etcd-1.example", "etcd-1.example:2379"),
        ("https://[2001:db8::1]:2379", "2001:db8::1", "[2001:db8::1]:2379"),
    ],
)
def test_an_endpoint_is_a_scheme_a_host_and_a_port(url, host, authority):
    endpoint = Endpoint.of(url)
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, 2379, authority)
    assert endpoint.tls == url.startswith("https")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:2379", "ftp://etcd:2379", "http://etcd", "http://:2379", "https://"]
)
def test_anything_else_is_no_endpoint(url):
    with pytest.raises(ValueError, match="is not an endpoint"):
        Endpoint.of(url)
