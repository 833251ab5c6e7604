"""Two machines with a pod each, as they say of themselves, and a kernel that finds routes in a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface, ip_network

from lab.trace.evidence import Evidence, Probes, evidence
from lab.trace.machine import Holder, Link, Listener, Machine, Namespace, Neighbour
from lab.trace.marks import Sighting
from lab.trace.model import Point, Way
from lab.trace.packet import Packet
from lab.trace.verdict import Trace, diagnose
from lab.trace.walk import walk
from lab.trace.witness import Kernel
from lab.trace.world import Answer, End, Lease, Overlay, Question

__all__ = ["BACKENDS", "World", "world"]

ONE, TWO = "minion1", "minion2"
PODS = {ONE: "web", TWO: "db"}
OUTSIDE = {ONE: "192.168.50.11", TWO: "192.168.50.12"}
SUBNETS = {ONE: "10.2.1", TWO: "10.2.2"}
MACS = {ONE: "02:00:00:00:00:01", TWO: "02:00:00:00:00:02"}
BACKENDS = ("udp", "vxlan", "host-gw")

Route = tuple[str, str, str]
"""A network, a device, and a next hop or nothing."""


@dataclass
class World:
    """What is there; tests change it before they look."""

    machines: dict[str, Machine]
    routes: dict[tuple[str, str], list[Route]]
    overlay: Overlay
    start: End
    end: End
    asked: list[Question] = field(default_factory=list)

    def ask(self, question: Question) -> Answer:
        """The kernel: its own addresses, forwarding, then the longest prefix."""
        self.asked.append(question)
        here = self.machines[question.machine].namespaces[question.namespace]
        to = ip_address(question.to)
        if here.with_address(to) is not None:
            return Answer(device="lo", local=True)
        if question.into and here.setting("ipv4/conf/*/forwarding", question.into) == 0:
            return Answer(error="No route to host")
        found = [it for it in self.routes[question.machine, question.namespace] if to in ip_network(it[0])]
        found = [it for it in found if here.links[it[1]].up] if found else []
        if not found:
            return Answer(error="Network is unreachable")
        best = max(found, key=lambda it: ip_network(it[0]).prefixlen)
        own = [it.ip for it in here.links[best[1]].addresses if it.version == to.version]
        return Answer(best[1], best[2], str(own[0]) if own else "")

    def change(self, machine: str, namespace: str = "", **values: object) -> None:
        """Have a namespace say something else."""
        found = self.machines[machine]
        spaces = {**found.namespaces, namespace: replace(found.namespaces[namespace], **values)}  # type: ignore[arg-type]
        self.machines[machine] = replace(found, namespaces=spaces)

    def change_link(self, machine: str, name: str, namespace: str = "", **values: object) -> None:
        """Have a device be otherwise."""
        links = self.machines[machine].namespaces[namespace].links
        changed = replace(links[name], **values)  # type: ignore[arg-type]
        self.change(machine, namespace, links={**links, name: changed})

    def walk(self, size: int = 84, protocol: str = "icmp", port: int = 0) -> tuple[Way, Way]:
        """The way there and back."""
        packet = Packet(self.start.address, self.end.address, protocol, size, port, 61000 if port else 0)  # type: ignore[arg-type]
        return walk(self.machines, self.overlay, packet, self.start, self.end, self.ask)

    def trace(
        self,
        stops: Callable[[str, Point, int], bool] = lambda *_: False,
        sizes: Sequence[int] = (84,) * 20,
        kernel: Kernel = Kernel(),  # noqa: B008 - frozen
        **asked: object,
    ) -> Trace:
        """A whole trace; `stops` says of a leg, a point and a probe whether it does not get there.

        `kernel` is what that has said itself.
        """
        there, back = self.walk(max(sizes), **asked)  # type: ignore[arg-type]
        probes = dict(enumerate(sizes))
        arrived, seen_there = self._seen("there", there, probes, stops)
        answered, seen_back = self._seen("back", back, {it: probes[it] for it in arrived}, stops)
        clocks = dict.fromkeys(self.machines, "boot")
        found: tuple[Evidence, Evidence] = (
            evidence(there, seen_there, probes, arrived, clocks),
            evidence(back, seen_back, arrived, answered, clocks),
        )
        told = Probes(probes, dict.fromkeys(answered, 0.001))
        return diagnose(there, back, told, found, kernel=kernel)

    @staticmethod
    def _seen(
        leg: str, way: Way, probes: Mapping[int, int], stops: Callable[[str, Point, int], bool]
    ) -> tuple[frozenset[int], list[Sighting]]:
        arrived, found = set(), []
        for number, size in probes.items():
            for at, point in enumerate(way.points):
                if stops(leg, point, number):
                    break
                found.append(
                    Sighting(
                        point.machine, point.namespace, point.device, point.way, number + at / 1000,
                        "probe" if leg == "there" else "answer", number,
                        way.packet.source, way.packet.destination, size,
                    )
                )  # fmt: skip
            else:
                arrived.add(number)
        return frozenset(arrived), found


def world(backend: str = "vxlan") -> World:
    """Nothing is wrong."""
    tunnel = {"udp": "flannel0", "vxlan": "flannel.1"}.get(backend, "")
    machines, routes = {}, {}
    for name, other in ((ONE, TWO), (TWO, ONE)):
        subnet, peer = SUBNETS[name], SUBNETS[other]
        mtu = {"udp": 1472, "vxlan": 1450, "host-gw": 1500}[backend]
        gateway_mac = f"02:42:{MACS[name][6:]}"
        pod_mac = f"02:44:{MACS[name][6:]}"
        eth0 = Link(2, "eth0", "veth", True, 1500, MACS[name], peer=99,
                    addresses=(ip_interface(f"{OUTSIDE[name]}/24"),))  # fmt: skip
        docker0 = Link(3, "docker0", "bridge", True, mtu, gateway_mac,
                       addresses=(ip_interface(f"{subnet}.1/24"),))  # fmt: skip
        port = Link(4, "veth1", "veth", True, mtu, master="docker0", peer=7)
        device = Link(5, tunnel, "tun" if backend == "udp" else "vxlan", True, mtu,
                      vni=1 if backend == "vxlan" else 0, port=8472 if backend == "vxlan" else 0,
                      addresses=(ip_interface(f"{subnet}.0/{16 if backend == 'udp' else 32}"),))  # fmt: skip
        links = {link.name: link for link in (eth0, docker0, port, device) if link.name}
        own = Namespace(
            name, "", links,
            neighbours=(
                Neighbour("eth0", OUTSIDE[other], MACS[other], "REACHABLE"),
                Neighbour("docker0", f"{subnet}.2", pod_mac, "REACHABLE"),
                Neighbour("flannel.1", f"{peer}.0", f"0a:00:{MACS[other][6:]}", "PERMANENT"),
            ),
            fdb=(("flannel.1", f"0a:00:{MACS[other][6:]}", OUTSIDE[other]),),
            settings={f"ipv4/conf/{link}/forwarding": 1 for link in links},
            listeners=(Listener("udp", OUTSIDE[name], 8285),),
        )  # fmt: skip
        pod_link = Link(7, "eth0", "veth", True, mtu, pod_mac, peer=4,
                        addresses=(ip_interface(f"{subnet}.2/24"),))  # fmt: skip
        pod = Namespace(
            name, PODS[name], {"eth0": pod_link},
            neighbours=(Neighbour("eth0", f"{subnet}.1", gateway_mac, "REACHABLE"),),
            listeners=(Listener("tcp", "0.0.0.0", 3306),),
        )  # fmt: skip
        holders = {"flannel0": Holder(33, "flanneld", "S")} if backend == "udp" else {}
        machines[name] = Machine(name, "boot", {"": own, PODS[name]: pod}, holders)
        into: list[Route] = {
            "udp": [("10.2.0.0/16", "flannel0", "")],
            "vxlan": [(f"{peer}.0/24", "flannel.1", f"{peer}.0")],
            "host-gw": [(f"{peer}.0/24", "eth0", OUTSIDE[other])],
        }[backend]
        routes[name, ""] = [("192.168.50.0/24", "eth0", ""), (f"{subnet}.0/24", "docker0", ""), *into]
        routes[name, PODS[name]] = [(f"{subnet}.0/24", "eth0", ""), ("0.0.0.0/0", "eth0", f"{subnet}.1")]
    leases = tuple(Lease(ip_network(f"{SUBNETS[it]}.0/24"), ip_address(OUTSIDE[it])) for it in (ONE, TWO))
    return World(
        machines,
        routes,
        Overlay(
            leases, True, port=8285, networks=(ip_network("10.2.0.0/16"),), members=frozenset((ONE, TWO))
        ),
        End("pod web", ONE, PODS[ONE], ip_address(f"{SUBNETS[ONE]}.2")),
        End("pod db", TWO, PODS[TWO], ip_address(f"{SUBNETS[TWO]}.2")),
    )
