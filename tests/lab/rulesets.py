"""Rules as nft's JSON has them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.packet_filter import Ruleset, parse_ruleset

__all__ = [
    "ACCEPT", "COUNTER", "DROP", "MASQUERADE", "chain", "elements", "field", "match", "meta", "net", "rule",
    "rules_of", "xt",
]  # fmt: skip

ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}
COUNTER = {"counter": {"packets": 4, "bytes": 288}}


def rule(
    chain: str, *expressions: Any, table: str = "filter", family: str = "ip", handle: int = 9
) -> dict[str, Any]:
    """A rule."""
    about = {"family": family, "table": table, "chain": chain, "handle": handle, "expr": list(expressions)}
    return {"rule": about}


def chain(
    name: str, hook: str = "", *, table: str = "filter", family: str = "ip", **more: Any
) -> dict[str, Any]:
    """A chain; with a hook, a base chain."""
    base = {"type": "filter", "hook": hook, "prio": 0, "policy": "accept"} if hook else {}
    return {"chain": {"family": family, "table": table, "name": name, "handle": 1, **base, **more}}


def elements(name: str, *members: Any, table: str = "filter", family: str = "ip") -> dict[str, Any]:
    """A set; nft leaves out what is in it if nothing is."""
    about: dict[str, Any] = {"family": family, "table": table, "name": name, "handle": 1}
    return {"set": {**about, "elem": list(members)} if members else about}


def match(left: Mapping[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    """What a rule asks."""
    return {"match": {"op": op, "left": left, "right": right}}


def field(protocol: str, name: str) -> dict[str, Any]:
    """Of a header."""
    return {"payload": {"protocol": protocol, "field": name}}


def meta(key: str) -> dict[str, Any]:
    """Of what the kernel knows besides."""
    return {"meta": {"key": key}}


def net(text: str) -> dict[str, Any]:
    """A network."""
    address, _, length = text.partition("/")
    return {"prefix": {"addr": address, "len": int(length)}}


def xt(name: str, kind: str = "match") -> dict[str, Any]:
    """One of iptables' own matches or targets."""
    return {"xt": {"type": kind, "name": name}}


MASQUERADE = xt("MASQUERADE", "target")


def rules_of(items: Sequence[Mapping[str, Any]], **printed: str) -> Ruleset:
    """What nft lists, and what the other commands print, by their names."""
    return parse_ruleset({"nft": json.dumps({"nftables": items}), **printed})
