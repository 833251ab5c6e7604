"""Faults of leases: a machine's is stolen, deleted, overwritten, given another end; every subnet is taken."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.faults.inside.keys import OfEtcd, short
from lab.faults.inside.kinds import Failed, Given, Saved, Seen, event, state
from lab.faults.inside.store import Entry, open_store

__all__ = ["free_subnets", "lease_of"]

MOST = 4096
"""Subnets that are taken at once."""


def lease_of(leases: Sequence[Entry], address: str) -> Entry:
    """The lease of the machine with this address. Raises `Failed` where it has none."""
    for lease in leases:
        if _public_ip(lease.value) == address:
            return lease
    raise Failed(f"no lease in etcd names {address}")


def _public_ip(value: str) -> str | None:
    try:
        found: Any = json.loads(value)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    # As flannel writes it in an overlay of IPv6 alone.
    return found.get("PublicIPv6" if found.get("PublicIP") == str(IPv4Address(0)) else "PublicIP")


def _own_lease(given: Given) -> Entry:
    store = open_store(given["api"])
    return lease_of(store.listing(f"{given['prefix']}/subnets"), given["address"])


class Rewritten(OfEtcd):
    """A machine's lease says something else, for good. Ended, the subnet is nobody's: it is not given back,
    because its former holder may hold another one by then.
    """

    repaired = True

    @property
    def changes(self) -> Sequence[str]:
        """The lease's key, once it is known."""
        return (f"etcd {self.saved['key']}",) if self.saved else ()

    def save(self) -> Saved:
        """The key, and what it is to say."""
        lease = _own_lease(self.given)
        return {"key": lease.key, "wanted": self.wanted(lease)}

    def wanted(self, lease: Entry) -> str:
        """What the key of this lease is to say."""
        raise NotImplementedError

    def start(self) -> None:
        """Set it, without a lease."""
        self.store.put(self.saved["key"], self.saved["wanted"])

    def seen(self) -> Seen:
        """By what the key says."""
        entry = self.store.get(self.saved["key"])
        held = (
            "is not there"
            if entry is None
            else f"is held by {holder}"
            if (holder := _public_ip(entry.value))
            else f"holds {short(entry.value)}"
        )
        on = entry is not None and entry.value == self.saved["wanted"]
        return Seen(on, f"{self.saved['key']} {held}")

    def stop(self) -> None:
        """Free the subnet."""
        if self.seen().on:
            self.store.delete([self.saved["key"]])


@state("lease-stolen")
class Stolen(Rewritten):
    """It names another machine."""

    def wanted(self, lease: Entry) -> str:
        """The same with the thief's address."""
        value = json.loads(lease.value)
        value["PublicIP"] = self.given["thief"]
        return json.dumps(value, separators=(",", ":"))


@state("lease-overwritten")
class Overwritten(Rewritten):
    """It says something of somebody else's."""

    def wanted(self, _lease: Entry) -> str:
        """Whatever it was."""
        return str(self.given["value"])


@state("lease-permanent")
class Permanent(OfEtcd):
    """A machine's lease has no end."""

    @property
    def changes(self) -> Sequence[str]:
        """The lease's key, once it is known."""
        return (f"etcd {self.saved['before']['key']}",) if self.saved else ()

    def save(self) -> Saved:
        """The lease as it is."""
        lease = _own_lease(self.given)
        if lease.ttl is None:
            raise Failed(f"{lease.key} has no end already")
        return {"before": asdict(lease)}

    def start(self) -> None:
        """Set it again, without a lease."""
        before = Entry(**self.saved["before"])
        self.store.put(before.key, before.value)

    def seen(self) -> Seen:
        """By the time that it has left."""
        entry = self.store.get(self.saved["before"]["key"])
        left = (
            "is not there"
            if entry is None
            else "has no end"
            if entry.ttl is None
            else f"ends in {entry.ttl} s"
        )
        words = f"{self.saved['before']['key']} {left}"
        return Seen(entry is not None and entry.ttl is None, words)

    def stop(self) -> None:
        """Give it an end again, if it is still its former holder's."""
        before = Entry(**self.saved["before"])
        entry = self.store.get(before.key)
        if entry is not None and entry.ttl is None and _public_ip(entry.value) == _public_ip(before.value):
            self.store.put_back(Entry(before.key, entry.value, before.ttl, before.lease))


@event("lease-delete")
def delete(given: Given) -> str:
    """Delete a machine's lease."""
    lease = _own_lease(given)
    open_store(given["api"]).delete([lease.key])
    return f"deleted {lease.key}"


@event("lease-expire")
def expire(given: Given) -> str:
    """Leave a machine's lease so many seconds."""
    lease = _own_lease(given)
    open_store(given["api"]).put(lease.key, lease.value, max(round(given["left"]), 1))
    return f"{lease.key} ends in {max(round(given['left']), 1)} s unless it is renewed"


def free_subnets(config: Mapping[str, Any], taken: Sequence[str]) -> list[str]:
    """The subnets of a configuration that nobody has, as keys have them: 10.2.3.0-24."""
    named = {key.lower(): value for key, value in config.items()}
    network = IPv4Network(named["network"], strict=False)
    length = named.get("subnetlen") or max(24, network.prefixlen + 2)
    size = 2 ** (32 - length)
    # flannel leaves the first subnet out, and takes the last one.
    least = int(IPv4Address(named["subnetmin"])) if "subnetmin" in named else int(network[0]) + size
    most = int(IPv4Address(named["subnetmax"])) if "subnetmax" in named else int(network[-1]) - size + 1
    every = [f"{IPv4Address(first)}-{length}" for first in range(least, most + 1, size)]
    return [subnet for subnet in every if subnet not in taken]


@state("subnets-taken")
class SubnetsTaken(OfEtcd):
    """Every free subnet is leased to a machine that is not there."""

    @property
    def changes(self) -> Sequence[str]:
        """All of them at once."""
        return (f"etcd {self.given['prefix']}/subnets",)

    @property
    def _value(self) -> str:
        return json.dumps({"PublicIP": self.given["holder"]}, separators=(",", ":"))

    def save(self) -> Saved:
        """Which are free."""
        prefix = self.given["prefix"]
        config = self.store.get(f"{prefix}/config")
        if config is None:
            raise Failed(f"etcd has no key {prefix}/config")
        taken = [entry.key.rpartition("/")[2] for entry in self.store.listing(f"{prefix}/subnets")]
        free = free_subnets(json.loads(config.value), taken)
        if not free:
            raise Failed("no subnet is free")
        if len(free) > MOST:
            raise Failed(f"{len(free)} subnets are free, and this takes at most {MOST}")
        return {"keys": [f"{prefix}/subnets/{subnet}" for subnet in free]}

    def start(self) -> None:
        """Take them."""
        self.store.put_all(dict.fromkeys(self.saved["keys"], self._value))

    def _held(self) -> list[str]:
        wanted = set(self.saved["keys"])
        every = self.store.listing(f"{self.given['prefix']}/subnets")
        return [entry.key for entry in every if entry.key in wanted and entry.value == self._value]

    def seen(self) -> Seen:
        """By who holds them."""
        held = len(self._held())
        return Seen(held > 0, f"{held} subnets are held by {self.given['holder']}")

    def stop(self) -> None:
        """Free those that are still so."""
        self.store.delete(self._held())
