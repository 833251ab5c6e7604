"""The lab that the catalogue of faults takes a run's cluster for. Pure."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from lab.faults.targets import Setting
from lab.scale.plan import PREFIX, Machine, config, members, nodes
from lab.spec import LabSpec, NodeSpec, ServiceName
from lab.spec.engine import EngineSpec
from lab.spec.segment import Segment

__all__ = ["setting", "spread"]


def setting(backend: str, count: int, etcd: int) -> Setting:
    """So many nodes, n1 and so on, one more that comes later, and members of etcd, m1 and so on.

    A segment of a lab has 254 addresses, so this one has several, all of them on one switch.
    """
    machines = [*_specs(members(etcd), "etcd"), *_specs(nodes(count + 1), "flanneld")]
    subnets = {spec.segment: subnet for spec, subnet in machines}
    spec = _lab(
        backend,
        segments=tuple(Segment(name=name, subnet=subnet) for name, subnet in subnets.items()),
        nodes=tuple(spec for spec, _ in machines),
    )
    return Setting(spec, spec.subnets_of(subnets))


def _specs(machines: tuple[Machine, ...], service: ServiceName) -> Iterator[tuple[NodeSpec, IPv4Network]]:
    for machine in machines:
        subnet = IPv4Network(f"{machine.address}/24", strict=False)
        host = int(machine.address.rpartition(".")[2])
        segment = str(subnet.network_address)
        yield NodeSpec(name=machine.name, host=host, segment=segment, services=(service,)), subnet


def spread(backend: str, engines: tuple[EngineSpec, ...]) -> LabSpec:
    """What there is on several engines for a run, as `lab gc` knows it: their network, with no lab's machine.

    The network is that of the containers; machines are in namespaces of those.
    """
    return _lab(backend, engines=engines)


def _lab(
    backend: str,
    segments: tuple[Segment, ...] = (Segment(),),
    nodes: tuple[NodeSpec, ...] = (),
    engines: tuple[EngineSpec, ...] = (),
) -> LabSpec:
    return LabSpec(
        name="scale",
        segments=segments,
        engines=engines,
        nodes=nodes,
        flannel_config=config(backend),
        etcd_prefix=PREFIX,
        flanneld_options=(),
        pods=(),
        privileged=False,
    )
