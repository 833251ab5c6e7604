"""What the lab's containers are given of their host, and why: the one place where that is decided. Pure.

None is a security boundary (docs/lab.md, What confines a machine). Each is given the least that it works
with; `/proc` and `/sys` stay as the engine makes them, and lab-proc opens the settings of a machine's own
namespaces.
"""

from dataclasses import replace

from lab.engine import Confinement

__all__ = ["EVERYTHING", "MACHINE", "SANDBOX", "SEED_MAKER"]

# Docker's seccomp filter and AppArmor profile deny mounts and unshare(2), whatever the capabilities say.
UNFILTERED = ("seccomp=unconfined", "apparmor=unconfined")

MACHINE = Confinement(
    # SYS_ADMIN: mounts, for systemd and dockerd. NET_ADMIN: flanneld's devices and routes.
    # SYS_PTRACE: `docker exec` in the inner engine enters another process's namespaces.
    capabilities=("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"),
    # flannel0, with udp.
    devices=("/dev/net/tun",),
    security=UNFILTERED,
    # Set while the engine makes the namespace: before any program of the machine runs.
    sysctls={"net.ipv4.ip_forward": "1"},
    # systemd wants /run to be memory, and both to be empty after a reboot.
    tmpfs=("/run", "/tmp"),  # noqa: S108 - the machine's, not ours
)
"""One that is a whole machine: systemd, etcd, flanneld, an engine with pods in it."""

EVERYTHING = replace(MACHINE, privileged=True)
"""A machine of a lab file with `privileged: true`."""

SEED_MAKER = Confinement(
    # SYS_ADMIN: layers are mounted while an image is loaded. NET_ADMIN: dockerd will not start without.
    capabilities=("SYS_ADMIN", "NET_ADMIN"),
    security=UNFILTERED,
    tmpfs=("/run", "/tmp"),  # noqa: S108 - the container's, not ours
)
"""The engine that fills the seed volume; no pod ever runs in it."""

SANDBOX = Confinement(
    # SYS_ADMIN: network namespaces, which stand in for machines, and BPF programs. NET_ADMIN: all in them.
    capabilities=("SYS_ADMIN", "NET_ADMIN"),
    devices=("/dev/net/tun",),
    security=UNFILTERED,
    # Namespaces' names are mounts below /run/netns.
    tmpfs=("/run",),
)
"""One without any network, in which namespaces are machines: measurements, and the tests of the daemon."""
