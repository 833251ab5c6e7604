"""What there is to draw of a lab, as frozen values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Graph", "Machine", "Network", "Pod", "Port"]


@dataclass(frozen=True, slots=True)
class Network:
    """A segment of the underlay."""

    name: str
    subnets: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is special about it, such as `MTU 1400`."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is written beside it, its name first."""
        return (self.name, *self.subnets, *self.notes)


@dataclass(frozen=True, slots=True)
class Port:
    """An interface of a machine on a network."""

    device: str
    network: str
    addresses: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What is written at it."""
        return (self.device, *self.addresses)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod on its machine."""

    name: str
    addresses: tuple[str, ...] = ()
    note: str = ""
    """Its status, where that is another one than Running."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is written in it."""
        return tuple(filter(None, (f"pod {self.name}", *self.addresses, self.note)))


@dataclass(frozen=True, slots=True)
class Machine:
    """A node."""

    name: str
    ports: tuple[Port, ...]
    services: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What it does beside its services, and its subnets."""
    pods: tuple[Pod, ...] = ()
    engine: str = ""
    """The one that it is on, where there are several."""
    router: bool = False
    well: bool = True
    """Whether nothing is known to be wrong with it."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is written below its name."""
        services = ", ".join(self.services) or ("" if self.router else "no services")
        return tuple(filter(None, (services, *self.notes)))


@dataclass(frozen=True, slots=True)
class Graph:
    """All of it."""

    title: str
    notes: tuple[str, ...]
    """Of the overlay."""
    networks: tuple[Network, ...]
    machines: tuple[Machine, ...]
    """Those on one engine beside each other."""

    @property
    def engines(self) -> Mapping[str, tuple[Machine, ...]]:
        """The machines of each engine; of a single engine it is not said which."""
        names = dict.fromkeys(machine.engine for machine in self.machines)
        return {name: tuple(it for it in self.machines if it.engine == name) for name in names}
