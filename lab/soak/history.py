"""What became of leases and subnets in a round, from what machines have written down. Pure."""

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from itertools import pairwise, zip_longest

from lab.observe.parse import parse_environment, subnets_of_key
from lab.soak.records import ETCD, KERNEL, SUBNET_ENV, Line, spoken
from lab.soak.spans import Span, without

__all__ = ["Acting", "Change", "Said", "acting", "changes", "devices", "holder_of", "said"]

ADDRESS = re.compile(r"\[ADDR\](Deleted )?\d+: (\S+)\s+inet (\d+\.\d+\.\d+\.\d+)")
"""A line of `ip -o monitor label`."""

LINK = re.compile(r"\[LINK\](Deleted )?\d+: ([^:@]+)[^<]*<([^>]*)>")

V2_CHANGE = re.compile(r"\[(\w+)\] (\S+)")
"""The line of `etcdctl watch` before the value, with etcd's v2 API."""

V2_GONE = frozenset({"delete", "expire", "compareAndDelete"})
"""Its actions after which a key is there no more."""


@dataclass(frozen=True, slots=True)
class Change:
    """A key below flannel's prefix was written, or deleted."""

    at: float
    """When etcd told it."""
    key: str
    value: str | None
    """None: it is gone."""
    revision: int = 0
    """etcd's; 0 where the v2 store's was not asked for."""

    @property
    def subnet(self) -> IPv4Address | None:
        """The first address of the IPv4 subnet that the key names, if it names one."""
        network, _ = subnets_of_key(self.key)
        return network.network_address if network else None

    @property
    def holder(self) -> str | None:
        """The address of the machine that holds the lease, if the value says one."""
        return holder_of(self.value)


@dataclass(frozen=True, slots=True)
class Said:
    """What a file or a URL had to say for so long."""

    span: Span
    text: str | None
    """None: nothing, or it was not there."""


@dataclass(frozen=True, slots=True)
class Acting:
    """The subnet that a machine used for so long."""

    span: Span
    subnet: IPv4Address


def holder_of(value: str | None) -> str | None:
    """The PublicIP of a lease's value."""
    try:
        found = json.loads(value or "")
    except ValueError:
        return None
    address = found.get("PublicIP") if isinstance(found, dict) else None
    return address if isinstance(address, str) else None


def changes(lines: Sequence[Line]) -> list[Change]:
    """The history of etcd's keys: of several members' words about a change, the first."""
    found: dict[tuple[object, ...], Change] = {}
    for node in dict.fromkeys(line.node for line in lines if line.source == ETCD):
        own = spoken(lines, node, ETCD)
        for number, change in enumerate([*_of_json(own), *_of_v2(own)]):
            known = (change.revision, change.key) if change.revision else (number, change.key, change.value)
            if known not in found or change.at < found[known].at:
                found[known] = change
    return sorted(found.values(), key=lambda change: (change.at, change.revision))


def _of_json(lines: Iterable[Line]) -> Iterator[Change]:
    """`etcdctl watch --write-out=json`, and `etcdctl --output=json watch` of v2: an answer in each line."""
    for line in lines:
        try:
            answer = json.loads(line.text or "")
        except ValueError:
            continue
        if not isinstance(answer, dict):
            continue
        for event in answer.get("Events") or ():
            pair = event["kv"]
            gone = event.get("type") == 1
            value = None if gone else _decoded(pair.get("value", ""))
            yield Change(line.at, _decoded(pair["key"]), value, int(pair["mod_revision"]))
        match answer:
            case {"action": action, "node": {"key": str(key), "modifiedIndex": int(index)} as node}:
                yield Change(line.at, key, None if action in V2_GONE else node.get("value", ""), index)


def _of_v2(lines: Sequence[Line]) -> Iterator[Change]:
    """`etcdctl watch --forever --recursive`: the action and the key, then the value in a line of its own."""
    for line, after in pairwise([*lines, Line(0.0, "", "", "")]):
        if (action := V2_CHANGE.fullmatch(line.text or "")) is None:
            continue
        gone = action[1] in V2_GONE
        value = after.text if V2_CHANGE.fullmatch(after.text or "") is None else ""
        yield Change(line.at, action[2], None if gone else value)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def devices(lines: Sequence[Line], node: str) -> set[str]:
    """Every device that a machine was seen to have."""
    seen = (LINK.match(line.text or "") for line in spoken(lines, node, KERNEL))
    return {found[2] for found in seen if found is not None and not found[1]}


def said(lines: Sequence[Line], end: float) -> list[Said]:
    """What a file or a URL had to say, for how long."""
    return [
        Said(Span(line.at, after.at if after else end), line.text)
        for line, after in zip_longest(lines, lines[1:])
    ]


def acting(
    lines: Sequence[Line], node: str, device: str | None, end: float, ready: Sequence[Said]
) -> list[Acting]:
    """The subnet that a machine used: of the address of flannel's device, or else of its subnet.env.

    A device that is not there uses none; nor does a flanneld that says that it is not ready.
    """
    moments = list(_of_device(lines, node, device) if device else _of_environment(lines, node))
    idle = [item.span for item in ready if item.text is not None and not item.text.startswith("200")]
    used: list[Acting] = []
    for (at, subnet), after in zip_longest(moments, moments[1:]):
        stop = after[0] if after else end
        if used and subnet == used[-1].subnet and at == used[-1].span.end:
            used[-1] = Acting(Span(used[-1].span.begin, stop), used[-1].subnet)
        elif subnet is not None:
            used.append(Acting(Span(at, stop), subnet))
    before = Span(-math.inf, 0.0)  # the round has not begun, and nothing is known of leases
    return [Acting(span, item.subnet) for item in used for span in without([item.span], [before, *idle])]


def _of_device(lines: Sequence[Line], node: str, device: str) -> Iterator[tuple[float, IPv4Address | None]]:
    held: list[IPv4Address] = []
    for line in spoken(lines, node, KERNEL):
        text = line.text or ""
        if (found := ADDRESS.match(text)) is not None and found[2] == device:
            address = IPv4Address(found[3])
            held = [item for item in held if item != address] + ([] if found[1] else [address])
        elif (gone := LINK.match(text)) is not None and gone[2] == device and gone[1]:
            held = []
        else:
            continue
        yield line.at, held[-1] if held else None


def _of_environment(lines: Sequence[Line], node: str) -> Iterator[tuple[float, IPv4Address | None]]:
    for line in spoken(lines, node, SUBNET_ENV):
        subnet = parse_environment(line.text or "").get("FLANNEL_SUBNET", "")
        try:
            yield line.at, IPv4Interface(subnet).network.network_address
        except ValueError:
            yield line.at, None
