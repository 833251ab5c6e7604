"""Machines with addresses of both families, for whoever tests IPv6."""

from ipaddress import IPv6Network

from tests.kernel.harness import Host, Sandbox

__all__ = ["DUAL", "NO_DAD", "address6", "subnet6", "two_machines"]

DUAL = {"Network": "10.2.0.0/16", "EnableIPv6": True, "IPv6Network": "2001:cafe:42::/56"}

NO_DAD = "net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0"
"""So that the underlay and docker's bridge work at once, and not after a second."""


def two_machines(sandbox: Sandbox) -> tuple[Host, Host]:
    """Machines with an IPv6 address besides the IPv4 one: fd00:50::11, fd00:50::12."""
    hosts = sandbox.host("a"), sandbox.host("b")
    for host in hosts:
        script = f"""
            sysctl -qw {NO_DAD} net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
            sysctl -qw net.ipv6.conf.all.forwarding=1
            ip address add {address6(host)}/64 dev eth0 nodad
        """
        host.run("sh", "-ec", script)
    return hosts


def address6(host: Host) -> str:
    return f"fd00:50::{host.address.rpartition('.')[2]}"


def subnet6(host: Host) -> IPv6Network:
    line = next(line for line in host.subnet_env.splitlines() if line.startswith("FLANNEL_IPV6_SUBNET="))
    return IPv6Network(line.partition("=")[2], strict=False)
