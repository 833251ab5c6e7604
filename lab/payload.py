"""The files that the lab puts into a machine before its first start: today's daemon, and its settings.

The node image holds the daemon's dependencies only, so a change to the daemon needs no image build.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from lab.engine import FileContent
from lab.errors import Unfit
from lab.spec import LabSpec, NodeSpec, program_bytes

__all__ = ["SPEC_FILE", "daemon_files", "etcd_conf", "node_files", "sysconfig"]

SPEC_FILE = "/etc/overlay-lab/spec.json"
"""On the master, for root: all that the lab was made from, with the pods' passwords, which no label has."""

DEFAULT_PREFIX = "/coreos.com/network"
"""flanneld's own default of -etcd-prefix."""


V2_STORE = """\
[Service]
# The store that flannel up to 0.17 has its keys in; etcd 3.6 has none.
Environment=ETCD_ENABLE_V2=true
"""


def node_files(spec: LabSpec, node: NodeSpec, arch: str) -> Mapping[str, FileContent]:
    """What a machine has beside its image, by path; `arch` is Debian's name of its architecture.

    mk-docker-opts.sh stays ours with every flanneld: it reads /run/flannel/subnet.env, and the machine's
    units ask for the tutorial's `mk-docker-opts.sh -i`. Raises `Unfit`.
    """
    if node.role == "master":
        v2 = {"/etc/systemd/system/etcd.service.d/v2.conf": FileContent(V2_STORE.encode())}
        return {
            SPEC_FILE: FileContent(spec.to_json().encode(), 0o600),
            "/etc/etcd/etcd.conf": etcd_conf(node),
            **(v2 if spec.etcd_api == "v2" else {}),
        }
    files = {**daemon_files(), "/etc/sysconfig/flanneld": sysconfig(spec, node)}
    program = node.flanneld.program
    if program is not None:
        files["/usr/bin/flanneld"] = FileContent(program_bytes(program, arch), 0o755)
    return files


def daemon_files(package: Path | None = None) -> Mapping[str, FileContent]:
    """`flanneld_py`, by the path that it has on a machine: sources, and the fast path if compiled."""
    if package is None:
        spec = find_spec("flanneld_py")  # finds it without importing it: the two packages stay apart
        if spec is None or spec.origin is None:
            raise Unfit("the package flanneld_py is not installed beside lab", hint="make setup")
        package = Path(spec.origin).parent
    return {
        f"/usr/lib/flanneld/flanneld_py/{path.relative_to(package)}": FileContent(path.read_bytes())
        for path in sorted(package.rglob("*"))
        if path.suffix in (".py", ".o")
    }


def etcd_conf(master: NodeSpec) -> FileContent:
    """The tutorial's /etc/etcd/etcd.conf (its section 2.2), with the lab's own name of the master."""
    text = f"""\
# [member]
ETCD_NAME=default
ETCD_DATA_DIR="/var/lib/etcd/default.etcd"
ETCD_LISTEN_CLIENT_URLS="http://0.0.0.0:2379"
# One member holds its election within 0.2 s instead of a second (milliseconds).
ETCD_HEARTBEAT_INTERVAL=20
ETCD_ELECTION_TIMEOUT=200

# [cluster]
ETCD_ADVERTISE_CLIENT_URLS="http://{master.name}:2379"
"""
    return FileContent(text.encode())


def sysconfig(spec: LabSpec, node: NodeSpec) -> FileContent:
    """The tutorial's /etc/sysconfig/flanneld (its section 3.4), with the lab's own values.

    The tutorial's unit does not hand FLANNEL_ETCD_KEY on, so another prefix than flanneld's own goes
    among the options.
    """
    options = [*spec.flanneld_options, *node.flanneld.options]
    if spec.etcd_prefix != DEFAULT_PREFIX:
        options.append(f"-etcd-prefix={spec.etcd_prefix}")
    if spec.etcd_api == "v2" and node.flanneld.program is None:  # any other that knows v2 knows only v2
        options.append("-etcd-api=v2")
    text = f"""\
# Flanneld configuration options
# etcd url location
FLANNEL_ETCD="http://{spec.master.name}:2379"

# etcs config key
FLANNEL_ETCD_KEY="{spec.etcd_prefix}"

# Any additonal options
FLANNEL_OPTIONS="{" ".join(options)}"
"""
    return FileContent(text.encode())
