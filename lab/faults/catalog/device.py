"""Faults of network devices, their addresses, and ports."""

from lab.errors import Unfit
from lab.faults.catalog.kernel import DEVICE, device_of, on_each
from lab.faults.catalog.leases import first_etcd, of_store
from lab.faults.options import Option, choice, interface, mac, number, port, text
from lab.faults.plan import Ask, EndOn, OnNode, Plan, Stage, Step, together
from lab.faults.registry import event, state
from lab.faults.targets import nodes, pair

ETH0 = Option("device", text, "Another device.", "NAME", "eth0")
FOLLOWED = "Announced again, or flanneld ends with a clear reason; it is right again within 5 s of its end"

FLANNELD = "flanneld.service"


@state("device-down", nodes(), does="A device is down", holds=FOLLOWED, options=[ETH0])
def device_down(ask: Ask) -> Plan:
    """Ended, it has the addresses and routes that it had."""
    return on_each(ask, "link-down", device=ask.options["device"])


@event("iface-down-up", nodes(), does="A device is down for a moment", holds=FOLLOWED, options=[ETH0])
def iface_down_up(ask: Ask) -> Plan:
    """The routes that the kernel drops with it are put back at once."""
    return on_each(ask, "link-flap", device=ask.options["device"], id="")


@event(
    "device-delete",
    nodes(),
    does="flannel's device is deleted",
    holds="The daemon makes it again, or starts anew, within 10 s",
    options=[DEVICE],
)
def device_delete(ask: Ask) -> Plan:
    """With its routes, neighbours and FDB entries."""
    return on_each(ask, "link-delete", device=device_of(ask))


@state(
    "cable-out",
    nodes(),
    does="A device has no carrier",
    holds=FOLLOWED,
    refused="the carrier of eth0 is that of the veth's other end, which is on the host",
    hint="device-down is what a machine can do itself. Root on the host can pull the cable: ip link set dev "
    "vethNNN down; its number there says: lab exec NODE -- cat /sys/class/net/eth0/iflink",
)
def cable_out(ask: Ask) -> Plan:
    """Refused."""
    raise NotImplementedError(ask)


@state(
    "mtu",
    nodes(),
    does="A device has another MTU",
    holds="A 10 MB row can be selected, or `lab check` names it",
    options=[ETH0, Option("to", number(576, 9000), "The MTU.", "BYTES", "1400")],
)
def mtu(ask: Ask) -> Plan:
    """That of one machine: the others still send it what they sent before."""
    return on_each(ask, "link-mtu", device=ask.options["device"], value=ask.options["to"])


@state(
    "peer-replaced",
    nodes(),
    does="A machine has another MAC address, as if another machine had come with its address",
    holds="Converged within 2 s",
    options=[ETH0, Option("to", mac, "The MAC address.", "MAC", "02:00:5e:00:53:01")],
)
def peer_replaced(ask: Ask) -> Plan:
    """A locally administered one, with the end of RFC 7042's for documentation."""
    return on_each(ask, "link-mac", device=ask.options["device"], value=ask.options["to"])


@state(
    "address-add",
    nodes(),
    does="A device has one more address",
    holds="Nothing changes",
    options=[ETH0, Option("address", interface, "The address.", "ADDRESS/LENGTH", "192.0.2.77/24")],
)
def address_add(ask: Ask) -> Plan:
    """By default one of a network that nobody is in (RFC 5737)."""
    return on_each(ask, "address-added", device=ask.options["device"], address=ask.options["address"])


@state(
    "address-change",
    nodes(),
    does="A device has another address: the highest free one of the machines' network, or the one named",
    holds=FOLLOWED,
    options=[ETH0, Option("address", interface, "The address.", "ADDRESS/LENGTH")],
)
def address_change(ask: Ask) -> Plan:
    """The others know the machine's name by its former address."""
    taken = {address for node in ask.setting.spec.nodes for address in ask.addresses(node.name)}
    steps = []
    for node in ask.nodes:
        network = ask.setting.network(node, ask.options["device"])
        free = [address for address in network.hosts() if address not in taken]
        taken.add(free[-1])
        found = ask.options["address"] or f"{free[-1]}/{network.prefixlen}"
        steps.append((node, Step("address-changed", {"device": ask.options["device"], "address": found})))
    return together(steps)


@state(
    "docker0-wrong-address",
    nodes("docker"),
    does="docker0 has an address that is not of the node's subnet",
    holds="`docker0.address` of `lab check` sees it",
    options=[Option("address", interface, "The address.", "ADDRESS/LENGTH", "192.0.2.1/24")],
)
def docker0_wrong_address(ask: Ask) -> Plan:
    """As one that Docker chose before flanneld had its lease."""
    return on_each(ask, "address-changed", device="docker0", address=ask.options["address"])


@state(
    "port-busy",
    nodes("flanneld"),
    does="Another process has the port that flanneld needs, and flanneld is started again",
    holds="A clear error or a clean retry; no device is left over",
    options=[
        Option("port", port, "Another port than the backend's.", "PORT"),
        Option("protocol", choice("udp", "tcp"), "Its kind.", "udp|tcp", "udp"),
    ],
)
def port_busy(ask: Ask) -> Plan:
    """The unit is stopped while the port is taken."""
    backend = ask.setting.spec.backend.name
    wanted = ask.options["port"] or ask.setting.spec.tunnel_port
    if wanted is None:
        raise Unfit(f"flanneld needs no port with the backend {backend}; name one with --port")
    if ask.options["port"] is None and backend != "udp":
        raise Unfit(
            f"with {backend}, port {wanted} is the kernel's, for a device that outlives flanneld",
            hint="name another port that something on the machine needs, with --port",
        )
    given = {"port": wanted, "protocol": ask.options["protocol"], "unit": FLANNELD}
    return on_each(ask, "port-busy", **given)


@state(
    "peer-vanished",
    pair("flanneld"),
    does="While flanneld of FROM is down, TO's is stopped and its lease deleted; then FROM's starts again",
    holds="No stale route, neighbour or FDB entry of TO is on FROM",
)
def peer_vanished(ask: Ask) -> Plan:
    """Ended, TO's runs again, and gets a lease again by itself."""
    here, there = ask.nodes
    lease = {**of_store(ask), "address": str(ask.address(there))}
    stopped = Step("unit-stopped", {"unit": FLANNELD})
    return (
        (OnNode(here, (stopped,)),),
        (OnNode(there, (stopped,)),),
        (OnNode(first_etcd(ask), (Step("lease-delete", lease),), events=True),),
        (EndOn(here),),
    )


@event(
    "spoofed-datagram",
    nodes("flanneld"),
    does="The first machine with etcd, which has no lease, sends encapsulated echo requests for a node's pod",
    holds="None reaches a pod: the number that its pods have received does not grow",
)
def spoofed_datagram(ask: Ask) -> Plan:
    """With udp and vxlan; with other backends nothing that anybody may send is taken out of a datagram."""
    spec, sender = ask.setting.spec, first_etcd(ask)
    if spec.backend.name not in ("udp", "vxlan"):
        raise Unfit(
            f"spoofed-datagram is refused: the backend {spec.backend.name} takes no packets out of datagrams"
        )
    if sender in {node.name for node in spec.running("flanneld")}:
        raise Unfit("spoofed-datagram is refused: every machine of this lab has a lease")
    vni = spec.backend_config.vni if spec.backend.name == "vxlan" else None
    given = {**of_store(ask), "port": spec.tunnel_port, "vni": vni}

    def counted(when: str) -> Stage:
        return tuple(OnNode(node, (Step("echo-requests", {"when": when}),)) for node in ask.nodes)

    sent = tuple(Step("spoof", {**given, "address": str(ask.address(node))}) for node in ask.nodes)
    return (counted("before"), (OnNode(sender, sent),), counted("after"))
