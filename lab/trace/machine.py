"""What machines say of themselves when a way through them is traced: their tables, read. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from lab.packet_filter import Ruleset, parse_ruleset
from lab.trace.packet import Address

__all__ = [
    "Filter",
    "Holder",
    "Link",
    "Listener",
    "Machine",
    "Namespace",
    "Neighbour",
    "Qdisc",
    "parse_machine",
]


@dataclass(frozen=True, slots=True)
class Link:
    """A network device."""

    index: int
    name: str
    kind: str
    """As `ip link add ... type` has it: veth, bridge, vxlan, tun; empty for a real card."""
    up: bool
    """IFF_UP and IFF_LOWER_UP of linux/if.h."""
    mtu: int
    mac: str = ""
    master: str = ""
    """The bridge that it is a port of."""
    peer: int = 0
    """veth: the other end's index, where that is in another namespace."""
    peer_name: str = ""
    """Its name, where that is in the same one."""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    xdp: str = ""
    """Its XDP program's name; empty where there is none, `?` where that has no name."""
    vni: int = 0
    port: int = 0
    """vxlan: of the outer datagrams."""
    carried: int = 0
    """vxlan: the version of IP that carries them; 0 where the device has no address for that."""

    def has(self, address: Address) -> bool:
        """Whether an address is one of its own."""
        return any(own.ip == address for own in self.addresses)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Which MAC address a neighbour has (ip-neighbour(8))."""

    device: str
    address: str
    mac: str
    state: str


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A queueing discipline."""

    device: str
    kind: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        # What says how much: netem's and tbf's words, whatever their units.
        told = {key: value for key, value in self.options.items() if not isinstance(value, list | bool)}
        words = " ".join(f"{key} {_flat(value)}" for key, value in told.items())
        return f"qdisc {self.kind}" + (f" ({words})" if words else "")


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_flat(item)}" for key, item in value.items())
    return str(value)


@dataclass(frozen=True, slots=True)
class Filter:
    """A classifier of tc(8) at a place of a device: ingress, egress or root."""

    device: str
    place: str
    preference: int
    protocol: str
    kind: str
    keys: tuple[tuple[int, int, int], ...]
    """u32: value, mask and offset from the IP header, each of 32 bits."""
    comes_from: str
    """Only what came in by this device; empty for any."""
    action: str
    """redirect, mirror, drop, pass, or what tc calls it."""
    target: str = ""
    """Where to: a device."""
    inwards: bool = False
    """Whether that device gets it as if it had received it."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes what anybody sends to its port."""

    protocol: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Holder:
    """The process behind a TUN or TAP device."""

    pid: int
    name: str
    state: str
    """One letter of proc_pid_stat(5)."""

    @property
    def stands_still(self) -> bool:
        """Stopped by a signal or a debugger."""
        return self.state in "Tt"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace of a machine: its own, or a container's."""

    machine: str
    name: str
    """Empty for the machine's own, else the container's or pod's."""
    links: Mapping[str, Link]
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[tuple[str, str, str], ...] = ()
    """Device, MAC address, and the machine that it is behind."""
    qdiscs: tuple[Qdisc, ...] = ()
    filters: tuple[Filter, ...] = ()
    ruleset: Ruleset = field(default_factory=Ruleset)
    settings: Mapping[str, int] = field(default_factory=dict)
    """By path below /proc/sys/net."""
    listeners: tuple[Listener, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    """The tables that could not be read, and why."""
    pid: int = 0
    """A process of a container in it; 0 for a machine's own."""
    inode: int = 0
    """By which the kernel tells it from others."""
    lab: str = ""
    """The option that names the lab in a command, with a blank before it; empty where none is needed."""

    @property
    def title(self) -> str:
        """For a person."""
        return self.name or self.machine

    @property
    def addresses(self) -> frozenset[Address]:
        """All of its own."""
        return frozenset(it.ip for link in self.links.values() for it in link.addresses)

    def with_address(self, address: Address) -> Link | None:
        """The device that has it."""
        return next((link for link in self.links.values() if link.has(address)), None)

    def by_index(self, index: int) -> Link | None:
        """The device of that number."""
        return next((link for link in self.links.values() if link.index == index), None)

    def neighbour(self, device: str, address: Address) -> Neighbour | None:
        """What it knows of one."""
        wanted = str(address)
        return next((it for it in self.neighbours if (it.device, it.address) == (device, wanted)), None)

    def setting(self, path: str, device: str = "") -> int | None:
        """A setting, of a device where the path has `*`."""
        return self.settings.get(path.replace("*", device))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and its namespaces, by name; the empty one is its own."""

    name: str
    boot: str
    """The same for all that share a kernel, and so a clock."""
    namespaces: Mapping[str, Namespace]
    holders: Mapping[str, Holder] = field(default_factory=dict)
    """By device, whatever namespace that is in."""

    @property
    def own(self) -> Namespace:
        """Its own namespace."""
        return self.namespaces[""]


def parse_machine(
    name: str, told: Mapping[str, Any], lab: str = "", pids: Mapping[str, int] | None = None
) -> Machine:
    """What the program on a machine answers to `state`. Raises `ValueError` or `KeyError`."""
    return Machine(
        name=name,
        boot=told["machine"]["boot"],
        namespaces={
            inside: replace(_namespace(name, inside, tables), lab=lab, pid=(pids or {}).get(inside, 0))
            for inside, tables in told["namespaces"].items()
        },
        holders={
            item["device"]: Holder(item["pid"], item["name"], item["state"])
            for item in told["machine"]["holders"]
        },
    )


def _namespace(machine: str, name: str, tables: Mapping[str, Any]) -> Namespace:
    return Namespace(
        machine=machine,
        name=name,
        links={link.name: link for link in map(_link, _items(tables["links"]))},
        neighbours=tuple(map(_neighbour, _items(tables["neighbours"]))),
        fdb=tuple((it["ifname"], it["mac"], it["dst"]) for it in _items(tables["fdb"]) if "dst" in it),
        qdiscs=tuple(_qdisc(item) for item in _items(tables["qdiscs"]) if item.get("root")),
        filters=tuple(it for place in tables["filters"] for it in _filters(place)),
        ruleset=parse_ruleset(tables),
        settings=tables["settings"],
        listeners=tuple(Listener(it["protocol"], it["address"], it["port"]) for it in tables["listeners"]),
        missing=tables["missing"],
        inode=tables["inode"],
    )


def _items(text: str) -> Sequence[Mapping[str, Any]]:
    # ip prints an empty object for each item that it leaves out.
    return [item for item in json.loads(text or "[]") if item]


def _link(item: Mapping[str, Any]) -> Link:
    info = item.get("linkinfo", {})
    data = info.get("info_data", {})
    flags = item["flags"]
    program = item.get("xdp", {}).get("prog")
    return Link(
        index=item["ifindex"],
        name=item["ifname"],
        kind=info.get("info_kind", ""),
        up="UP" in flags and "NO-CARRIER" not in flags,
        mtu=item["mtu"],
        mac=item.get("address", "") if item.get("link_type") == "ether" else "",
        master=item.get("master", ""),
        peer=item.get("link_index", 0),
        peer_name=item.get("link", "") if info.get("info_kind") == "veth" else "",
        addresses=tuple(
            ip_interface(f"{own['local']}/{own['prefixlen']}")
            for own in item.get("addr_info", ())
            if "local" in own
        ),
        xdp="" if program is None else program.get("name", "?"),
        vni=data.get("id", 0),
        port=data.get("port", 0),
        carried=4 if "local" in data else 6 if "local6" in data else 0,
    )


def _neighbour(item: Mapping[str, Any]) -> Neighbour:
    return Neighbour(item["dev"], item["dst"], item.get("lladdr", ""), " ".join(item.get("state", ())))


def _qdisc(item: Mapping[str, Any]) -> Qdisc:
    return Qdisc(item["dev"], item["kind"], item.get("options", {}))


def _filters(place: Mapping[str, str]) -> Iterator[Filter]:
    # tc gives an object several members `match`, one for each key.
    for pairs in json.loads(place["text"] or "[]", object_pairs_hook=list):
        item = dict(pairs)
        options = item.get("options", [])
        named = dict(options)
        keys = tuple(_keys(options))
        if item["kind"] == "u32" and not keys:
            continue  # the hash table that it is in
        actions = [dict(action) for action in named.get("actions", ())]
        action, target, inwards = _action(actions)
        yield Filter(
            place["device"],
            place["place"],
            item["pref"],
            item["protocol"],
            item["kind"],
            keys,
            named.get("input_dev", ""),
            action,
            target,
            inwards,
        )


def _keys(options: Iterable[tuple[str, Any]]) -> Iterator[tuple[int, int, int]]:
    for name, value in options:
        if name == "match":
            key = dict(value)
            yield int(key["value"], 16), int(key["mask"], 16), key["off"]


def _action(actions: Sequence[Mapping[str, Any]]) -> tuple[str, str, bool]:
    for action in actions:
        if action["kind"] == "mirred":
            kind = action.get("mirred_action", "redirect")
            return kind, action["to_dev"], action.get("direction") == "ingress"
        if action["kind"] == "gact":
            control = dict(action.get("control_action", ()))
            return str(control.get("type", "pass")), "", False
        return str(action["kind"]), "", False
    return "pass", "", False
