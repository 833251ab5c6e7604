"""etcd on a lab's machines: its configuration, who may use it, and how clients reach it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lab.engine import FileContent
from lab.node.services import UNIT_FOLDER
from lab.spec import LabSpec, NodeSpec

__all__ = [
    "CA",
    "CERTIFICATE",
    "CLIENT",
    "CLIENT_PORT",
    "CREATE_USERS",
    "KEY",
    "Certificate",
    "Credentials",
    "endpoints",
    "etcd_conf",
    "etcd_files",
    "flanneld_environment",
    "flanneld_options",
    "own_endpoint",
]

CLIENT_PORT, PEER_PORT = 2379, 2380
"""etcd's, as IANA has registered them."""

FOLDER = "/etc/overlay-lab/etcd"
CA, CERTIFICATE, KEY = f"{FOLDER}/ca.pem", f"{FOLDER}/node.pem", f"{FOLDER}/node-key.pem"
FILES = (CA, CERTIFICATE, KEY)
TLS_OPTIONS = {"v3": ("cacert", "cert", "key"), "v2": ("ca-file", "cert-file", "key-file")}
"""What etcdctl of either API calls them."""
CLIENT = "/etc/overlay-lab/etcdctl.env"
"""What etcdctl needs on a machine, for root: also both users' passwords."""
CREATE_USERS = "/usr/lib/overlay-lab/create-etcd-users"
"""The program on a machine that gives etcd its users, once."""

EVERYWHERE = {False: "0.0.0.0", True: "[::]"}  # noqa: S104 - of a machine that only the lab reaches
"""All addresses of a machine: the tutorial's, or with IPv6, which are those of IPv4 as well."""

V2_STORE = """\
[Service]
# The store that flannel up to 0.17 has its keys in; etcd 3.6 has none.
Environment=ETCD_ENABLE_V2=true
"""

# Debian's etcd runs as the user etcd, and a machine's files come as root's.
OWN_KEY = f"""\
[Service]
ExecStartPre=+/bin/chown -R etcd: {FOLDER}
"""

# Comes before Debian's in PATH, so that whoever types `etcdctl` on a machine is let in, as root there.
ETCDCTL = f"""\
#!/bin/sh
# etcdctl with what this lab's etcd asks of its clients. A variable beside its option would be an error.
given=${{ETCDCTL_ENDPOINTS:-}}
. {CLIENT}
case " $* " in
  *" --user"*) ;;
  *) export ETCDCTL_USER ETCDCTL_PASSWORD ;;
esac
case " $* " in
  *" --endpoint"*) unset ETCDCTL_ENDPOINTS ;;
  *) export ETCDCTL_ENDPOINTS=${{given:-$ETCDCTL_ENDPOINTS}} ;;
esac
exec /usr/bin/etcdctl $OPTIONS "$@"
"""

# As `root` alone may do everything, flannel's user has its own prefix, and what flanneld_py has beside it.
USERS = f"""\
#!/bin/sh
# Give etcd its users: root, and flannel, who may read and write flannel's keys alone. To be run until it
# succeeds: what is there already is no matter, and at the end root has to be let in.
. {CLIENT}
etcdctl() {{
  /usr/bin/etcdctl $OPTIONS --endpoints="$ETCDCTL_ENDPOINTS" "$@" > /dev/null
}}
etcdctl role add flannel
etcdctl role grant-permission --prefix=true flannel readwrite "$1/"
etcdctl role grant-permission --prefix=true flannel readwrite "$1-ext/"
printf %s "$ETCDCTL_PASSWORD" | etcdctl user add root --interactive=false
printf %s "$FLANNEL_PASSWORD" | etcdctl user add flannel --interactive=false
etcdctl user grant-role root root
etcdctl user grant-role flannel flannel
etcdctl auth enable
exec /usr/local/bin/etcdctl auth status
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Those of one lab."""

    authority: bytes = b""
    """The CA's certificate, in PEM; empty without TLS. Its key is kept nowhere."""
    nodes: Mapping[str, Certificate] = field(default_factory=dict)
    """By node: what it shows as a server, as a peer and as a client."""
    root_password: str = field(default="", repr=False)
    """Empty where etcd has no users."""
    flannel_password: str = field(default="", repr=False)


def etcd_files(spec: LabSpec, node: NodeSpec, credentials: Credentials) -> Mapping[str, FileContent]:
    """What a machine has because of etcd, as a member or as a client, by path."""
    files: dict[str, FileContent] = {}
    if node.runs("etcd"):
        files["/etc/etcd/etcd.conf"] = etcd_conf(
            node, spec.running("etcd"), tls=spec.etcd.tls, everywhere=EVERYWHERE[spec.has_ipv6]
        )
        if spec.etcd_api == "v2":
            files[f"{UNIT_FOLDER}/etcd.service.d/v2.conf"] = FileContent(V2_STORE.encode())
    if not (node.runs("etcd") or node.runs("flanneld")):
        return files
    if spec.etcd.tls:
        own = credentials.nodes[node.name]
        files |= {
            CA: FileContent(credentials.authority),
            CERTIFICATE: FileContent(own.certificate),
            KEY: FileContent(own.key, 0o600),
        }
        if node.runs("etcd"):
            files[f"{UNIT_FOLDER}/etcd.service.d/key.conf"] = FileContent(OWN_KEY.encode())
    if spec.etcd.tls or spec.etcd.auth:
        files[CLIENT] = FileContent(_client(spec, node, credentials).encode(), 0o600)
        files["/usr/local/bin/etcdctl"] = FileContent(ETCDCTL.encode(), 0o755)
    if spec.etcd.auth and node.runs("etcd"):
        files[CREATE_USERS] = FileContent(USERS.encode(), 0o755)
    return files


def _client(spec: LabSpec, node: NodeSpec, credentials: Credentials) -> str:
    """The options and variables of etcdctl on a machine; on a member it speaks with that one."""
    reach = own_endpoint(spec) if node.runs("etcd") else endpoints(spec)
    options: list[str] = []
    if spec.etcd.tls:
        options += [f"--{kind}={path}" for kind, path in zip(TLS_OPTIONS[spec.etcd_api], FILES, strict=True)]
    values = {"OPTIONS": f'"{" ".join(options)}"', "ETCDCTL_ENDPOINTS": reach}
    if spec.etcd.auth:
        values |= {"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": credentials.root_password}
        values |= {"FLANNEL_PASSWORD": credentials.flannel_password}
    return "".join(f"{name}={value}\n" for name, value in values.items())


def etcd_conf(
    node: NodeSpec, members: Sequence[NodeSpec], *, tls: bool = False, everywhere: str = EVERYWHERE[False]
) -> FileContent:
    """The tutorial's /etc/etcd/etcd.conf (its section 2.2), with the machine's own name.

    The tutorial has one member. One of several also says who the others are.
    """
    alone = len(members) == 1
    member = "default" if alone else node.name
    scheme = "https" if tls else "http"
    lines = [
        "# [member]",
        f"ETCD_NAME={member}",
        f'ETCD_DATA_DIR="/var/lib/etcd/{member}.etcd"',
        f'ETCD_LISTEN_CLIENT_URLS="{scheme}://{everywhere}:{CLIENT_PORT}"',
    ]
    if alone:
        lines += [
            "# One member holds its election within 0.2 s instead of a second (milliseconds).",
            "ETCD_HEARTBEAT_INTERVAL=20",
            "ETCD_ELECTION_TIMEOUT=200",
        ]
    else:
        lines.append(f'ETCD_LISTEN_PEER_URLS="{scheme}://{everywhere}:{PEER_PORT}"')
    lines += ["", "# [cluster]", f'ETCD_ADVERTISE_CLIENT_URLS="{scheme}://{node.name}:{CLIENT_PORT}"']
    if not alone:
        every = ",".join(f"{item.name}={scheme}://{item.name}:{PEER_PORT}" for item in members)
        lines += [
            f'ETCD_INITIAL_ADVERTISE_PEER_URLS="{scheme}://{node.name}:{PEER_PORT}"',
            f'ETCD_INITIAL_CLUSTER="{every}"',
            "ETCD_INITIAL_CLUSTER_STATE=new",
        ]
    if tls:
        lines += ["", "# [security]", *_security("ETCD"), *(() if alone else _security("ETCD_PEER"))]
    return FileContent(("\n".join(lines) + "\n").encode())


def _security(prefix: str) -> Sequence[str]:
    """Who connects has to show a certificate of the lab's CA, and sees one."""
    return (
        f'{prefix}_CERT_FILE="{CERTIFICATE}"',
        f'{prefix}_KEY_FILE="{KEY}"',
        f'{prefix}_TRUSTED_CA_FILE="{CA}"',
        f"{prefix}_CLIENT_CERT_AUTH=true",
    )


def _scheme(spec: LabSpec) -> str:
    return "https" if spec.etcd.tls else "http"


def own_endpoint(spec: LabSpec) -> str:
    """The client URL of a member, on its own machine."""
    return f"{_scheme(spec)}://127.0.0.1:{CLIENT_PORT}"


def endpoints(spec: LabSpec) -> str:
    """Every member's client URL, with commas between, as flanneld's -etcd-endpoints takes them."""
    return ",".join(f"{_scheme(spec)}://{item.name}:{CLIENT_PORT}" for item in spec.running("etcd"))


def flanneld_options(spec: LabSpec) -> Sequence[str]:
    """The options by which a flanneld is let in, of any age."""
    if not spec.etcd.tls:
        return ()
    return (f"-etcd-cafile={CA}", f"-etcd-certfile={CERTIFICATE}", f"-etcd-keyfile={KEY}")


def flanneld_environment(spec: LabSpec, credentials: Credentials) -> Mapping[str, str]:
    """The variables by which a flanneld is let in: everybody can read a process's arguments."""
    if not spec.etcd.auth:
        return {}
    return {"FLANNELD_ETCD_USERNAME": "flannel", "FLANNELD_ETCD_PASSWORD": credentials.flannel_password}
