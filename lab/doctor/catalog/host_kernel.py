"""The kernel of the host, and its limits."""

from collections.abc import Iterator

from lab.doctor.host_seen import HOST, Host
from lab.doctor.model import Found, Severity
from lab.doctor.registry import about_host

NO_INSTANCES, FEW_INSTANCES = 4, 16
"""Instances of inotify: a machine's systemd has four, and a lab has three machines or more."""

FEW_FILES = 0.95

LEAST_FILES = 256
"""Files that this process may open: one for each stream of each command, and more."""

ALWAYS = {
    "VETH": "machines have no network",
    "BRIDGE": "machines have no network, and no docker0",
    "OVERLAY_FS": "Docker copies each image for each container",
    "NF_NAT": "neither Docker nor flannel can masquerade",
}
"""What every lab needs of the kernel, and what its lack means."""

BACKENDS = {"udp": "TUN", "vxlan": "VXLAN", "wireguard": "WIREGUARD", "ipip": "NET_IPIP"}
"""What a lab with a backend needs."""

USEFUL = {
    "BPF_SYSCALL": "udp goes without its fast path",
    "NET_CLS_ACT": "no packets can be delayed, lost or cut off (`lab fault`, `impairment` in a lab file)",
    "NET_SCH_TBF": "no rate can be limited",
    "NET_SCH_NETEM": "a process delays and loses packets in netem's place",
}


@about_host(
    "host.kernel", finds="What a lab needs of the kernel, above all for its backend, and the kernel has not"
)
def kernel(host: Host) -> Iterator[Found]:
    """By the kernel's own configuration, where it tells it."""
    needed = dict(ALWAYS)
    if host.backend in BACKENDS:
        needed[BACKENDS[host.backend]] = f"the backend {host.backend} does not work"
    lacking = {name: what for name, what in needed.items() if host.kernel and not host.kernel.get(name)}
    if lacking:
        evidence = tuple(f"CONFIG_{name} is not set: {what}" for name, what in lacking.items())
        fix = ["# boot a kernel that has it, such as the distribution's own"]
        if BACKENDS.get(host.backend) in lacking:
            fix.append("# or take another backend in the lab file: flannel.backend")
        yield Found(HOST, f"the kernel lacks {', '.join(lacking)}", evidence, fix)


@about_host(
    "host.kernel-extras",
    severity=Severity.NOTE,
    start=False,
    finds="What the kernel has not, and only some labs or verbs need",
)
def extras(host: Host) -> Iterator[Found]:
    """Each with what its lack means."""
    useful = {
        option: f"no lab with the backend {name}" for name, option in BACKENDS.items() if name != host.backend
    }
    useful |= USEFUL
    evidence = tuple(
        f"CONFIG_{name} is not set: {what}"
        for name, what in useful.items()
        if host.kernel and not host.kernel.get(name)
    )
    if evidence:
        fix = ("# none, unless you want that: then boot a kernel that has it",)
        yield Found(HOST, "the kernel lacks what only some labs need", evidence, fix)


@about_host(
    "host.inotify",
    finds="No instance of inotify is left, without which systemd does not boot (hardly one: worth knowing)",
)
def inotify(host: Host) -> Iterator[Found]:
    """The limit counts for all machines together: their root is one user."""
    most, used = host.inotify_instances, host.inotify_used or 0
    if most is not None and most - used < FEW_INSTANCES:
        seen = f"fs.inotify.max_user_instances = {most}, of which root has {used}"
        fix = ("sysctl -w fs.inotify.max_user_instances=1024",)
        if most - used < NO_INSTANCES:
            yield Found(HOST, "inotify's limit leaves no room for another machine", (seen,), fix)
        else:
            what = "inotify's limit leaves no room for another lab"
            yield Found(HOST, what, (seen,), fix, Severity.NOTE)


@about_host("host.files", finds="The limit of open files, of all processes or of this one, is nearly reached")
def files(host: Host) -> Iterator[Found]:
    """fs.file-max, and RLIMIT_NOFILE."""
    if host.files_open is not None and host.files_max and host.files_open > FEW_FILES * host.files_max:
        seen = f"fs.file-nr: {host.files_open} of {host.files_max}"
        fix = (f"sysctl -w fs.file-max={2 * host.files_max}",)
        yield Found(HOST, "hardly another file can be opened on this host", (seen,), fix)
    if host.limit is not None and 0 <= host.limit < LEAST_FILES:
        seen = f"ulimit -n: {host.limit}"
        yield Found(HOST, "`lab` itself may open too few files", (seen,), ("ulimit -n 4096",))
