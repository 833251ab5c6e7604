"""What there is to draw of a lab: from its file alone, and of one that is up also what machines say. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from lab.graph.model import Graph, Machine, Network, Pod, Port
from lab.observe import Observation, known
from lab.observe.parse import parse_environment
from lab.pods import RunningPod
from lab.pods.placement import place
from lab.soak.history import holder_of
from lab.spec import LabSpec, NodeSpec
from lab.spec.segment import Segment, Subnets

__all__ = ["TO_COME", "described"]

TO_COME = "next free /24"
"""Stands for a subnet that `lab up` chooses."""


def described(spec: LabSpec, seen: Observation | None = None) -> Graph:
    """What its file says; with what was seen of it, subnets, pods and what is wrong, too."""
    segments = {item.name: seen.segments[item.name] if seen else _planned(item) for item in spec.segments}
    pods = _pods(spec, seen)
    machines = [_machine(spec, node, segments, pods.get(node.name, ()), seen) for node in spec.nodes]
    order = [segment.name for segment in spec.segments]
    engines = [engine.name for engine in spec.engines] or [""]
    return Graph(
        title=f"lab {spec.name}",
        notes=tuple(_notes(spec, seen)),
        networks=tuple(_network(segment, segments[segment.name]) for segment in spec.segments),
        # Those on several networks stand between those that are on one.
        machines=tuple(sorted(machines, key=lambda it: (engines.index(it.engine), _place(it, order)))),
    )


def _planned(segment: Segment) -> Subnets:
    return segment.subnets(segment.subnet)


def _place(machine: Machine, order: Sequence[str]) -> float:
    return sum(order.index(port.network) for port in machine.ports) / len(machine.ports)


def _network(segment: Segment, subnets: Subnets) -> Network:
    told = [str(network) for network in subnets.every]
    if segment.ipv4 and subnets.ipv4 is None:
        told.insert(0, TO_COME)
    notes = [f"on the link: {segment.on_link}"] if segment.on_link else []
    notes += [f"MTU {segment.mtu}"] if segment.mtu else []
    return Network(segment.name, tuple(told), tuple(filter(None, (*notes, segment.impairment))))


def _machine(
    spec: LabSpec,
    node: NodeSpec,
    segments: Mapping[str, Subnets],
    pods: Sequence[Pod],
    seen: Observation | None,
) -> Machine:
    by_name = {segment.name: segment for segment in spec.segments}
    ports = []
    for index, at in enumerate(node.attachments):
        subnets = segments[at.segment]
        told = [str(it) for it in subnets.address(at.host, router=node.router).every]
        if by_name[at.segment].ipv4 and subnets.ipv4 is None:
            told.insert(0, f".{at.host}")
        ports.append(Port(f"eth{index}", at.segment, tuple(told)))
    wrong = tuple(_wrong(node, seen))
    return Machine(
        name=node.name,
        ports=tuple(ports),
        services=node.watched,
        notes=(*_roles(node), *_subnets(node, seen), *wrong),
        pods=tuple(pods),
        engine=node.engine,
        router=node.router,
        well=not wrong,
    )


def _roles(node: NodeSpec) -> Iterator[str]:
    if node.router:
        yield "router"
    if node.masquerade:
        yield f"hides {', '.join(node.masquerade)} (NAT)"
    for forward in node.forwards:
        yield f"{forward.protocol} {forward.port} leads to {forward.to}"


def _subnets(node: NodeSpec, seen: Observation | None) -> Iterator[str]:
    """Those that its containers have addresses of."""
    if node.runs("docker") and (bip := node.docker.address) is not None:
        yield f"docker0 {bip}"
    elif seen is not None and node.in_overlay:
        env = known(seen.nodes[node.name].subnet_env)
        told = parse_environment(env.text or "") if env is not None else {}
        for name in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"):
            if name in told:
                yield f"docker0 {told[name]}"


def _wrong(node: NodeSpec, seen: Observation | None) -> Iterator[str]:
    """What of it does not run."""
    if seen is None:
        return
    found = seen.nodes[node.name]
    if found.state != "running":
        yield found.state
        return
    services = known(found.services)
    if services is None:
        yield "does not answer"
    for service in services or ():
        if not service.ok:
            yield f"{service.unit.removesuffix('.service')} is {service.state}"


def _pods(spec: LabSpec, seen: Observation | None) -> Mapping[str, Sequence[Pod]]:
    """By machine."""
    found: dict[str, list[Pod]] = {}
    if seen is not None:
        for running in seen.pods:
            found.setdefault(running.node, []).append(_pod(running))
        return found
    hosts = [node.name for node in spec.running("docker")]
    for name, node in place(spec.pods, hosts, dict.fromkeys(hosts, 0)).items():
        found.setdefault(node, []).append(Pod(name))
    return found


def _pod(running: RunningPod) -> Pod:
    addresses = tuple(str(it) for it in (running.address, running.address6) if it is not None)
    return Pod(running.name, addresses, "" if running.status == "Running" else running.status)


def _notes(spec: LabSpec, seen: Observation | None) -> Iterator[str]:
    """Of the overlay as a whole."""
    networks = " and ".join(map(str, spec.networks.values()))
    if spec.minions:
        config = spec.backend_config
        direct = ", with DirectRouting" if config.direct_routing else ""
        yield f"overlay {networks}, carried by flannel's backend {config.type}{direct}"
    else:
        yield f"overlay {networks}, without flannel"
    if seen is None:
        return
    used = " ".join(note for node in spec.nodes for note in _subnets(node, seen))
    for lease in seen.leases or ():
        for subnet in (lease.subnet, lease.subnet6):
            # docker0 has the first address of the subnet.
            if subnet is not None and f"{subnet.network_address + 1}/{subnet.prefixlen}" not in used:
                yield f"lease {subnet} of {holder_of(lease.value) or 'nobody'}: no machine here uses it"
