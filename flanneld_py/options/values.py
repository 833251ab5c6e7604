"""What the values of flags mean, and which of them cannot work: `Fatal` with exit status 2."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from flanneld_py.errors import Exit, Fatal
from flanneld_py.options.flags import FLAGS
from flanneld_py.options.model import Options
from flanneld_py.options.syntax import CommandLine, quote

__all__ = ["to_options"]

_DAY: Final = 24 * 60 * 60


def to_options(line: CommandLine, given: Mapping[str, Sequence[str]], notices: tuple[str, ...]) -> Options:
    """The options of a command line; `given` are its values, the environment's with them. Raises `Fatal`."""
    values = _Values(given)
    options = Options(
        etcd_endpoints=_endpoints(values),
        etcd_prefix=_prefix(values.text("etcd-prefix"), values.text("etcd-api")),
        etcd_api=values.text("etcd-api"),
        etcd_keyfile=values.text("etcd-keyfile"),
        etcd_certfile=values.text("etcd-certfile"),
        etcd_cafile=values.text("etcd-cafile"),
        etcd_username=values.text("etcd-username"),
        etcd_password=values.text("etcd-password"),
        iface=values.all("iface"),
        iface_regex=values.all("iface-regex"),
        iface_can_reach=_address("iface-can-reach", values.text("iface-can-reach")),
        iface_wait=_number("iface-wait", values, 0, _DAY, "seconds"),
        public_ip=_host("public-ip", values.text("public-ip"), IPv4Address),
        public_ipv6=_host("public-ipv6", values.text("public-ipv6"), IPv6Address),
        subnet_file=_file("subnet-file", values.text("subnet-file")),
        subnet_dir=_folder(values.text("subnet-dir")),
        networks=_networks(values.text("networks")),
        listen=_listen(values.text("listen")),
        remote=_remote(values.text("remote")),
        remote_keyfile=values.text("remote-keyfile"),
        remote_certfile=values.text("remote-certfile"),
        remote_cafile=values.text("remote-cafile"),
        subnet_lease_renew_margin=_margin(int(values.text("subnet-lease-renew-margin"))),
        subnet_allocation=values.text("subnet-allocation"),
        ip_masq=values.is_true("ip-masq"),
        ip_masq_fully_random_disable=values.is_true("ip-masq-fully-random-disable"),
        iptables_resync=_number("iptables-resync", values, 1, _DAY, "seconds"),
        iptables_forward_rules=values.is_true("iptables-forward-rules"),
        ip_blackhole_route=values.is_true("ip-blackhole-route"),
        udp_fast_path=values.text("udp-fast-path"),
        udp_offloads=values.text("udp-offloads"),
        udp_source_check=values.text("udp-source-check") == "on",
        vxlan_source_check=values.text("vxlan-source-check") == "on",
        vxlan_tx_checksum=values.text("vxlan-tx-checksum"),
        healthz_ip=_address("healthz-ip", values.text("healthz-ip")),
        healthz_port=_number("healthz-port", values, 0, 65535, "a port, 0 for none"),
        log_format=values.text("log-format"),
        v=int(values.text("v")),
        command=line.command,
        arguments=line.arguments,
        json=values.is_true("json"),
        notices=notices,
    )
    _check_together(options)
    return options


class _Values:
    """Values by flag; the default where none is given."""

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """The last one."""
        flag = FLAGS.get(name)
        return self._given[name][-1] if name in self._given else "" if flag is None else flag.default

    def all(self, name: str) -> tuple[str, ...]:
        """All but the empty ones: a unit file's -iface=$IFACE, with no such variable, asks for nothing."""
        return tuple(value for value in self._given.get(name, ()) if value)

    def is_true(self, name: str) -> bool:
        return self.text(name) == "true"


def _wrong(message: str) -> Fatal:
    return Fatal(message, code=Exit.USAGE)


def _check_together(options: Options) -> None:
    if options.listen and options.remote:
        raise _wrong("--listen and --remote are mutually exclusive")
    for side in ("etcd", "remote"):
        certfile, keyfile = getattr(options, f"{side}_certfile"), getattr(options, f"{side}_keyfile")
        if bool(certfile) != bool(keyfile):
            here, missing = ("certfile", "keyfile") if certfile else ("keyfile", "certfile")
            raise _wrong(f"-{side}-{here} has no effect alone: give -{side}-{missing}, too")
    if options.etcd_password and not options.etcd_username:
        raise _wrong("-etcd-password has no effect alone: give -etcd-username, too")


_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_ENDPOINT: Final = re.compile(
    rf"(?:(?P<scheme>https?)://)?(?P<rest>{_HOST}:(?P<port>[0-9]{{1,5}}))", re.IGNORECASE
)


def _endpoints(values: _Values) -> tuple[str, ...]:
    """Endpoints in the order given, without doubles and trailing slashes.

    One without a scheme is encrypted if there is anything to encrypt with, as etcd's own client has it.
    """
    given = [part.strip().rstrip("/") for part in values.text("etcd-endpoints").split(",")]
    files = [values.text(f"etcd-{name}file") for name in ("ca", "cert", "key")]
    scheme = "https" if any(files) else "http"
    found = tuple(dict.fromkeys(_endpoint(part, scheme) for part in given))
    if values.text("etcd-api") == "v2" and any(each.startswith("unix:") for each in found):
        raise _wrong("-etcd-endpoints: over unix:// etcd is asked by its v3 API alone: give http://HOST:PORT")
    return found


def _endpoint(endpoint: str, scheme: str) -> str:
    match = _ENDPOINT.fullmatch(endpoint)
    if match is not None and 0 < int(match["port"]) < 65536:
        return f"{(match['scheme'] or scheme).lower()}://{match['rest']}"
    if re.fullmatch(r"unix:///[^\0]+", endpoint):
        return endpoint
    if "@" in endpoint:  # with a password, perhaps, which is not for the log
        raise _wrong(
            "-etcd-endpoints: an endpoint is http://HOST:PORT or https://HOST:PORT:"
            " give the user by -etcd-username and FLANNELD_ETCD_PASSWORD"
        )
    raise _wrong(
        f"-etcd-endpoints: {quote(endpoint)} is not an endpoint:"
        " give http://HOST:PORT, https://HOST:PORT or unix:///PATH, as in http://127.0.0.1:2379"
    )


def _prefix(prefix: str, etcd_api: str) -> str:
    """The prefix as path.Join cleans it, so that our keys are those that flannel would use.

    To etcd's v3 API the slash at the beginning is a part of the name, and v2 has one before every name.
    """
    parts = [part for part in prefix.split("/") if part]
    if not parts or {".", ".."} & set(parts):
        raise _wrong(
            f"-etcd-prefix: {quote(prefix)} is not a directory of keys: give one such as /coreos.com/network"
        )
    return ("/" if prefix.startswith("/") or etcd_api == "v2" else "") + "/".join(parts)


def _address(name: str, text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise _wrong(f"-{name}: {quote(text)} is not an IP address") from None


def _host(name: str, text: str, family: type[IPv4Address | IPv6Address]) -> str:
    """flannel falls back to the interface's address when it cannot read this one; we rather say so."""
    if not text:
        return text
    try:
        address = family(text)
        if not (address.is_unspecified or address.is_multicast or text == "255.255.255.255"):
            return str(address)
    except ValueError:
        pass
    kind = "IPv4" if family is IPv4Address else "IPv6"
    raise _wrong(f"-{name}: {quote(text)} is not a host's {kind} address: give one that other nodes reach")


def _file(name: str, path: str) -> str:
    if not path or path.endswith("/") or "\0" in path:
        raise _wrong(f"-{name}: {quote(path)} names no file: give one such as {FLAGS[name].default}")
    return path


def _folder(path: str) -> str:
    if not path or "\0" in path:
        raise _wrong(
            f"-subnet-dir: {quote(path)} names no directory: give one such as {FLAGS['subnet-dir'].default}"
        )
    return path


def _networks(text: str) -> tuple[str, ...]:
    """Names of networks, each a key below the prefix and a file's name, without doubles."""
    names = [part.strip() for part in text.split(",")] if text else []
    for name in names:
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise _wrong(f"-networks: {quote(name)} is not a network's name: give names with commas between")
    return tuple(dict.fromkeys(names))


_LISTEN: Final = re.compile(rf"(?:tcp://)?{_HOST}?:(?P<port>[0-9]{{1,5}})|fd://[0-9]{{0,3}}")


def _listen(text: str) -> str:
    match = _LISTEN.fullmatch(text)
    if text and (match is None or (match["port"] and int(match["port"]) > 65535)):
        raise _wrong(f"-listen: {quote(text)} is no address to listen at: give HOST:PORT, :PORT or fd://N")
    return text


def _remote(text: str) -> str:
    match = re.fullmatch(rf"{_HOST}:(?P<port>[0-9]{{1,5}})", text)
    if text and (match is None or not 0 < int(match["port"]) < 65536):
        raise _wrong(f"-remote: {quote(text)} is not where a server answers: give HOST:PORT")
    return text


def _number(name: str, values: _Values, least: int, most: int, what: str) -> int:
    number = int(values.text(name))
    if not least <= number <= most:
        raise _wrong(f"-{name}: {number} is out of range: give {least} to {most} ({what})")
    return number


def _margin(minutes: int) -> int:
    """A lease lives 24 hours: the margin is less than that."""
    if not 0 < minutes < 24 * 60:
        raise _wrong("Invalid subnet-lease-renew-margin option, out of acceptable range (1 to 1439 minutes)")
    return minutes
