"""Reading the output of `ip`, `bridge`, etcd, ping and mysql into values. Pure."""

import base64
import json
import re
from ipaddress import IPv4Network, IPv6Network

from lab.errors import LabError
from lab.observe.model import Lease, Link, Login, Output, Ping
from lab.spec.segment import Family

__all__ = [
    "parse_environment",
    "parse_fdb",
    "parse_leases",
    "parse_leases_v2",
    "parse_links",
    "parse_login",
    "parse_neighbours",
    "parse_ping",
    "parse_routes",
    "parse_routes6",
    "subnets_of_key",
]

KEY = re.compile(r"(\d+\.\d+\.\d+\.\d+)-(\d+)(?:&([0-9a-f:]+)-(\d+))?")

OF_IPV6 = re.compile(r" (metric \d+|pref \w+|linkdown)\b")
"""What `ip -6 route` says of every route, whoever made it."""

OF_THE_LINK = re.compile(r"fe80::|multicast |anycast |[0-9a-f:]+ dev \S+ proto kernel$")
"""Routes of the kernel's own: of each device's link, and to an address that a device has for itself."""


def parse_links(text: str) -> dict[str, Link]:
    """The devices, by name, from `ip -json address show`. Raises `LabError`."""
    try:
        return {
            item["ifname"]: Link(
                name=item["ifname"],
                up="UP" in item["flags"],
                mtu=item["mtu"],
                queue=item.get("txqlen"),
                addresses=tuple(
                    f"{address['local']}/{address['prefixlen']}"
                    for address in item.get("addr_info", ())
                    if address.get("family") == "inet"
                ),
                mac=item.get("address", ""),
                addresses6=tuple(
                    f"{address['local']}/{address['prefixlen']}"
                    for address in item.get("addr_info", ())
                    if address.get("family") == "inet6" and address.get("scope") == "global"
                ),
            )
            for item in json.loads(text)
            if item  # with an address family given, ip prints {} for each device that has none
        }
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"reading the output of ip -json address: {error!r}; it said: {text[:200]}") from error


def parse_neighbours(text: str) -> tuple[tuple[str, str], ...]:
    """The entries that do not time out, from `ip -4 -json neighbour`: device, and "ADDRESS MAC"."""
    try:
        return tuple(
            (item["dev"], f"{item['dst']} {item['lladdr']}")
            for item in json.loads(text)
            if {"PERMANENT", "NOARP"} & set(item["state"]) and "lladdr" in item
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"reading the output of ip neighbour: {error!r}; it said: {text[:200]}") from error


def parse_fdb(text: str) -> tuple[tuple[str, str], ...]:
    """The entries to a peer that do not time out, from `bridge -json fdb`: device, and "MAC ADDRESS"."""
    try:
        return tuple(
            (item["ifname"], f"{item['mac']} {item['dst']}")
            for item in json.loads(text)
            if "dst" in item
            and (item.get("state") in {"permanent", "static"} or "extern_learn" in item.get("flags", ()))
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"reading the output of bridge fdb: {error!r}; it said: {text[:200]}") from error


def parse_routes(text: str) -> tuple[str, ...]:
    """The lines of `ip -4 route`; a bridge without a port adds "linkdown", which is not part of it."""
    return tuple(line.strip().removesuffix(" linkdown").strip() for line in text.splitlines() if line.strip())


def parse_routes6(text: str) -> tuple[str, ...]:
    """The lines of `ip -6 route`, as those of IPv4 are: without metric, preference and the kernel's own."""
    lines = (OF_IPV6.sub("", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not OF_THE_LINK.match(line))


def parse_environment(text: str) -> dict[str, str]:
    """The NAME=VALUE lines of a file such as subnet.env."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def subnets_of_key(key: str) -> tuple[IPv4Network | None, IPv6Network | None]:
    """Those of `/coreos.com/network/subnets/10.2.35.0-24`, or `10.2.35.0-24&2001:cafe:42:7::-64`.

    An overlay of IPv6 alone has `0.0.0.0-0` in the first place. None for what names no subnet.
    """
    match = KEY.fullmatch(key.rpartition("/")[2])
    if match is None:
        return None, None
    try:
        ipv4 = IPv4Network(f"{match[1]}/{match[2]}")
        ipv6 = IPv6Network(f"{match[3]}/{match[4]}") if match[3] else None
    except ValueError:
        return None, None
    return (None if ipv6 is not None and not ipv4.prefixlen else ipv4), ipv6


def _lease(key: str, value: str, ttl: int) -> Lease:
    subnet, subnet6 = subnets_of_key(key)
    return Lease(key, subnet, value, ttl, subnet6)


def parse_leases(text: str) -> tuple[Lease, ...]:
    """The keys below PREFIX/subnets/, from the JSON of `etcdctl get` with a `ttl` for each etcd lease.

    Raises `LabError`.
    """
    try:
        document = json.loads(text)
        leases = []
        for item in document.get("kvs", ()):
            key = base64.b64decode(item["key"]).decode(errors="replace")
            value = base64.b64decode(item.get("value", "")).decode(errors="replace")
            ttl = document["ttl"][str(item["lease"])] if item.get("lease") else -1
            leases.append(_lease(key, value, ttl))
        return tuple(leases)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"reading the leases from etcdctl: {error!r}; it said: {text[:200]}") from error


def parse_leases_v2(text: str) -> tuple[Lease, ...]:
    """The keys below PREFIX/subnets, from the answer of etcd's v2 API to a GET of it. Raises `LabError`."""
    try:
        document = json.loads(text)
        if document.get("errorCode") == 100:  # EcodeKeyNotFound of etcd's v2 API
            return ()
        return tuple(
            _lease(item["key"], item.get("value", ""), item.get("ttl", -1))
            for item in document["node"].get("nodes", ())
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"reading the leases from etcd's v2 API: {error!r}; it said: {text[:200]}") from error


def parse_ping(client: str, server: str, output: Output, family: Family = 4) -> Ping:
    """The answer that ping printed."""
    answer = re.search(r"\bttl=(\d+)", output.stdout)
    if output.exit_code != 0 or answer is None:
        lost = re.search(r".*packet loss.*", output.stdout)
        return Ping(client, server, None, lost[0] if lost else output.error, family)
    return Ping(client, server, int(answer[1]), "", family)


def parse_login(client: str, server: str, way: str, output: Output) -> Login:
    """What a client printed: @@hostname, VERSION() and USER(), separated by tabs."""
    fields = output.stdout.strip().split("\t")
    if output.exit_code != 0 or len(fields) != 3:
        return Login(client, server, way, "", "", output.error)
    return Login(client, server, way, fields[0], fields[1], "", fields[2].rpartition("@")[2])
