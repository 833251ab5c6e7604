"""What the user asked for, as a frozen value."""

from dataclasses import dataclass, field

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Flags by their names; checked, except for what only the kernel, a file or etcd can tell.

    What is a string is empty when not given. `subnet_lease_renew_margin` is in minutes, `iface_wait` and
    `iptables_resync` are in seconds. `command` is the word behind which `arguments` came ("" to be the
    daemon), `notices` are sentences about flags that are taken and do nothing.
    """

    etcd_endpoints: tuple[str, ...] = ("http://127.0.0.1:4001", "http://127.0.0.1:2379")
    etcd_prefix: str = "/coreos.com/network"
    etcd_api: str = "v3"
    etcd_keyfile: str = ""
    etcd_certfile: str = ""
    etcd_cafile: str = ""
    etcd_username: str = ""
    etcd_password: str = field(default="", repr=False)
    iface: tuple[str, ...] = ()
    iface_regex: tuple[str, ...] = ()
    iface_can_reach: str = ""
    iface_wait: int = 60
    public_ip: str = ""
    public_ipv6: str = ""
    subnet_file: str = "/run/flannel/subnet.env"
    subnet_dir: str = "/run/flannel/networks"
    networks: tuple[str, ...] = ()
    listen: str = ""
    remote: str = ""
    remote_keyfile: str = ""
    remote_certfile: str = ""
    remote_cafile: str = ""
    subnet_lease_renew_margin: int = 60
    subnet_allocation: str = "random"
    ip_masq: bool = False
    ip_masq_fully_random_disable: bool = False
    iptables_resync: int = 5
    iptables_forward_rules: bool = True
    ip_blackhole_route: bool = False
    udp_fast_path: str = "auto"
    udp_offloads: str = "auto"
    udp_source_check: bool = True
    vxlan_source_check: bool = True
    vxlan_tx_checksum: str = "auto"
    healthz_ip: str = "0.0.0.0"  # noqa: S104 (flannel's default; port 0 listens nowhere)
    healthz_port: int = 0
    log_format: str = "glog"
    v: int = 0
    help: bool = False
    version: bool = False
    command: str = ""
    arguments: tuple[str, ...] = ()
    json: bool = False
    notices: tuple[str, ...] = ()
