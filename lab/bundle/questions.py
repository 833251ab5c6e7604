"""What a bundle asks each machine, and the file that each answer becomes. Pure."""

from collections.abc import Iterator

from lab.bundle.model import Form, Question
from lab.flannel import monitor_url
from lab.node.etcd import CA, CERTIFICATE, CLIENT, KEY, own_endpoint
from lab.node.services import show_argv
from lab.spec import LabSpec, NodeSpec

__all__ = [
    "CONTAINERS_PATH",
    "CREDENTIALS_PATH",
    "LINES",
    "SPEC_PATH",
    "journal_path",
    "of_node",
    "recorder_arguments",
]

LINES = 10_000
"""At most so many last lines of each log."""

SPEC_PATH = "secrets/spec.json"
"""Of the answer that is the lab's description; it is no file of the bundle, nor is the next."""

CREDENTIALS_PATH = "secrets/etcdctl.env"
"""Of the answer that has etcd's passwords."""

CONTAINERS_PATH = "docker/containers.json"
"""Of the file that tells about every container on a machine."""

RECORDER = "/run/lab-packets"
"""The socket of what keeps a machine's last packets."""

PACKET_BYTES = 8 << 20
"""For the last packets of a device: some 30,000."""

PACKET_SECONDS = 60
"""Older ones are not kept. A round of a search and the time that a lab has to be right again fit in."""

PACKET_LINES = 2000
"""So many of the last packets are told in words."""

JOURNAL_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_COMM,_PID"
"""Beside the times, which journalctl always prints."""

ALL = "all"

NETWORK = {
    "links": ("ip", "-details", "-statistics", "link", "show"),
    "addresses": ("ip", "address", "show"),
    "routes": ("ip", "-4", "-details", "route", "show", "table", "all"),
    "routes-ipv6": ("ip", "-6", "-details", "route", "show", "table", "all"),
    "rules": ("ip", "-4", "rule", "show"),
    "rules-ipv6": ("ip", "-6", "rule", "show"),
    "nexthops": ("ip", "-details", "nexthop", "show"),
    "neighbours": ("ip", "-statistics", "neighbour", "show"),
    "fdb": ("bridge", "-details", "-statistics", "fdb", "show"),
    "bridge-ports": ("bridge", "-details", "link", "show"),
    "qdiscs": ("tc", "-statistics", "qdisc", "show"),
    "nftables": ("nft", "--handle", "list", "ruleset"),
    "iptables": ("iptables-save", "--counters"),
    "iptables-ipv6": ("ip6tables-save", "--counters"),
    "sockets": ("ss", "--all", "--numeric", "--processes", "--extended", "--info", "--tcp", "--udp", "--raw"),
    "counters": ("nstat", "--zeros", "--ignore"),
    "sysctls": ("sysctl", "--all", "--pattern", r"^(net|kernel\.(hostname|osrelease|pid_max))\b"),
}

SYSTEM = {
    "processes": (
        *("ps", "-e", "-ww", "--sort=pid"),
        *("-o", "pid,ppid,user,stat,lstart,time,rss,nlwp,wchan:24,args"),
    ),
    "units": ("systemctl", "list-units", "--all", "--full", "--plain", "--no-pager"),
    "jobs": ("systemctl", "list-jobs", "--full", "--no-pager"),
    "clock": ("sh", "-c", "date --iso-8601=ns; cat /proc/uptime"),
    "memory": ("cat", "/proc/meminfo"),
    "pressure": ("sh", "-c", "head -n 3 /proc/loadavg /proc/pressure/*"),
    "disks": ("df", "-h"),
    "mounts": ("findmnt", "--ascii", "--notruncate"),
    "kernel": ("uname", "-a"),
    "release": ("cat", "/etc/os-release"),
    "packages": ("dpkg-query", "--show"),
}

ETCD = {
    "version": ("etcd", "--version"),
    "members": ("env", "ETCDCTL_API=3", "etcdctl", "member", "list", "--write-out=table"),
    "status": ("env", "ETCDCTL_API=3", "etcdctl", "endpoint", "status", "--write-out=table"),
    "health": ("env", "ETCDCTL_API=3", "etcdctl", "endpoint", "health"),
    "alarms": ("env", "ETCDCTL_API=3", "etcdctl", "alarm", "list"),
    "configuration": ("cat", "/etc/etcd/etcd.conf"),
}

SUBNET = {
    "subnet.env": ("cat", "/run/flannel/subnet.env"),
    "docker-opts.env": ("cat", "/run/docker_opts.env"),
    "files": ("ls", "-l", "--time-style=full-iso", "/run/flannel"),
}
"""What any daemon of an overlay leaves, flanneld or not."""

DOCKER = {
    "info": ("docker", "info"),
    "version": ("docker", "version"),
    "list": ("docker", "ps", "--all", "--no-trunc"),
    "networks": ("sh", "-c", "docker network inspect $(docker network ls --quiet)"),
    "images": ("docker", "images", "--all", "--digests", "--no-trunc"),
}

DOCKER_FILES = "/var/lib/docker/containers"
"""In which Docker keeps a folder for each container."""

SYNCED = 'timeout "$0" journalctl --sync; exec journalctl "$@"'
"""What a service has just said may be on its way to the journal yet."""


def of_node(
    spec: LabSpec, node: NodeSpec, seconds: float, description: str | None = None
) -> tuple[Question, ...]:
    """Everything that is asked of a node; all of it has `seconds`, each part of it less.

    `description` is the file with the lab's description, on the node that has it.
    """
    limit = f"{seconds / 4:g}"
    asked = [
        *_files("network", NETWORK),
        Question("network/conntrack.txt", (), program="conntrack"),
        *_files("system", SYSTEM),
        Question("system/services.txt", tuple(show_argv(node.watched))),
        *_journals(node, seconds),
        Question("packets", _packet_arguments(limit), program="packets", form=Form.PACKETS),
    ]
    if description is not None:
        asked.append(Question(SPEC_PATH, ("cat", description), form=Form.SECRETS))
    if spec.etcd.auth and (node.runs("etcd") or node.runs("flanneld")):
        asked.append(Question(CREDENTIALS_PATH, ("cat", CLIENT), form=Form.SECRETS))
    if node.runs("etcd"):
        asked += _of_etcd(spec, seconds)
    if node.runs("flanneld") or (node.in_overlay and node.docker.address is None):
        asked += _files("flannel", SUBNET)
    if node.runs("flanneld"):
        asked += _of_flanneld(spec, node, seconds)
    if node.runs("docker"):
        asked += [
            *_files("docker", DOCKER),
            Question(CONTAINERS_PATH, (limit, DOCKER_FILES), program="containers", form=Form.CONTAINERS),
            Question(
                "docker/logs", (str(LINES), limit, DOCKER_FILES), program="container_logs", form=Form.LOGS
            ),
        ]
    return tuple(asked)


def _packet_arguments(limit: str) -> tuple[str, ...]:
    return (RECORDER, str(PACKET_SECONDS), str(PACKET_LINES), limit)


def recorder_arguments(node: NodeSpec) -> tuple[str, ...]:
    """For what keeps the last packets of a node's devices in the underlay (`lab.bundle.inside.recorder`)."""
    devices = [f"eth{number}" for number in range(len(node.attachments))]
    return (RECORDER, str(PACKET_BYTES), str(PACKET_SECONDS), *devices)


def _files(folder: str, commands: dict[str, tuple[str, ...]]) -> Iterator[Question]:
    for name, argv in commands.items():
        yield Question(f"{folder}/{name}" if "." in name else f"{folder}/{name}.txt", argv)


def _journals(node: NodeSpec, seconds: float) -> Iterator[Question]:
    """One of each unit that the lab is about, and one of everything."""
    units = [
        *node.services,
        *node.units,
        *(("containerd", "lab-store", "lab-pods") if node.runs("docker") else ()),
    ]
    for unit in (*units, ALL):
        which = () if unit == ALL else (f"--unit={unit}",)
        options = ("--quiet", "--no-pager", "--output=json", f"--output-fields={JOURNAL_FIELDS}")
        argv = ("sh", "-c", SYNCED, f"{seconds / 4:g}", *which, *options, f"--lines={LINES}")
        yield Question(journal_path(unit), argv, form=Form.JOURNAL)


def journal_path(unit: str) -> str:
    """Of the file with the journal of a unit."""
    return f"journal/{unit}.log"


def _of_etcd(spec: LabSpec, seconds: float) -> Iterator[Question]:
    yield from _files("etcd", ETCD)
    yield Question("etcd/keys.json", (f"{seconds / 4:g}",), program="etcd_keys", form=Form.KEYS)
    known = ("--cacert", CA, "--cert", CERTIFICATE, "--key", KEY) if spec.etcd.tls else ()
    reach = own_endpoint(spec)
    yield Question("etcd/metrics.txt", _get(f"{reach}/metrics", seconds, *known))
    if spec.etcd_api == "v2":
        yield Question(
            "etcd/keys-v2.json", _get(f"{reach}/v2/keys/?recursive=true&sorted=true", seconds, *known)
        )
        yield Question("etcd/self-v2.json", _get(f"{reach}/v2/stats/self", seconds, *known))


def _of_flanneld(spec: LabSpec, node: NodeSpec, seconds: float) -> Iterator[Question]:
    yield Question("flannel/options.txt", ("cat", "/etc/sysconfig/flanneld"))
    limit = f"{seconds / 2:g}"
    yield Question("flannel/version.txt", ("timeout", "--signal=KILL", limit, "flanneld", "-version"))
    url = monitor_url([*spec.flanneld_options, *node.flanneld.options])
    for name in ("state", "metrics", "readyz") if url else ():
        yield Question(f"flannel/{name}.txt", _get(f"{url}/{name}", seconds))


def _get(url: str, seconds: float, *options: str) -> tuple[str, ...]:
    return ("curl", "--silent", "--show-error", "--max-time", f"{seconds / 2:g}", *options, url)
