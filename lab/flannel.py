"""What flannels of different ages do differently, where one can see it from outside. Pure.

The versions are those of flannel's own history: the first release that has the change.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal

__all__ = [
    "OURS",
    "Dialect",
    "EtcdApi",
    "Version",
    "dialect_of",
    "etcd_api_of",
    "monitor_url",
    "our_dialect",
    "parse_version",
    "wrong_store",
]

EtcdApi = Literal["v2", "v3"]
"""Which of etcd's two stores flannel's keys are in; etcd keeps them apart."""

Version = tuple[int, int]
"""Major and minor: (0, 20) for v0.20.2."""

ETCD_V3 = (0, 18)
"""The first flannel with etcd's v3 API, and the first without v2."""

TODAY = (1, 0)
"""Later than any change that is known here."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one flanneld writes its lease and sets up its devices."""

    public_ipv6: bool
    """The lease's value has `PublicIPv6` (0.15)."""
    vni: bool
    """vxlan: the lease's value has the `VNI` (0.11)."""
    udp_network: bool
    """udp: flannel0's address has the Network's length, so that the kernel makes the route (before 0.11)."""
    vxlan_static: bool
    """vxlan: route, neighbour and FDB entry stand for each peer (0.9); before, peers were looked up when a
    packet for them came, and the device's address had the Network's length."""
    fdb_clean: bool = False
    """vxlan: no FDB entry stays of a MAC that a peer had before its reboot. No flannel so far removes it."""
    wireguard_by_peer: bool = False
    """wireguard: a route for each peer's subnet. flannel has one for the whole Network."""
    ipip_always_onlink: bool = True
    """ipip: a route that DirectRouting leads past the tunnel is onlink, too."""
    ipv6_header: bool = False
    """vxlan: the MTU leaves room for IPv6's header, which is the longer one. flannel reckons with IPv4's."""


OURS = Dialect(
    public_ipv6=True,
    vni=True,
    udp_network=True,
    vxlan_static=True,
    fdb_clean=True,
    wireguard_by_peer=True,
    ipip_always_onlink=False,
    ipv6_header=True,
)
"""flanneld_py: the tutorial's flannel0, and everything else as flannel has it today."""


def parse_version(said: str) -> Version | None:
    """The version that a program prints for `-version`, if it is as flannel prints it: 0.5.5, v0.20.2."""
    numbers = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)([-+][\w.+-]*)?", said.strip())
    return (int(numbers[1]), int(numbers[2])) if numbers is not None else None


def etcd_api_of(version: Version | None) -> EtcdApi:
    """The API that a flannel of this version speaks; today's, if it is no flannel's."""
    return "v2" if version is not None and version < ETCD_V3 else "v3"


def dialect_of(version: Version | None) -> Dialect:
    """How a genuine flannel of this version does it; today's, if it is no flannel's."""
    age = version or TODAY
    return Dialect(
        public_ipv6=age >= (0, 15),
        vni=age >= (0, 11),
        udp_network=age < (0, 11),
        vxlan_static=age >= (0, 9),
    )


def our_dialect(api: EtcdApi) -> Dialect:
    """How flanneld_py does it: in the v2 store as the flannels of that time, which read what it writes."""
    return OURS if api == "v3" else replace(OURS, public_ipv6=False, vni=False)


def wrong_store(said: str, api: EtcdApi) -> str:
    """A hint, if a flannel that says this for `-version` cannot read the store that a lab has its keys in.

    Else it is empty.
    """
    version = parse_version(said)
    speaks = etcd_api_of(version)
    if version is None or speaks == api:
        return ""
    return (
        f"Its -version says {said.strip()}: if that is flannel's, it speaks etcd's {speaks} API only, and "
        f"the lab file needs flannel.etcdApi: {speaks}"
    )


def monitor_url(options: Sequence[str]) -> str:
    """Where a flanneld with these options answers to HTTP from its own machine (`-healthz-port`), or ""."""
    port, address = _value("healthz-port", options) or "0", _value("healthz-ip", options) or "0.0.0.0"  # noqa: S104
    if port == "0":
        return ""
    try:
        ip = ip_address(address)
    except ValueError:
        return ""
    if ip.is_unspecified:
        return f"http://{'127.0.0.1' if ip.version == 4 else '[::1]'}:{port}"
    return f"http://{ip}:{port}" if ip.version == 4 else f"http://[{ip}]:{port}"


def _value(name: str, options: Sequence[str]) -> str | None:
    """The last value of an option, written -NAME=VALUE or in two words, with one dash or two."""
    found = None
    for number, word in enumerate(options):
        flag, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and flag == name:
            following = options[number + 1] if number + 1 < len(options) else None
            found = value if equals else following
    return found
