"""The machines of a way as network namespaces, and the shell scripts that make them.

switch (the container's own namespace): etcd, and one bridge w0, w1, ... for each way
w0-1 and w0-2, the machines of way 0:   eth0 on the bridge; docker0 with the subnet's first address
w0-1-pod and w0-2-pod:                  eth0 on that machine's docker0
"""

from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.bench.plan import Place
from lab.bench.ways import Way

__all__ = ["SWITCH", "Machine", "argv", "machines", "make_machines", "make_pod", "static_subnet"]

# br_netfilter, where the kernel has it, would pass frames between the machines through our packet filter.
SWITCH = "! test -e /proc/sys/net/bridge || sysctl -qw net.bridge.bridge-nf-call-iptables=0"
"""To be run first: a switch forwards frames and filters nothing."""

ETCD_PORT = 2379
MTU = 1500


@dataclass(frozen=True, slots=True)
class Machine:
    """One of a way's two machines; `side` is 1 or 2."""

    way: Way
    side: int

    @property
    def name(self) -> str:
        """Its namespace."""
        return f"w{self.way.number}-{self.side}"

    @property
    def pod(self) -> str:
        """The namespace of the container on it."""
        return f"{self.name}-pod"

    @property
    def address(self) -> str:
        """In the underlay."""
        return f"192.168.{100 + self.way.number}.{10 + self.side}"

    @property
    def etcd(self) -> str:
        """Where it finds etcd."""
        return f"http://192.168.{100 + self.way.number}.1:{ETCD_PORT}"

    @property
    def subnet_file(self) -> str:
        """Where its daemon writes the lease."""
        return f"/run/flannel-{self.name}/subnet.env"

    def namespace(self, place: Place) -> str:
        """Where a program runs for this place."""
        return self.name if place is Place.HOST else self.pod

    def source(self, place: Place, subnet: IPv4Network) -> str:
        """Its address at this place: the machine's on docker0, or the container's.

        Without an overlay a machine has only its own address.
        """
        if place is Place.POD:
            return str(subnet[2])
        return str(subnet[1]) if self.way.daemons else self.address


def machines(way: Way) -> tuple[Machine, Machine]:
    """The sender and the receiver."""
    return Machine(way, 1), Machine(way, 2)


def static_subnet(machine: Machine) -> IPv4Network:
    """The subnet that a machine without a daemon has for its container."""
    return IPv4Network(f"10.{100 + machine.way.number}.{machine.side}.0/24")


def make_machines(way: Way) -> str:
    """A bridge, and the two machines on it."""
    bridge = f"w{way.number}"
    script = f"""
        ip link add name {bridge} mtu {MTU} type bridge
        ip address add 192.168.{100 + way.number}.1/24 dev {bridge}
        ip link set {bridge} up
    """
    for machine in machines(way):
        name = machine.name
        script += f"""
            ip netns add {name}
            ip link add name {name}-port mtu {MTU} type veth peer name eth0 mtu {MTU} netns {name}
            ip link set {name}-port master {bridge} up
            ip -n {name} link set lo up
            ip -n {name} link set eth0 up
            ip -n {name} address add {machine.address}/24 dev eth0
            ip netns exec {name} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.disable_ipv6=1
        """
    if not way.daemons:
        first, second = machines(way)
        for here, there in ((first, second), (second, first)):
            script += f"ip -n {here.name} route add {static_subnet(there)} via {there.address}\n"
    return script


def make_pod(machine: Machine, subnet: IPv4Network, mtu: int) -> str:
    """What Docker does with a lease: docker0 with the subnet's first address, and a container behind it."""
    return f"""
        ip -n {machine.name} link add name docker0 type bridge
        ip -n {machine.name} address add {subnet[1]}/{subnet.prefixlen} dev docker0
        ip -n {machine.name} link set docker0 mtu {mtu} up
        ip netns add {machine.pod}
        ip -n {machine.name} link add name pod mtu {mtu} type veth peer name eth0 netns {machine.pod}
        ip -n {machine.name} link set pod master docker0 up
        ip -n {machine.pod} link set eth0 mtu {mtu}
        ip -n {machine.pod} link set lo up
        ip -n {machine.pod} link set eth0 up
        ip -n {machine.pod} address add {subnet[2]}/{subnet.prefixlen} dev eth0
        ip -n {machine.pod} route add default via {subnet[1]}
    """


def argv(machine: Machine) -> tuple[str, ...]:
    """The command line of its daemon."""
    daemon = machine.way.daemons[machine.side - 1]
    return (
        "ip", "netns", "exec", machine.name, daemon.program, "-iface=eth0", f"-etcd-endpoints={machine.etcd}",
        f"-etcd-prefix={machine.way.prefix}", f"-subnet-file={machine.subnet_file}", *daemon.options,
    )  # fmt: skip
