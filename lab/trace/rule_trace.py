"""The kernel's own trace of a machine's rules (nft(8), `monitor trace`): asking for it, and reading it. Pure.

A table of ours marks probes for it, before any other table sees them. From then on the kernel tells, rule by
rule, what becomes of them (linux/netfilter/nf_tables.h, enum nft_trace_attributes).
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.packet_filter import Chain, Drop, Ruleset
from lab.trace.marks import Kind, Marks
from lab.trace.packet import HEADER, Address

__all__ = ["Ended", "drop_of", "read", "scripts"]

NFT_MSG_TRACE = 10 << 8 | 17
"""NFNL_SUBSYS_NFTABLES, and the message's number there."""

TABLE, CHAIN, HANDLE, TYPE, VERDICT, ID, NETWORK, TRANSPORT, POLICY = 1, 2, 3, 4, 5, 6, 8, 9, 16
"""NFTA_TRACE_*."""

NFTA_VERDICT_CODE = 1
OF_A_POLICY, OF_A_RULE = 1, 3
"""NFT_TRACETYPE_*."""

FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6"}
"""NFPROTO_* of linux/netfilter.h."""

ENDS: Mapping[int, Literal["drops", "takes", "hands on"]] = {0: "drops", 2: "takes", 3: "hands on"}
"""What ends a packet's way: NF_DROP, NF_STOLEN (fwd), NF_QUEUE, which a process decides of."""

CARRIERS = (17, 4, 41)
"""Protocols of what a tunnel sends (IANA): the kernel tells too little of it to know whose it is."""


def scripts(rules: Ruleset, devices: Iterable[str], marks: Marks) -> Sequence[str]:
    """What nft is given so that the kernel tells of marked packets: a table for each family that has rules.

    None where there are none that could drop a packet.
    """
    found = []
    layers = {"inet": ("ip", "ip6", "inet"), "bridge": ("bridge",)}
    for family, of in layers.items():
        chains = [it for it in rules.chains if it.hook and it.family in of and not it.of_a_device]
        if chains:
            bases = [_base(hook, f"hook {hook}", chains) for hook in ("prerouting", "output")]
            found.append(_table(family, bases, marks))
    bases = []
    for hook in ("ingress", "egress"):
        chains = [it for it in rules.chains if it.hook == hook]
        there = sorted(name for name in devices if any(it.at_device(name) for it in chains))
        if there:
            named = ", ".join(f'"{name}"' for name in there)
            bases.append(_base(hook, f"hook {hook} devices = {{ {named} }}", chains))
    if bases:
        found.append(_table("netdev", bases, marks))
    return found


def _base(name: str, where: str, before: Iterable[Chain]) -> str:
    priority = min(chain.priority for chain in before) - 1
    return f"chain {name} {{\ntype filter {where} priority {priority}; policy accept;\njump look\n}}\n"


def _table(family: str, bases: Iterable[str], marks: Marks) -> str:
    words = ", ".join(f"{word:#x}" for word in marks.values())
    look = "".join(f"@nh,{at * 8},32 {{ {words} }} meta nftrace set 1\n" for at in marks.offsets())
    chains = f"chain look {{\n{look}}}\n" + "".join(bases)
    return f"table {family} {_name(marks)} {{\nflags owner\n{chains}}}\n"


def _name(marks: Marks) -> str:
    """Another one for each trace."""
    return f"lab-trace-{marks.mark:08x}"


@dataclass(frozen=True, slots=True)
class Ended:
    """A marked packet's end in a table, as the kernel has told it."""

    machine: str
    namespace: str
    family: str
    table: str
    chain: str
    handle: int | None
    """The rule's; None for the chain's policy."""
    base: str
    """The chain that it came from, which has the hook."""
    how: str
    """drops, takes, hands on."""
    source: Address
    """Of the packet itself: a tunnel's datagram, perhaps."""
    destination: Address
    kind: Kind | None = None
    """None for what carries a probe or an answer."""
    number: int | None = None


def read(machine: str, namespace: str, told: Iterable[str], marks: Marks) -> Iterator[Ended]:
    """Where marked packets have ended, from the kernel's messages."""
    packets: dict[bytes, tuple[bytes, str]] = {}
    """By what the kernel names them, which changes from hook to hook: their headers, and the base chain."""
    carriers: set[tuple[Address, Address, bytes]] = set()
    """What our table has had followed and bears no number: others may ask for such a trace, too."""
    for text in told:
        for family, about in _messages(bytes.fromhex(text)):
            table, chain = _text(about[TABLE]), _text(about[CHAIN])
            if NETWORK in about:  # the first message from a base chain
                packets[about[ID]] = about[NETWORK] + about.get(TRANSPORT, b""), chain
            data, base = packets.get(about[ID], (b"", chain))
            found, how = marks.known(data), ENDS.get(_verdict(about))
            if found is None:
                continue
            source, destination, protocol, known = found
            flow = source, destination, data[HEADER[source.version] :]
            if table == _name(marks) and protocol in CARRIERS:
                carriers.add(flow)
            if how and (known is not None or flow in carriers):
                handle = int.from_bytes(about[HANDLE]) if _number(about[TYPE]) == OF_A_RULE else None
                kind, number = known or (None, None)
                yield Ended(
                    machine, namespace, FAMILIES.get(family, "?"), table, chain, handle, base, how,
                    source, destination, kind, number,
                )  # fmt: skip


def _messages(data: bytes) -> Iterator[tuple[int, Mapping[int, bytes]]]:
    """The messages of a datagram that are of a trace: family, and attributes (struct nlmsghdr, nfgenmsg)."""
    while len(data) >= 20:
        length, kind = struct.unpack_from("=IH", data)
        if kind == NFT_MSG_TRACE:
            yield data[16], _attributes(data[20:length])
        data = data[max(20, length + 3 & ~3) :]


def _attributes(data: bytes) -> Mapping[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]  # NLA_TYPE_MASK
        data = data[max(4, length + 3 & ~3) :]
    return found


def _verdict(about: Mapping[int, bytes]) -> int:
    """NF_*, or what nftables has below zero for jumps and the like."""
    if _number(about[TYPE]) == OF_A_POLICY:
        return _number(about[POLICY])
    if _number(about[TYPE]) != OF_A_RULE:
        return -1
    code = int.from_bytes(_attributes(about[VERDICT])[NFTA_VERDICT_CODE], signed=True)
    return code & 0xFF if code >= 0 else code  # NF_VERDICT_MASK: a queue's number is above it


def _number(data: bytes) -> int:
    return int.from_bytes(data)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def drop_of(ended: Ended, rules: Ruleset) -> tuple[str, Drop] | None:
    """The hook, and the rule or policy, as a machine's tables have it; None where they no longer do."""
    of = [it for it in rules.chains if (it.family, it.table) == (ended.family, ended.table)]
    hook = next((it.hook for it in of if it.name == ended.base), "")
    chain = next((it for it in of if it.name == ended.chain), None)
    if chain is None:
        return None
    if ended.handle is None:
        return hook, Drop(chain, None)
    rule = next((it for it in chain.rules if it.handle == ended.handle), None)
    return (hook, Drop(chain, rule)) if rule is not None else None
