"""Reading what `lab.doctor.inside.look` prints. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lab.doctor.parse_units import parse_units
from lab.doctor.seen import (
    Answer,
    Device,
    Etcd,
    Filter,
    Folder,
    Holder,
    Look,
    Neighbour,
    Qdisc,
)
from lab.errors import LabError
from lab.packet_filter import COMMANDS, Ruleset, parse_ruleset

__all__ = ["parse_look"]

SOCKET = re.compile(r'\(\("([^"]*)",pid=(\d+)')


def parse_look(name: str, text: str, asked: tuple[float, float]) -> Look:
    """One machine's answer. Raises `LabError`."""
    try:
        told = json.loads(text)
        return _look(name, told, asked)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise LabError(f"reading what {name} says of itself: {error!r}; it said: {text[:200]}") from error


def _look(name: str, told: Mapping[str, Any], asked: tuple[float, float]) -> Look:
    commands = told["commands"]

    def out(command: str) -> str:
        """What a command has printed; nothing if it has failed."""
        answer = commands.get(command, {"exit": 1})
        return str(answer["out"]) if answer["exit"] == 0 else ""

    links = json.loads(out("links") or "null")
    return Look(
        name=name,
        wall=told["wall"],
        boot=told["boot"],
        asked=asked,
        units=parse_units(told, out),
        devices=None if links is None else {it.name: it for it in _devices(links, told["carriers"])},
        qdiscs=tuple(_qdisc(item) for item in json.loads(out("qdiscs") or "[]")),
        filters=tuple(_filters(commands, out)),
        routes={
            family: tuple(str(item["dst"]) for item in json.loads(out(f"routes{family}") or "[]"))
            for family in (4, 6)
            if commands[f"routes{family}"]["exit"] == 0
        },
        neighbours=tuple(
            Neighbour(item["dev"], item["dst"], item.get("lladdr", ""), " ".join(item.get("state", ())))
            for item in json.loads(out("neighbours") or "[]")
        ),
        holders=tuple(_holders(out("sockets"))),
        sysctls=told["sysctls"],
        folders={path: _folder(path, about) for path, about in told["folders"].items()},
        rules=_rules(out),
        legacy=bool(told["legacy"]),
        readyz=Answer(**told["readyz"]) if told["readyz"] else None,
        reach=told["reach"],
        etcd=_etcd(commands) if "etcd health" in commands else None,
        checksum_errors=_checksum_errors(told["snmp"]),
    )


def _devices(links: Sequence[Mapping[str, Any]], lost: Mapping[str, int]) -> list[Device]:
    return [
        Device(
            name=item["ifname"],
            up="UP" in item["flags"],
            mtu=item["mtu"],
            carrier="NO-CARRIER" not in item["flags"],
            kind=item.get("linkinfo", {}).get("info_kind", ""),
            mac=item.get("address", ""),
            addresses=tuple(
                f"{address['local']}/{address['prefixlen']}"
                for address in item.get("addr_info", ())
                if address.get("scope") == "global"
            ),
            lost=lost.get(item["ifname"], 0),
            xdp=_xdp(item.get("xdp") or {}),
        )
        for item in links
        if item
    ]


def _xdp(about: Mapping[str, Any]) -> str:
    program: Mapping[str, Any] = about.get("prog") or next(
        (it["prog"] for it in about.get("attached", ()) if "prog" in it), {}
    )
    return f"program {program['id']} {program.get('name', '')}".strip() if "id" in program else ""


def _qdisc(item: Mapping[str, Any]) -> Qdisc:
    parent = "root" if item.get("root") else str(item.get("parent", ""))
    options = item.get("options") or {}
    words = " ".join(f"{key} {json.dumps(value)}" for key, value in options.items())
    return Qdisc(item["dev"], item["kind"], parent, words)


def _filters(commands: Mapping[str, Any], out: Any) -> list[Filter]:
    found = []
    for command in commands:
        if not command.startswith("filter "):
            continue
        _, device, direction = command.split()
        for item in json.loads(out(command) or "[]"):
            if "options" in item:  # else it is the head of those with this preference
                action = _action(item["options"])
                found.append(Filter(device, direction, item.get("pref", 0), item.get("kind", ""), action))
    return found


def _action(options: Mapping[str, Any]) -> str:
    """What a filter does with packets, if it does not just let them pass."""
    words = []
    for action in options.get("actions", ()):
        kind = action.get("kind")
        if kind == "mirred":
            words.append(f"{action.get('mirred_action', 'redirect')} to {action.get('to_dev', '?')}")
        elif kind == "gact" and action.get("control_action", {}).get("type") in {"drop", "shot"}:
            words.append("drop")
        elif kind in {"netem", "police", "pedit", "nat", "vlan", "skbedit"}:
            words.append(str(kind))
    return ", ".join(words)


def _holders(text: str) -> list[Holder]:
    found = []
    for line in text.split("\n"):
        words = line.split()
        who = SOCKET.search(line)
        port = words[4].rpartition(":")[2] if len(words) > 4 else ""
        if who is not None and port.isdigit():
            found.append(Holder(words[0], int(port), who[1], int(who[2])))
    return found


def _folder(path: str, about: Mapping[str, Any]) -> Folder:
    return Folder(path, **about)


def _rules(out: Any) -> Ruleset | None:
    printed = {name: out(name) for name in COMMANDS}
    return parse_ruleset(printed) if printed["nft"] else None


def _etcd(commands: Mapping[str, Any]) -> Etcd:
    health, status, alarms = (commands[f"etcd {name}"] for name in ("health", "status", "alarms"))
    words = (health["err"].strip() or health["out"].strip() or f"exit status {health['exit']}").splitlines()
    about = json.loads(status["out"])[0]["Status"] if status["exit"] == 0 and status["out"].strip() else {}
    return Etcd(
        health="" if health["exit"] == 0 else words[-1],
        version=str(about.get("version", "")),
        leader=bool(about.get("leader", True)) if about else True,
        alarms=tuple(alarms["out"].split("\n")[:-1]) if alarms["exit"] == 0 else (),
        errors=tuple(map(str, about.get("errors", ()))),
    )


def _checksum_errors(snmp: str) -> Mapping[str, int]:
    """InCsumErrors of each protocol, of /proc/net/snmp."""
    lines = [line.split() for line in snmp.splitlines()]
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if "InCsumErrors" in names:
            found[names[0].rstrip(":")] = int(values[names.index("InCsumErrors")])
    return {protocol: count for protocol, count in found.items() if count}
