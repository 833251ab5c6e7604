"""Faults of network devices: down, gone, another MTU, MAC address or address."""

import json
import signal
from collections.abc import Sequence
from typing import Any

from lab.faults.inside import helper
from lab.faults.inside.kinds import Failed, Given, Saved, Seen, State, event, run, state
from lab.faults.inside.routes import put_routes, routes

__all__ = ["flap_loop"]


def link(device: str) -> dict[str, Any]:
    """What `ip` says of a device. Raises `Failed` where there is none."""
    found: list[dict[str, Any]] = json.loads(run(["ip", "-json", "address", "show", "dev", device]))
    return found[0]


def addresses(device: str) -> list[list[str]]:
    """Its global addresses, each as `ip address add` takes it."""
    return [
        [f"{item['local']}/{item['prefixlen']}"]
        + (["broadcast", item["broadcast"]] if "broadcast" in item else [])
        for item in link(device)["addr_info"]
        if item["scope"] == "global"
    ]


def _routes_of(device: str) -> dict[str, list[str]]:
    return {
        family: [f"{route} dev {device}" for route in routes(family, "dev", device)]
        for family in ("-4", "-6")
    }


def _put_back(device: str, saved: Saved) -> None:
    """Addresses and routes that went along with something."""
    there = [address[0] for address in addresses(device)]
    for address in saved["addresses"]:
        if address[0] not in there:
            flags = ["nodad"] if ":" in address[0] else []
            run(["ip", "address", "add", *address, "dev", device, *flags])
    for family, wanted in saved["routes"].items():
        there = [f"{route} dev {device}" for route in routes(family, "dev", device)]
        # The kernel's own come with the addresses.
        missing = [route for route in wanted if route not in there and "proto kernel" not in route]
        put_routes(family, missing)


class OfDevice(State):
    """A state of one device, with what the kernel takes away along with it."""

    @property
    def device(self) -> str:
        """Its name."""
        return str(self.given["device"])

    @property
    def changes(self) -> Sequence[str]:
        """The device, and what of it."""
        return (f"{self.device} {self.given.get('what', type(self).__name__)}",)

    def save(self) -> Saved:
        """Addresses and routes."""
        return {"addresses": addresses(self.device), "routes": _routes_of(self.device)}


@state("link-down")
class Down(OfDevice):
    """The device is down."""

    def start(self) -> None:
        """As an administrator does it: the carrier of the other end is not ours."""
        run(["ip", "link", "set", "dev", self.device, "down"])

    def seen(self) -> Seen:
        """By its flags."""
        up = "UP" in link(self.device)["flags"]
        return Seen(not up, f"{self.device} is {'up' if up else 'down'}")

    def stop(self) -> None:
        """Up, with the addresses and routes that it had."""
        run(["ip", "link", "set", "dev", self.device, "up"])
        _put_back(self.device, self.saved)


class Attribute(OfDevice):
    """Something of a device has another value."""

    name = ""
    key = ""

    def save(self) -> Saved:
        """Its value."""
        return {**super().save(), "before": link(self.device)[self.key]}

    def start(self) -> None:
        """Set it."""
        run(["ip", "link", "set", "dev", self.device, self.name, str(self.given["value"])])

    def seen(self) -> Seen:
        """By its value."""
        value = link(self.device)[self.key]
        return Seen(str(value) == str(self.given["value"]), f"{self.device} has {self.name} {value}")

    def stop(self) -> None:
        """What it was, with the routes that were lost."""
        if self.seen().on:
            run(["ip", "link", "set", "dev", self.device, self.name, str(self.saved["before"])])
        _put_back(self.device, self.saved)


@state("link-mtu")
class Mtu(Attribute):
    """Another MTU."""

    name = "mtu"
    key = "mtu"


@state("link-mac")
class Mac(Attribute):
    """Another MAC address, as another machine has with the same address."""

    name = "address"
    key = "address"


@state("address-added")
class Added(OfDevice):
    """One more address."""

    def start(self) -> None:
        """Add it."""
        flags = ["nodad"] if ":" in self.given["address"] else []
        run(["ip", "address", "add", self.given["address"], "dev", self.device, *flags])

    def seen(self) -> Seen:
        """Whether it is there."""
        there = [address[0] for address in addresses(self.device)]
        return Seen(self.given["address"] in there, f"{self.device} has {', '.join(there) or 'no address'}")

    def stop(self) -> None:
        """Delete it."""
        if self.seen().on:
            run(["ip", "address", "delete", self.given["address"], "dev", self.device])


@state("address-changed")
class Changed(OfDevice):
    """Another address in place of all that it has of that family."""

    @property
    def _theirs(self) -> list[str]:
        """Those that are replaced."""
        six = ":" in self.given["address"]
        return [address[0] for address in self.saved["addresses"] if (":" in address[0]) == six]

    def start(self) -> None:
        """The old ones first: with the first of a network the kernel deletes the others of that network."""
        for address in self._theirs:
            if address in [there[0] for there in addresses(self.device)]:
                run(["ip", "address", "delete", address, "dev", self.device])
        run(["ip", "address", "add", self.given["address"], "dev", self.device])

    def seen(self) -> Seen:
        """By its addresses."""
        there = [address[0] for address in addresses(self.device)]
        on = self.given["address"] in there and not set(self._theirs) & set(there)
        return Seen(on, f"{self.device} has {', '.join(there) or 'no address'}")

    def stop(self) -> None:
        """What it had, with the routes that were lost."""
        if self.given["address"] in [address[0] for address in addresses(self.device)]:
            run(["ip", "address", "delete", self.given["address"], "dev", self.device])
        _put_back(self.device, self.saved)


@event("link-delete")
def delete(given: Given) -> str:
    """Delete a device."""
    link(given["device"])
    run(["ip", "link", "delete", "dev", given["device"]])
    return f"deleted {given['device']}"


@event("link-flap")
def flap(given: Given) -> str:
    """Down and up again at once, with its addresses and routes."""
    it = Down(given)
    it.saved = it.save()
    if "UP" not in link(given["device"])["flags"]:
        raise Failed(f"{given['device']} is down already")
    it.start()
    it.stop()
    return f"{given['device']} was down for a moment"


@state("link-flapping")
class Flapping(OfDevice):
    """A process here takes the device down and up again and again."""

    unique = True

    def start(self) -> None:
        """Begin; it is down at first."""
        helper.begin(self.given["id"], "flap", {**self.given, "saved": self.saved})

    def seen(self) -> Seen:
        """By the process that does it."""
        runs = helper.runs(self.given["id"], "flap")
        words = f"{self.device} changes every {self.given['every']:g} s"
        return Seen(runs, words if runs else f"nothing changes {self.device} any more")

    def stop(self) -> None:
        """Leave it up, with the addresses and routes that it had."""
        helper.end(self.given["id"], "flap")
        Down(self.given, self.saved).stop()


def flap_loop(given: Given) -> int:
    """Take a device down and up until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    it = Down(given, given["saved"])
    ready = False
    while True:
        it.stop() if it.seen().on else it.start()
        if not ready:
            helper.notify_ready()
            ready = True
        if signal.sigtimedwait({signal.SIGTERM}, given["every"]) is not None:
            return 0
