"""The command line and FLANNELD_* -> Options, with the syntax and the texts of Go's flag package.

`-x v`, `-x=v`, `--x v` and `--x=v` are the same; a bool takes its value only as `-x=true`. Parsing ends at
`--` or at the first argument that is no flag. Every flag but -help and -version may come from the
environment (`-etcd-prefix` from FLANNELD_ETCD_PREFIX); the command line wins and an empty variable is not
set.
"""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from flanneld_py.errors import Fatal

__all__ = ["Options", "UsageError", "parse", "split_endpoint", "usage"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; checked, except that `iface` is looked up by the kernel.

    `public_ip` and `iface` are empty when not given. `subnet_lease_renew_margin` is in minutes.
    """

    etcd_endpoints: tuple[str, ...] = ("http://127.0.0.1:4001", "http://127.0.0.1:2379")
    etcd_prefix: str = "/coreos.com/network"
    iface: str = ""
    public_ip: str = ""
    subnet_file: str = "/run/flannel/subnet.env"
    ip_masq: bool = False
    iptables_resync: int = 5
    subnet_lease_renew_margin: int = 60
    v: int = 0
    help: bool = False
    version: bool = False


class UsageError(ValueError):
    """A flag or variable that cannot be read: exit status 2.

    `show_usage` is false for the environment's errors, which one line explains better than the list of flags.
    """

    def __init__(self, message: str, *, show_usage: bool = True) -> None:
        super().__init__(message)
        self.show_usage = show_usage


@dataclass(frozen=True, slots=True)
class _Flag:
    kind: str
    meaning: str
    default: str = ""

    @property
    def is_bool(self) -> bool:
        return self.kind == ""


_FLAGS: Final[Mapping[str, _Flag]] = {
    "etcd-endpoints": _Flag(
        "string",
        "where etcd answers, one or several, with commas between",
        "http://127.0.0.1:4001,http://127.0.0.1:2379",
    ),
    "etcd-prefix": _Flag("string", "the key in etcd above config and subnets", "/coreos.com/network"),
    "help": _Flag("", "print this text"),
    "iface": _Flag("string", "the interface, by name or address; by default that of the default IPv4 route"),
    "ip-masq": _Flag("", "masquerade what leaves the overlay network", "false"),
    "public-ip": _Flag(
        "string", "the address that other nodes reach this one by; by default the interface's"
    ),
    "subnet-file": _Flag("string", "where the subnet and the MTU are written", "/run/flannel/subnet.env"),
    "subnet-lease-renew-margin": _Flag(
        "int", "minutes before a lease's end at which it is renewed, 1 to 1439", "60"
    ),
    "v": _Flag("int", "how much to log: 0, 1 or 2", "0"),
    "version": _Flag("", "print the version"),
}
_FROM_COMMAND_LINE_ONLY: Final = frozenset({"help", "version"})

# strconv.ParseBool
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the arguments after the program's name.

    With a positional argument, or -help, the result only says so; likewise -version: then neither the
    environment nor the values are looked at. Raises UsageError for what cannot be read, and Fatal for what
    can be read and cannot work.
    """
    given, positional = _read_flags(argv)
    if positional or given.get("help") == "true":
        return Options(help=True)
    if given.get("version") == "true":
        return Options(version=True)
    values = {name: flag.default for name, flag in _FLAGS.items()}
    values |= _read_environment(environ, skip=given.keys())
    values |= given
    return Options(
        etcd_endpoints=_endpoints(values["etcd-endpoints"]),
        etcd_prefix=_prefix(values["etcd-prefix"]),
        iface=values["iface"],
        public_ip=_public_ip(values["public-ip"]),
        subnet_file=_subnet_file(values["subnet-file"]),
        ip_masq=values["ip-masq"] == "true",
        subnet_lease_renew_margin=_margin(int(values["subnet-lease-renew-margin"])),
        v=int(values["v"]),
    )


def usage(program: str) -> str:
    """The text of -help: each flag with its default and its variable."""
    lines = [f"Usage: {program} [OPTION]..."]
    for name, flag in _FLAGS.items():
        default = f' (default "{flag.default}")' if flag.kind == "string" else f" (default {flag.default})"
        variable = "" if name in _FROM_COMMAND_LINE_ONLY else f" [{_variable(name)}]"
        lines.append(f"  -{name} {flag.kind}".rstrip())
        lines.append(f"    \t{flag.meaning}{default if flag.default else ''}{variable}")
    return "\n".join(lines) + "\n"


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of an endpoint that `parse` accepted; an IPv6 address loses its brackets."""
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    return host.strip("[]"), int(port)


def _read_flags(argv: Sequence[str]) -> tuple[dict[str, str], bool]:
    """The flags in canonical form ("true", "60"), and whether a positional argument followed them."""
    given: dict[str, str] = {}
    rest = list(argv)
    while rest:
        argument = rest[0]
        if len(argument) < 2 or not argument.startswith("-"):
            return given, True
        del rest[0]
        if argument == "--":
            return given, bool(rest)
        name, equals, value = argument[2 if argument.startswith("--") else 1 :].partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {argument}")
        if name == "h":  # Go's flag package treats an undefined -h as -help
            return {"help": "true"}, False
        flag = _FLAGS.get(name)
        if flag is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if not equals and flag.is_bool:
            value = "true"
        elif not equals and not rest:
            raise UsageError(f"flag needs an argument: -{name}")
        elif not equals:
            value = rest.pop(0)
        try:
            given[name] = _canonical(flag, value)
        except ValueError as error:
            what = "boolean value" if flag.is_bool else "value"
            raise UsageError(f"invalid {what} {_quote(value)} for flag -{name}: {error}") from None
    return given, False


def _read_environment(environ: Mapping[str, str], skip: Container[str]) -> dict[str, str]:
    """The variables' values. Unlike flannel's, an unreadable one is an error and not ignored."""
    found: dict[str, str] = {}
    for name, flag in _FLAGS.items():
        value = environ.get(_variable(name), "")
        if not value or name in skip or name in _FROM_COMMAND_LINE_ONLY:
            continue
        try:
            found[name] = _canonical(flag, value)
        except ValueError as error:
            message = f"invalid value {_quote(value)} in the environment variable {_variable(name)}: {error}"
            raise UsageError(message, show_usage=False) from None
    return found


def _variable(name: str) -> str:
    return "FLANNELD_" + name.upper().replace("-", "_")


def _quote(value: str) -> str:
    """Go's %q, as far as a command line needs it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _canonical(flag: _Flag, value: str) -> str:
    """The value in the spelling of Go's %v; ValueError carries Go's reason."""
    if flag.is_bool:
        if value in _TRUE:
            return "true"
        if value in _FALSE:
            return "false"
        raise ValueError("parse error")
    if flag.kind == "int":
        return str(_go_int(value))
    return value


_GO_INT: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>(?:_?[0-9a-fA-F])+)|0[oO]?(?P<octal>(?:_?[0-7])+)"
    r"|0[bB](?P<binary>(?:_?[01])+)|(?P<decimal>0|[1-9](?:_?[0-9])*))"
)
_BASES: Final[Mapping[str, int]] = {"hex": 16, "octal": 8, "binary": 2, "decimal": 10}


def _go_int(value: str) -> int:
    """strconv.ParseInt(value, 0, 64): decimal, 0x, 0o or 0, 0b, and underscores between digits."""
    match = _GO_INT.fullmatch(value)
    if match is None or len(value) > 100:
        raise ValueError("parse error")
    number = next(int(digits, base) for kind, base in _BASES.items() if (digits := match[kind]) is not None)
    number = -number if match["sign"] == "-" else number
    if not -(2**63) <= number < 2**63:
        raise ValueError("value out of range")
    return number


_ENDPOINT: Final = re.compile(r"http://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


def _endpoints(text: str) -> tuple[str, ...]:
    """Endpoints in the order given, without doubles and trailing slashes."""
    given = [part.strip().rstrip("/") for part in text.split(",")]
    return tuple(dict.fromkeys(_endpoint(part) for part in given))


def _endpoint(endpoint: str) -> str:
    attempt = f"-etcd-endpoints: {_quote(endpoint)}"
    if endpoint.lower().startswith(("https://", "https:")):
        raise Fatal(f"{attempt} wants TLS, which this version does not support: give an http:// endpoint")
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise Fatal(f"{attempt} is not an endpoint: give http://HOST:PORT, as in http://127.0.0.1:2379")
    return endpoint


def _prefix(prefix: str) -> str:
    """The prefix as path.Join cleans it, so that our keys are those that flannel would use."""
    parts = [part for part in prefix.split("/") if part]
    if not prefix.startswith("/") or not parts or {".", ".."} & set(parts):
        raise Fatal(
            f"-etcd-prefix: {_quote(prefix)} is not a directory of keys: give one such as /coreos.com/network"
        )
    return "/" + "/".join(parts)


def _public_ip(text: str) -> str:
    """flannel falls back to the interface's address when it cannot read this one; we rather say so."""
    if not text:
        return text
    try:
        address = IPv4Address(text)
    except ValueError:
        address = IPv4Address(0)
    if address.is_unspecified or address.is_multicast or int(address) == 0xFFFFFFFF:
        raise Fatal(
            f"-public-ip: {_quote(text)} is not a host's IPv4 address: give one that other nodes reach"
        )
    return text


def _subnet_file(path: str) -> str:
    if not path or path.endswith("/") or "\0" in path:
        raise Fatal(f"-subnet-file: {_quote(path)} names no file: give one such as /run/flannel/subnet.env")
    return path


def _margin(minutes: int) -> int:
    """A lease lives 24 hours: the margin is less than that."""
    if not 0 < minutes < 24 * 60:
        raise Fatal("Invalid subnet-lease-renew-margin option, out of acceptable range (1 to 1439 minutes)")
    return minutes
