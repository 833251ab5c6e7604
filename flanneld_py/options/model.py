"""Every option there is: of flannel 0.5.5, of today's flannel, and our own. Each is declared here alone."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from flanneld_py.options import values
from flanneld_py.options.option import option

__all__ = ["Options"]

_DAY: Final = 24 * 60 * 60
_SUBNET_FILE: Final = "/run/flannel/subnet.env"
_SUBNET_DIR: Final = "/run/flannel/networks"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; checked, except for what only the kernel, a file or etcd can tell.

    What is a string is empty when not given. `command` is the word behind which `arguments` came ("" to be
    the daemon), `notices` are sentences about flags that are accepted and do nothing.
    """

    etcd_endpoints: tuple[str, ...] = option(
        "etcd endpoints, comma-separated",
        default="http://127.0.0.1:4001,http://127.0.0.1:2379",
        read=values.endpoints,
        docs="One or more, separated by commas: `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT` (https"
        " if a TLS file is given) or `unix:///PATH` (v3 API). When one fails, the next is tried.",
    )
    etcd_prefix: str = option(
        "the etcd key prefix of config and subnets",
        default="/coreos.com/network",
        read=values.prefix,
        docs="The key above `config` and `subnets`. In the v3 API a prefix without a leading slash is a"
        " different key, as in flannel.",
    )
    etcd_api: str = option(
        "etcd's API: v3, or v2, which flannel up to 0.17 used",
        choices=("v3", "v2"),
        only_here=True,
        docs="`v2` is etcd's older store, which flannel up to 0.17 uses, and the tutorial's `etcdctl set`,"
        " `ls` and `get`. etcd up to 3.5 then needs `--enable-v2=true`; 3.6 no longer has it. IPv4 only.",
    )
    etcd_cafile: str = option(
        "the CA certificates to verify etcd's certificate with, PEM",
        docs="The CA certificates that etcd's certificate is verified with, PEM. Without it: the system's.",
    )
    etcd_certfile: str = option(
        "the client certificate for etcd, PEM",
        docs="The client certificate, PEM. Needs `-etcd-keyfile`; both are read again for each connection.",
    )
    etcd_keyfile: str = option("the key of -etcd-certfile, PEM")
    etcd_username: str = option("the etcd user name")
    etcd_password: str = option(
        "the password of -etcd-username; the environment hides it better",
        secret=True,
        docs="The password of `-etcd-username`. Prefer `FLANNELD_ETCD_PASSWORD`: everybody can read a"
        " process's arguments. It is never logged.",
    )
    iface: tuple[str, ...] = option(
        "the interface, by name or address; by default the default route's; of several, the first that fits",
        kind="list",
    )
    iface_regex: tuple[str, ...] = option(
        "the first interface whose address or name matches; tried after -iface",
        kind="regex",
        docs="The first interface whose address, or else name, matches; tried after `-iface`. Go's syntax,"
        " including classes such as `[[:digit:]]`.",
    )
    iface_can_reach: str = option(
        "use the interface that packets to this address leave by",
        read=values.address,
        docs="The interface that packets to this address leave by; tried after `-iface-regex`.",
    )
    iface_wait: int = option(
        "seconds to wait for an interface that fits",
        kind="int",
        default="60",
        read=values.number(0, _DAY, "seconds"),
        only_here=True,
        docs="Seconds to wait for an interface that fits, at start and whenever it is gone later. After that,"
        " flanneld ends with status 4, the reason, and all candidates.",
    )
    public_ip: str = option(
        "the address that other nodes reach this one by; by default the interface's",
        read=values.host(IPv4Address),
    )
    public_ipv6: str = option("the same for IPv6", read=values.host(IPv6Address))
    subnet_file: str = option(
        "the file to write subnet and MTU to",
        default=_SUBNET_FILE,
        read=values.file(_SUBNET_FILE),
    )
    networks: tuple[str, ...] = option(
        "the networks to join, comma-separated, each with its config in etcd",
        read=values.networks,
        docs="The networks to join, separated by commas; each has `PREFIX/NAME/config` in etcd. A network"
        " whose configuration is missing or unusable waits without holding up the others; `READY=1` is"
        " sent once all have a lease. A network also waits if it wants what another one has, and both are"
        " named: each udp network needs its own `Backend.Port`, each vxlan network its own"
        " `Backend.VNI`; only one can have `ipip`, and only one `wireguard` (or two, one of them IPv6"
        " alone, without `Mode`). A network that cannot go on ends all of them, and the last line of the"
        " log begins with `Network NAME: `.",
    )
    subnet_dir: str = option(
        "with -networks: directory of NETWORK.env files",
        default=_SUBNET_DIR,
        read=values.folder(_SUBNET_DIR),
        docs="With `-networks`: the directory that each network's `NAME.env` is written to.",
    )
    listen: str = option(
        "serve leases to flanneld -remote, at this address: HOST:PORT or fd://N",
        read=values.listen,
        docs="Serve leases to `flanneld -remote` at `HOST:PORT`, `:PORT` or `fd://N`. Not with `-remote`.",
    )
    remote: str = option(
        "use the flanneld -listen server at HOST:PORT instead of etcd",
        read=values.remote,
    )
    remote_cafile: str = option(
        "the CA certificates to verify the other side with, PEM",
        docs="The CA certificates to verify the other side with, PEM: a client the server's, a server its"
        " clients'.",
    )
    remote_certfile: str = option(
        "the certificate for -listen or -remote, PEM",
        docs="The certificate for `-listen` or `-remote`, PEM. Needs `-remote-keyfile`.",
    )
    remote_keyfile: str = option("the key of -remote-certfile, PEM")
    subnet_lease_renew_margin: int = option(
        "minutes before expiry at which a lease is renewed, 1 to 1439",
        kind="int",
        default="60",
        read=values.margin,
    )
    subnet_allocation: str = option(
        "how a new subnet is chosen among the free ones",
        choices=("random", "sticky", "lowest"),
        only_here=True,
        docs="How a new subnet is chosen among the free ones: `random`, `sticky` (starting from a hash of the"
        " public address), or `lowest`.",
    )
    ip_masq: bool = option(
        "masquerade what leaves the overlay network",
        kind="bool",
        default="false",
        read=values.switch,
        docs="Masquerade what leaves the overlay, by today's flannel's rules, in the chain FLANNEL-POSTRTG."
        " Pods see each other's own addresses.",
    )
    ip_masq_fully_random_disable: bool = option(
        "masquerade without --random-fully",
        kind="bool",
        default="false",
        read=values.switch,
        docs="Masquerade without `--random-fully`. If iptables or the kernel does not support it, it is left"
        " out anyway.",
    )
    iptables_forward_rules: bool = option(
        "accept the overlay network in the FORWARD chain",
        kind="bool",
        default="true",
        read=values.switch,
        docs="Accept the overlay in FORWARD, in the chain FLANNEL-FWD.",
    )
    iptables_resync: int = option(
        "seconds between checks of our firewall rules",
        kind="int",
        default="5",
        read=values.number(1, _DAY, "seconds"),
        docs="Seconds between two checks of these rules. Changes by others are undone and logged. Leases do"
        " not wait for this: an iptables that hangs only delays the next check.",
    )
    ip_blackhole_route: bool = option(
        "drop packets for unused addresses of our subnet",
        kind="bool",
        default="false",
        read=values.switch,
        docs="Drop packets for unused addresses of our subnet, by a route with the highest metric, so that a"
        " bridge's own route wins.",
    )
    udp_fast_path: str = option(
        "udp: forward packets in the kernel with BPF: where possible, never, or fail to start without it",
        choices=("auto", "off", "require"),
        only_here=True,
        docs="udp: forward packets in the kernel with BPF: `auto` where possible, `off` never, `require` ends"
        " flanneld with status 3 where it is not possible.",
    )
    udp_offloads: str = option(
        "udp: many packets per system call where the kernel can, by a compiled core if it is there",
        choices=("auto", "python", "off"),
        only_here=True,
        docs="udp: many packets per system call where the kernel can, or, `off`, one. `auto` uses the"
        " compiled core if it is there, `python` does without it.",
    )
    udp_source_check: bool = option(
        "udp: accept packets only from the node that holds their source",
        choices=("on", "off"),
        read=values.on_or_off,
        only_here=True,
        docs="udp: accept packets only from the node whose lease holds their source, and let none leave that"
        " a container sends in a peer's name; use `off` behind a NAT.",
    )
    vxlan_source_check: bool = option(
        "vxlan: accept packets only from machines that hold a lease",
        choices=("on", "off"),
        read=values.on_or_off,
        only_here=True,
        docs="vxlan: accept packets only from machines that hold a lease, and let none leave that a container"
        " sends in a peer's name; use `off` behind a NAT.",
    )
    pod_source_check: bool = option(
        "let no packet leave the pods' bridge with an address that is no pod's",
        choices=("on", "off"),
        read=values.on_or_off,
        only_here=True,
        docs="Let no packet leave the pods' bridge with an address that is no pod's"
        " ([which](#what-containers-may-send)).",
    )
    vxlan_tx_checksum: str = option(
        "vxlan: leave transmit checksums to the network card",
        choices=("auto", "on", "off"),
        only_here=True,
        docs="vxlan: leave transmit checksums to the network card: `on`, `off`, or `auto`, as a trial shows.",
    )
    healthz_ip: str = option(
        "the address of -healthz-port",
        default="0.0.0.0",  # noqa: S104 (flannel's default; port 0 listens nowhere)
        read=values.address,
    )
    healthz_port: int = option(
        "the port of /healthz, /readyz, /metrics and /state; 0 for none",
        kind="int",
        default="0",
        read=values.number(0, 65535, "a port, 0 for none"),
        docs="The port of `/healthz`, `/readyz`, `/metrics` and `/state`; 0 for none.",
    )
    log_format: str = option(
        "log format: flannel's own (glog) or JSON objects",
        choices=("glog", "json"),
        only_here=True,
        docs="flannel's own format, or, `json`, an object per line with time, level, message, file, line, pid"
        " and traceback, if any.",
    )
    v: int = option(
        "log verbosity: 0, 1 or 2",
        kind="int",
        default="0",
        read=lambda _name, text: int(text),
        docs="1: more, and where an error came from. 2: the libraries' messages, too.",
    )
    version: bool = option(
        "print the version",
        kind="bool",
        read=values.switch,
        variable=False,
        docs="Print the version to standard error and exit with 0.",
    )
    help: bool = option(
        "print this text",
        kind="bool",
        read=values.switch,
        variable=False,
        docs="Print all flags to standard error and exit with 0.",
    )
    json: bool = option("print JSON", kind="bool", read=values.switch, command="leases")
    command: str = ""
    arguments: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
