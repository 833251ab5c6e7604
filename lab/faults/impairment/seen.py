"""What a node's kernel has, as ip(8) and tc(8) of iproute2 tell it in JSON. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lab.faults.impairment.pipeline import RETURNING, Filter

__all__ = ["Held", "Link", "Seen", "Signature", "parse_filters", "parse_links", "parse_qdiscs"]


class Signature(NamedTuple):
    """What is known of a filter that is there."""

    device: str
    hook: str
    preference: int
    protocol: str
    target: str
    """As `Filter.target`; `?` if it is nothing of the kind."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network device."""

    index: int
    address: str
    up: bool
    xdp: str
    """The name of its XDP program; empty if it has none, `?` if that has no name."""


@dataclass(frozen=True, slots=True)
class Held:
    """The process that holds a tap."""

    pid: int
    state: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is."""

    links: Mapping[str, Link]
    qdiscs: Mapping[str, frozenset[str]]
    """Kinds, by device; of the root, and clsact or ingress."""
    filters: frozenset[Signature]
    held: Mapping[str, Held]
    """By tap."""

    def has(self, item: Filter) -> bool:
        """Whether a filter is there, and does what it is to do."""
        return Signature(item.device, item.hook, item.preference, item.protocol, item.target) in self.filters


def parse_links(text: str) -> dict[str, Link]:
    """`ip -json link`."""
    return {
        item["ifname"]: Link(item["ifindex"], item.get("address", ""), "UP" in item["flags"], _xdp_name(item))
        for item in json.loads(text or "[]")
    }


def _xdp_name(link: Mapping[str, Any]) -> str:
    program = link.get("xdp", {}).get("prog")
    return "" if program is None else program.get("name", "?")


def parse_qdiscs(text: str) -> dict[str, frozenset[str]]:
    """`tc -json qdisc show`."""
    found: dict[str, frozenset[str]] = {}
    for item in json.loads(text or "[]"):
        if item.get("root") or item["kind"] in ("clsact", "ingress"):
            found[item["dev"]] = found.get(item["dev"], frozenset()) | {item["kind"]}
    return found


def parse_filters(device: str, hook: str, text: str) -> Iterator[Signature]:
    """`tc -json filter show dev DEVICE HOOK`."""
    for item in json.loads(text or "[]"):
        options = item.get("options", {})
        if item["kind"] == "u32" and "match" not in options:
            continue  # the hash table that it is in
        yield Signature(device, hook, item["pref"], item["protocol"], _target(options))


def _target(options: Mapping[str, Any]) -> str:
    for action in options.get("actions", ()):
        if action["kind"] == "mirred":
            return f"{action['direction']} {action['to_dev']}"
    return f"{RETURNING}{options['input_dev']}" if "input_dev" in options else "?"
