"""A rule's expressions for a person, where nft's own words are not at hand: near to them. Pure."""

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["words_of"]


def words_of(item: Mapping[str, Any]) -> str:
    """An expression; a counter is none."""
    match item:
        case {"match": {"op": op, "left": left, "right": right}}:
            return f"{_side(left)} {'' if op in {'==', 'in'} else f'{op} '}{_side(right)}"
        case {"counter": _}:
            return ""
        case {"xt": {"name": name}}:
            return str(name)
        case {"jump": {"target": target}}:
            return f"jump {target}"
        case {"goto": {"target": target}}:
            return f"goto {target}"
    return " ".join(item)


def _side(side: Any) -> str:
    match side:
        case {"payload": {"protocol": protocol, "field": name}}:
            return f"{protocol} {name}"
        case {"meta": {"key": key}}:
            return str(key)
        case {"ct": {"key": key}}:
            return f"ct {key}"
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"set": list(members)} | list(members):
            return "{ " + ", ".join(map(_side, members)) + " }"
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case str() | int():
            return str(side)
    return json.dumps(side)
