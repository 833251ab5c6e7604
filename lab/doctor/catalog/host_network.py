"""The host's routes and rules, as far as they concern labs."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from lab.doctor.host_seen import HOST, Host
from lab.doctor.model import Found
from lab.doctor.registry import about_host
from lab.packet_filter import Facts, drops


@about_host(
    "host.routes",
    finds="A route of the host's that leads a lab's addresses somewhere else, such as into a VPN",
)
def routes(host: Host) -> Iterator[Found]:
    """One to a wider network does no harm: the lab's own is more specific."""
    networks = {bridge.network: (bridge.lab, bridge.name) for bridge in host.bridges}
    networks |= {network: ("", "") for network in host.wanted if network not in networks}
    own = {bridge.name for bridge in host.bridges}
    for network, (lab, device) in networks.items():
        for route in host.routes:
            narrower = isinstance(route.to, IPv4Network) and route.to.subnet_of(network)
            if narrower and route.device != device and (lab or route.device not in own):
                whose = f", of the lab {lab}," if lab else ""
                what = f"the host leads addresses of {network}{whose} to {route.device}"
                fix = ("lab up --underlay 192.168.NNN.0/24  # another network, when the lab is made anew",)
                yield Found(HOST, what, (f"ip route: {route.text}",), fix)


@about_host(
    "host.firewall", finds="A rule of the host's nftables that drops what a lab's machines send each other"
)
def firewall(host: Host) -> Iterator[Found]:
    """Only where frames that a bridge forwards pass it (net.bridge.bridge-nf-call-iptables)."""
    if host.rules is None or not host.bridged_filtered:
        return
    for bridge in host.bridges:
        packet = Facts(
            family=4,
            state="new",
            protocol="tcp",
            into=bridge.name,
            out=bridge.name,
            source=bridge.network[51],
            destination=bridge.network[52],
        )
        found = drops(host.rules, "forward", packet)
        if found:
            fix = [" ".join(f"'{word}'" if " " in word else word for word in drop.fix) for drop in found]
            what = f"packets between machines of the lab {bridge.lab} are dropped on this host"
            yield Found(HOST, what, [drop.words for drop in found], fix)
