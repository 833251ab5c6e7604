"""The configuration's Backend: what every backend says of itself, and which one the key asks for.

The backends are not known here, but handed in: each declares a subclass of `BackendConfig` (see
`backend.catalog`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from flanneld_py.config.keys import keys_of
from flanneld_py.config.reader import Problem, Problems, Section, show

__all__ = ["BackendConfig", "OwnDevices", "Reservation", "mtu_problems", "read_backend"]

GONE: Final[Mapping[str, str]] = {
    "aws-vpc": "flannel itself has dropped it; on one link use host-gw, otherwise vxlan",
    "gce": "flannel itself has dropped it; on one link use host-gw, otherwise vxlan",
    "ali-vpc": "flannel itself has dropped it; on one link use host-gw, otherwise vxlan",
    "tencent-vpc": "use vxlan, or the backend extension with the cloud's own commands",
    "ipsec": "use wireguard, which encrypts too and needs no daemon beside it",
}
"""flannel's backends that are none here, and what to use instead."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """`what` a network needs for itself, in words, and the `remedy` where another has it.

    Networks whose needs are equal in `sharing` may have it together, unless that is empty.
    """

    what: str
    remedy: str
    sharing: str = ""

    @classmethod
    def udp_port(cls, port: int, key: str, sharing: str = "") -> Self:
        """A port, which `key` gives."""
        return cls(f"UDP port {port}", f"give each network its own {key}", sharing)

    @classmethod
    def device(cls, name: str, key: str) -> Self:
        """A device, whose name `key` makes."""
        return cls(f"The device {name}", f"give each network its own {key}")

    @classmethod
    def only_device(cls, name: str, kind: str) -> Self:
        """A device of which a machine has one for all networks."""
        remedy = (
            "only one network of a machine can have the backend {}; give the others vxlan, each with its VNI"
        )
        return cls(f"The device {name}", remedy.format(kind))


@dataclass(frozen=True, slots=True)
class OwnDevices:
    """Devices that flanneld makes, by their kind and names; those that it `leaves` outlive it."""

    kind: str
    names: re.Pattern[str]
    leaves: bool = True


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """What a network's configuration says of its backend, and what else is to be known before that is made.

    Each backend has a subclass, of which the fields are its keys. Versions are of IP: those that the overlay
    has. Pure.
    """

    type: ClassVar[str]
    """The value of Backend.Type, and the BackendType of leases that name one."""

    is_default: ClassVar[bool] = False
    """It is the backend of a network that names none."""

    carries_ipv6: ClassVar[bool] = True

    routes_whole_network: ClassVar[bool] = False
    """One route leads all of the network to a device; what must not go there has routes of its own."""

    compares_entries: ClassVar[bool] = True
    """It keeps an entry in the kernel for each peer, and takes away by itself what no lease asks for."""

    devices: ClassVar[tuple[OwnDevices, ...]] = ()

    @classmethod
    def read(cls, section: Section) -> Self:
        """What is written; what is wrong is added to the section's problems."""
        return cls(**{name: key.read(section) for name, key in keys_of(cls).items()})

    def problems(self, versions: Sequence[int]) -> Iterator[Problem]:  # noqa: ARG002 (a subclass looks at it)
        """What is wrong with the keys taken together, or in such an overlay."""
        return iter(())

    def reservations(self, versions: Sequence[int]) -> Iterator[Reservation]:  # noqa: ARG002 (as above)
        """What it needs for itself on a machine that has several networks."""
        return iter(())

    def settings(self) -> dict[str, str]:
        """What each key comes to, in words; a secret is not shown."""
        return {key.name: key.meaning(getattr(self, name)) for name, key in keys_of(self).items()}

    def changes(self, new: Self) -> Iterator[str]:
        """What another configuration of the same backend has different, key by key."""
        for name, key in keys_of(self).items():
            before, after = getattr(self, name), getattr(new, name)
            if before != after:
                old, now = key.text(before), key.text(after)
                yield f"{key.name} is another" if old == now else f"{key.name} {old} -> {now}"


def read_backend(
    fields: Mapping[str, object], known: Sequence[type[BackendConfig]], problems: Problems
) -> BackendConfig:
    """Read the key; without it, it is the default one of those that are `known`."""
    default = next(kind for kind in known if kind.is_default)
    value = fields.get("backend")
    if value is None:
        return default()
    if not isinstance(value, dict):
        problems.add("Backend", f"is {show(value)}", f'give an object such as {{"Type": "{default.type}"}}')
        return default()
    wanted = value.get("type")
    supported = f"give one of {', '.join(kind.type for kind in known)}"
    if not isinstance(wanted, str) or not wanted:
        problems.add("Backend.Type", f"is {show(wanted)}" if wanted else "is missing", supported)
        return default()
    found = next((kind for kind in known if kind.type == wanted.lower()), None)
    if found is None:
        fix = GONE.get(wanted.lower(), supported)
        problems.add("Backend.Type", f"{show(wanted)} is not supported", fix)
        return default()
    return found.read(Section(value, problems, "Backend."))


def mtu_problems(given: int, lowest: int) -> Iterator[Problem]:
    """What is wrong with Backend.MTU, of which 0 is the interface's."""
    if 0 < given < lowest:
        fix = f"give {lowest} or more, or none for what the interface carries"
        yield Problem("Backend.MTU", f"is {given}", fix)
