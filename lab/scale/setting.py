"""The lab that the catalogue of faults takes a run's cluster for. Pure."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from lab.faults.targets import Setting
from lab.scale.plan import PREFIX, Machine, config, members, nodes
from lab.spec import LabSpec, NodeSpec, ServiceName
from lab.spec.segment import Segment

__all__ = ["setting"]


def setting(backend: str, count: int, etcd: int) -> Setting:
    """So many nodes, n1 and so on, one more that comes later, and members of etcd, m1 and so on.

    A segment of a lab has 254 addresses, so this one has several, all of them on one switch.
    """
    machines = [*_specs(members(etcd), "etcd"), *_specs(nodes(count + 1), "flanneld")]
    subnets = {spec.segment: subnet for spec, subnet in machines}
    spec = LabSpec(
        name="scale",
        segments=tuple(Segment(name=name, subnet=subnet) for name, subnet in subnets.items()),
        nodes=tuple(spec for spec, _ in machines),
        flannel_config=config(backend),
        etcd_prefix=PREFIX,
        flanneld_options=(),
        pods=(),
        privileged=False,
    )
    return Setting(spec, spec.subnets_of(subnets))


def _specs(machines: tuple[Machine, ...], service: ServiceName) -> Iterator[tuple[NodeSpec, IPv4Network]]:
    for machine in machines:
        subnet = IPv4Network(f"{machine.address}/24", strict=False)
        host = int(machine.address.rpartition(".")[2])
        segment = str(subnet.network_address)
        yield NodeSpec(name=machine.name, host=host, segment=segment, services=(service,)), subnet
