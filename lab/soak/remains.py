"""What comes and goes with a machine's services: after a round there has to be the same of it as before."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from lab.soak.evidence import Remains

__all__ = ["ASKED", "differences", "parse_remains"]

ASKED: Mapping[str, tuple[str, ...]] = {
    "devices": ("ip", "-brief", "link", "show"),
    "rules": ("sh", "-c", "ip -4 rule show; ip -6 rule show"),
    "filters": ("sh", "-c", "iptables-save; ip6tables-save; nft list tables"),
    "processes": ("ps", "-e", "-ww", "--no-headers", "-o", "args"),
}
"""The command that shows each."""

ENGINES = "127.0.0.11"
"""The resolver that the lab's engine gives each of its containers, with ports that differ at each start."""

ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b(/\d+)?")

PASSING = re.compile(r"^(ps|sh|\[|\(|.*/overlay-lab/supervise |/usr/bin/python3 -IS -c|.*journalctl)")
"""Processes that come and go by themselves, and the lab's own that ask."""

RANDOM = re.compile(r"\b(?=\w*\d)[0-9a-f]{4,}\b|\d+")
"""Numbers and digests in a command line."""


def parse_remains(outputs: Mapping[str, str], subnets: Mapping[str, IPv4Network]) -> Remains:
    """From the output of each command; `subnets` are those of the nodes, which may have others afterwards."""
    devices = (line.split()[0].partition("@")[0] for line in outputs["devices"].splitlines() if line.strip())
    filters = (line for line in outputs["filters"].split("\n") if line.startswith(("-A ", "table ")))
    return Remains(
        devices=tuple(sorted(name for name in devices if not name.startswith("veth"))),
        rules=_named(outputs["rules"].splitlines(), subnets),
        filters=_named((line for line in filters if ENGINES not in line), subnets),
        processes=tuple(sorted(_commands(outputs["processes"].split("\n"), subnets))),
    )


def _commands(lines: Iterable[str], subnets: Mapping[str, IPv4Network]) -> Iterator[str]:
    for line in _named(lines, subnets):
        if not PASSING.match(line):
            yield RANDOM.sub("#", line)


def _named(lines: Iterable[str], subnets: Mapping[str, IPv4Network]) -> tuple[str, ...]:
    """With nodes' names in place of what is in their subnets."""

    def name(found: re.Match[str]) -> str:
        try:
            address = IPv4Address(found[0].partition("/")[0])
        except AddressValueError:
            return found[0]
        return next((f"<{node}>" for node, subnet in subnets.items() if address in subnet), found[0])

    return tuple(sorted(ADDRESS.sub(name, line).strip() for line in lines if line.strip()))


def differences(before: Remains, after: Remains) -> str:
    """What there is more and less of, in one line. A process that is gone is for the checks to tell."""
    told = []
    for kind in ("devices", "rules", "filters", "processes"):
        had, has = Counter(getattr(before, kind)), Counter(getattr(after, kind))
        more, fewer = has - had, had - has
        if more:
            told.append(f"more {kind}: {', '.join(sorted(more.elements()))}")
        if fewer and kind != "processes":
            told.append(f"fewer {kind}: {', '.join(sorted(fewer.elements()))}")
    return "; ".join(told)
