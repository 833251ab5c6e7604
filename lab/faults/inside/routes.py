"""Faults of what leads to other machines: routes, neighbours, entries of a bridge's or vxlan's FDB."""

import json
from collections.abc import Sequence
from ipaddress import ip_network

from lab.faults.inside.kinds import Failed, Saved, Seen, State, run, state

__all__ = ["put_routes", "routes"]

SHOWN_ONLY = {"linkdown", "dead", "offload", "trap", "pervasive"}
"""Words of `ip route show` that `ip route add` does not take."""


def _family(prefix: str) -> str:
    return "-6" if ":" in prefix else "-4"


def routes(family: str, *selector: str) -> list[str]:
    """The main table's routes, each as `ip route add` takes it."""
    lines = run(["ip", family, "route", "show", *selector]).splitlines()
    return [
        " ".join(word for word in line.split() if word not in SHOWN_ONLY) for line in lines if line.strip()
    ]


def put_routes(family: str, wanted: Sequence[str]) -> None:
    """Add those that are missing; one that leads through a gateway needs the way there, so it comes last."""
    missing = [route for route in wanted if route not in routes(family)]
    for route in sorted(missing, key=lambda line: " via " in line):
        run(["ip", family, "route", "add", *route.split()])


def _of_overlay(route: str, network: str) -> bool:
    """Whether it leads to others' subnets: into the network, and not to this machine's own bridge."""
    words = route.split()
    try:
        to = ip_network(words[0], strict=False)
    except ValueError:
        return False
    within = ip_network(network)
    return to.version == within.version and to.subnet_of(within) and "docker0" not in words  # type: ignore[arg-type]


@state("routes-deleted")
class RoutesDeleted(State):
    """The route `to` a destination is gone; or, with `overlay`, all that lead to others' subnets."""

    repaired = True

    @property
    def _to(self) -> str:
        return str(self.given["to"] or self.given["overlay"])

    @property
    def changes(self) -> Sequence[str]:
        """The destination."""
        return (f"route {self._to}",)

    def save(self) -> Saved:
        """The routes."""
        every = routes(_family(self._to))
        if self.given["to"] is not None:
            found = [route for route in every if route.split()[0] in _written(self.given["to"])]
        else:
            found = [route for route in every if _of_overlay(route, self.given["overlay"])]
        if not found:
            raise Failed(f"there is no route to {self._to}")
        return {"routes": found}

    def start(self) -> None:
        """Delete them."""
        for route in self.saved["routes"]:
            run(["ip", _family(self._to), "route", "delete", *route.split()])

    def seen(self) -> Seen:
        """Which are missing."""
        there = routes(_family(self._to))
        gone = [route for route in self.saved["routes"] if route not in there]
        return Seen(bool(gone), f"no route {gone[0]}" if gone else f"{self.saved['routes'][0]} is there")

    def stop(self) -> None:
        """Add those that are missing."""
        put_routes(_family(self._to), self.saved["routes"])


def _written(network: str) -> tuple[str, ...]:
    """How `ip route` writes a destination: a host's without its length."""
    return (network, network.removesuffix("/32").removesuffix("/128"))


@state("neighbours-deleted")
class NeighboursDeleted(State):
    """A device's neighbours are gone: ARP, or what flannel has entered."""

    repaired = True

    @property
    def changes(self) -> Sequence[str]:
        """The device's."""
        return (f"neighbours {self.given['device']}",)

    def _there(self) -> list[list[str]]:
        text = run(["ip", "-json", "neighbour", "show", "dev", self.given["device"]])
        return [
            [item["dst"], item["lladdr"], item["state"][0]]
            for item in json.loads(text or "[]")
            if "lladdr" in item and not item["dst"].startswith(("ff", "224."))
        ]

    def save(self) -> Saved:
        """The entries."""
        found = self._there()
        if not found:
            raise Failed(f"{self.given['device']} has no neighbours")
        return {"entries": found}

    def start(self) -> None:
        """Delete them."""
        for address, _, _ in self.saved["entries"]:
            run(["ip", "neighbour", "delete", address, "dev", self.given["device"]])

    def seen(self) -> Seen:
        """Which are missing."""
        there = {address for address, _, _ in self._there()}
        gone = [address for address, _, _ in self.saved["entries"] if address not in there]
        of = len(self.saved["entries"])
        return Seen(bool(gone), f"{len(gone)} of {of} neighbours of {self.given['device']} are gone")

    def stop(self) -> None:
        """Add those that are missing and that ARP does not find."""
        there = {address for address, _, _ in self._there()}
        for address, mac, kind in self.saved["entries"]:
            if address not in there:
                entry = [address, "lladdr", mac, "dev", self.given["device"], "nud", kind.lower()]
                run(["ip", "neighbour", "replace", *entry])


@state("fdb-deleted")
class FdbDeleted(State):
    """A device's forwarding entries are gone: which machine a MAC address is behind."""

    repaired = True

    @property
    def changes(self) -> Sequence[str]:
        """The device's."""
        return (f"fdb {self.given['device']}",)

    def _there(self) -> list[list[str]]:
        text = run(["bridge", "-json", "fdb", "show", "dev", self.given["device"]])
        return [[item["mac"], item["dst"]] for item in json.loads(text or "[]") if "dst" in item]

    def save(self) -> Saved:
        """The entries that name a machine."""
        found = self._there()
        if not found:
            raise Failed(f"the FDB of {self.given['device']} names no machine")
        return {"entries": found}

    def start(self) -> None:
        """Delete them."""
        self._each("delete", self.saved["entries"])

    def _each(self, verb: str, entries: Sequence[Sequence[str]]) -> None:
        for mac, address in entries:
            run(["bridge", "fdb", verb, mac, "dev", self.given["device"], "dst", address, "self"])

    def seen(self) -> Seen:
        """Which are missing."""
        there = self._there()
        gone = [entry for entry in self.saved["entries"] if entry not in there]
        of = len(self.saved["entries"])
        return Seen(bool(gone), f"{len(gone)} of {of} FDB entries of {self.given['device']} are gone")

    def stop(self) -> None:
        """Add those that are missing."""
        there = self._there()
        self._each("append", [entry for entry in self.saved["entries"] if entry not in there])
