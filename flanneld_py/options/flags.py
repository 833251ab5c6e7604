"""Every flag there is: of flannel 0.5.5, of today's flannel, and our own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["COMMANDS", "FLAGS", "FROM_COMMAND_LINE_ONLY", "IDLE", "KUBERNETES", "Flag", "variable"]

Kind = Literal["string", "int", "bool", "list", "regex"]


@dataclass(frozen=True, slots=True)
class Flag:
    """`list` and `regex` may be given several times; in the environment, with commas between.

    `default` is in the spelling of the command line. `choices`, if any, are all that is allowed.
    """

    kind: Kind
    meaning: str
    default: str = ""
    choices: tuple[str, ...] = ()

    @property
    def is_bool(self) -> bool:
        """Whether it takes its value only behind an equals sign."""
        return self.kind == "bool"

    @property
    def repeats(self) -> bool:
        """Whether several of it add up; of others, the last wins."""
        return self.kind in ("list", "regex")


def _choice(meaning: str, *choices: str) -> Flag:
    return Flag("string", meaning, choices[0], choices)


FLAGS: Final[Mapping[str, Flag]] = {
    "etcd-api": _choice("etcd's API: v3, or v2, which flannel up to 0.17 used", "v3", "v2"),
    "etcd-cafile": Flag("string", "the CA certificates to verify etcd's certificate with, PEM"),
    "etcd-certfile": Flag("string", "the client certificate for etcd, PEM"),
    "etcd-endpoints": Flag(
        "string",
        "etcd endpoints, comma-separated",
        "http://127.0.0.1:4001,http://127.0.0.1:2379",
    ),
    "etcd-keyfile": Flag("string", "the key of -etcd-certfile, PEM"),
    "etcd-password": Flag("string", "the password of -etcd-username; the environment hides it better"),
    "etcd-prefix": Flag("string", "the etcd key prefix of config and subnets", "/coreos.com/network"),
    "etcd-username": Flag("string", "the etcd user name"),
    "healthz-ip": Flag("string", "the address of -healthz-port", "0.0.0.0"),  # noqa: S104
    "healthz-port": Flag("int", "the port of /healthz, /readyz, /metrics and /state; 0 for none", "0"),
    "help": Flag("bool", "print this text"),
    "iface": Flag(
        "list",
        "the interface, by name or address; by default the default route's; of several, the first that fits",
    ),
    "iface-can-reach": Flag("string", "use the interface that packets to this address leave by"),
    "iface-regex": Flag("regex", "the first interface whose address or name matches; tried after -iface"),
    "iface-wait": Flag("int", "seconds to wait for an interface that fits", "60"),
    "ip-blackhole-route": Flag("bool", "drop packets for unused addresses of our subnet", "false"),
    "ip-masq": Flag("bool", "masquerade what leaves the overlay network", "false"),
    "ip-masq-fully-random-disable": Flag("bool", "masquerade without --random-fully", "false"),
    "iptables-forward-rules": Flag("bool", "accept the overlay network in the FORWARD chain", "true"),
    "iptables-resync": Flag("int", "seconds between checks of our firewall rules", "5"),
    "listen": Flag("string", "serve leases to flanneld -remote, at this address: HOST:PORT or fd://N"),
    "log-format": _choice("log format: flannel's own (glog) or JSON objects", "glog", "json"),
    "networks": Flag("string", "the networks to join, comma-separated, each with its config in etcd"),
    "public-ip": Flag("string", "the address that other nodes reach this one by; by default the interface's"),
    "public-ipv6": Flag("string", "the same for IPv6"),
    "remote": Flag("string", "use the flanneld -listen server at HOST:PORT instead of etcd"),
    "remote-cafile": Flag("string", "the CA certificates to verify the other side with, PEM"),
    "remote-certfile": Flag("string", "the certificate for -listen or -remote, PEM"),
    "remote-keyfile": Flag("string", "the key of -remote-certfile, PEM"),
    "subnet-allocation": _choice(
        "how a new subnet is chosen among the free ones", "random", "sticky", "lowest"
    ),
    "subnet-dir": Flag("string", "with -networks: directory of NETWORK.env files", "/run/flannel/networks"),
    "subnet-file": Flag("string", "the file to write subnet and MTU to", "/run/flannel/subnet.env"),
    "subnet-lease-renew-margin": Flag(
        "int", "minutes before expiry at which a lease is renewed, 1 to 1439", "60"
    ),
    "udp-fast-path": _choice(
        "udp: forward packets in the kernel with BPF: where possible, never, or fail to start without it",
        "auto", "off", "require",
    ),
    "udp-offloads": _choice("udp: many packets per system call where the kernel can", "auto", "off"),
    "udp-source-check": _choice(
        "udp: accept packets only from the node that holds their source", "on", "off"
    ),
    "v": Flag("int", "log verbosity: 0, 1 or 2", "0"),
    "version": Flag("bool", "print the version"),
    "vxlan-source-check": _choice("vxlan: accept packets only from machines that hold a lease", "on", "off"),
    "vxlan-tx-checksum": _choice("vxlan: leave transmit checksums to the network card", "auto", "on", "off"),
}  # fmt: skip

IDLE: Final[Mapping[str, tuple[Kind, str]]] = {
    "alsologtostderr": ("bool", ""),
    "log_backtrace_at": ("string", "-v=1 shows where an error came from"),
    "log_dir": ("string", "the log goes to standard error: redirect that"),
    "logtostderr": ("bool", ""),
    "stderrthreshold": ("string", "the whole log goes to standard error"),
    "vmodule": ("string", "-v is for all modules"),
}
"""glog's own flags, which unit files carry: taken, so that these still work; and what does the work.

The log goes to standard error anyway: nothing is to be said of two of them.
"""

KUBERNETES: Final[Mapping[str, tuple[Kind, str]]] = {
    "kube-annotation-prefix": ("string", "leases are keys in etcd: use -etcd-prefix"),
    "kube-api-url": ("string", "leases are kept in etcd: use -etcd-endpoints"),
    "kube-subnet-mgr": (
        "bool", "leases are kept in etcd, not in Kubernetes: leave it out and use -etcd-endpoints",
    ),
    "kubeconfig-file": (
        "string", "to get into etcd, use -etcd-certfile and -etcd-keyfile, or -etcd-username",
    ),
    "net-config-path": (
        "string", "the network configuration is the key config below -etcd-prefix in etcd",
    ),
    "set-node-network-unavailable": (
        "bool", "there is no Kubernetes node to mark: use -healthz-port and ask for /readyz",
    ),
}  # fmt: skip
"""Flags of flannel's Kubernetes side, which is not here: refused, with what to use instead."""

FROM_COMMAND_LINE_ONLY: Final = frozenset({"help", "version"})

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "check-config": ("FILE|-", "validate a network configuration and show what it results in"),
    "leases": ("[--json]", "list the leases"),
    "cleanup": ("", "remove the devices, routes and rules that flanneld left behind"),
}
"""The only words that are commands, with their arguments and what they do."""


def variable(name: str) -> str:
    """The environment variable of a flag."""
    return "FLANNELD_" + name.upper().replace("-", "_")
