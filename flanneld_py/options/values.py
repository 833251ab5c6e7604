"""What the text of a flag means, and whether it can work: `Fatal` with exit status 2 if not.

Each takes the name of the flag, for messages, and its text. What depends on several flags is in `together`.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from flanneld_py.errors import Exit, Fatal
from flanneld_py.options.quoting import quote

__all__ = ["address", "endpoints", "file", "folder", "host", "listen", "margin", "networks", "number"]
__all__ += ["on_or_off", "prefix", "remote", "switch", "wrong"]


def wrong(message: str) -> Fatal:
    """The error for what can be read but cannot work."""
    return Fatal(message, code=Exit.USAGE)


def switch(_name: str, text: str) -> bool:
    """A boolean in its canonical form; empty means false."""
    return text == "true"


def on_or_off(_name: str, text: str) -> bool:
    """One of two choices."""
    return text == "on"


_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_ENDPOINT: Final = re.compile(
    rf"(?:(?P<scheme>https?)://)?(?P<rest>{_HOST}:(?P<port>[0-9]{{1,5}}))", re.IGNORECASE
)


def endpoints(_name: str, text: str) -> tuple[str, ...]:
    """Endpoints in the order given, without duplicates and trailing slashes; some may have no scheme."""
    return tuple(dict.fromkeys(_endpoint(part.strip().rstrip("/")) for part in text.split(",")))


def _endpoint(endpoint: str) -> str:
    match = _ENDPOINT.fullmatch(endpoint)
    if match is not None and 0 < int(match["port"]) < 65536:
        scheme = f"{match['scheme'].lower()}://" if match["scheme"] else ""
        return f"{scheme}{match['rest']}"
    if re.fullmatch(r"unix:///[^\0]+", endpoint):
        return endpoint
    if "@" in endpoint:  # with a password, perhaps, which must not be logged
        raise wrong(
            "-etcd-endpoints: an endpoint is http://HOST:PORT or https://HOST:PORT:"
            " give the user by -etcd-username and FLANNELD_ETCD_PASSWORD"
        )
    raise wrong(
        f"-etcd-endpoints: {quote(endpoint)} is not an endpoint:"
        " give http://HOST:PORT, https://HOST:PORT or unix:///PATH, as in http://127.0.0.1:2379"
    )


def prefix(_name: str, text: str) -> str:
    """The prefix as path.Join cleans it, so that our keys are those that flannel would use."""
    parts = [part for part in text.split("/") if part]
    if not parts or {".", ".."} & set(parts):
        raise wrong(
            f"-etcd-prefix: {quote(text)} is not a directory of keys: give one such as /coreos.com/network"
        )
    return ("/" if text.startswith("/") else "") + "/".join(parts)


def address(name: str, text: str) -> str:
    """An IP address of either family, or nothing."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise wrong(f"-{name}: {quote(text)} is not an IP address") from None


def host(family: type[IPv4Address | IPv6Address]) -> Callable[[str, str], str]:
    """An address of a host, or nothing. One that cannot be read is an error; flannel ignores it."""
    kind = "IPv4" if family is IPv4Address else "IPv6"

    def read(name: str, text: str) -> str:
        if not text:
            return text
        try:
            found = family(text)
            if not (found.is_unspecified or found.is_multicast or text == "255.255.255.255"):
                return str(found)
        except ValueError:
            pass
        raise wrong(f"-{name}: {quote(text)} is not a host's {kind} address: give one that other nodes reach")

    return read


def file(example: str) -> Callable[[str, str], str]:
    """The path of a file."""

    def read(name: str, text: str) -> str:
        if not text or text.endswith("/") or "\0" in text:
            raise wrong(f"-{name}: {quote(text)} names no file: give one such as {example}")
        return text

    return read


def folder(example: str) -> Callable[[str, str], str]:
    """The path of a directory."""

    def read(name: str, text: str) -> str:
        if not text or "\0" in text:
            raise wrong(f"-{name}: {quote(text)} names no directory: give one such as {example}")
        return text

    return read


def networks(_name: str, text: str) -> tuple[str, ...]:
    """Names of networks, each a key below the prefix and a file's name, without duplicates."""
    names = [part.strip() for part in text.split(",")] if text else []
    for name in names:
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise wrong(f"-networks: {quote(name)} is not a network's name: give names with commas between")
    return tuple(dict.fromkeys(names))


_LISTEN: Final = re.compile(rf"(?:tcp://)?{_HOST}?:(?P<port>[0-9]{{1,5}})|fd://[0-9]{{0,3}}")


def listen(_name: str, text: str) -> str:
    """An address to listen at, or nothing."""
    match = _LISTEN.fullmatch(text)
    if text and (match is None or (match["port"] and int(match["port"]) > 65535)):
        raise wrong(f"-listen: {quote(text)} is not an address to listen at: give HOST:PORT, :PORT or fd://N")
    return text


def remote(_name: str, text: str) -> str:
    """The address of a server, or nothing."""
    match = re.fullmatch(rf"{_HOST}:(?P<port>[0-9]{{1,5}})", text)
    if text and (match is None or not 0 < int(match["port"]) < 65536):
        raise wrong(f"-remote: {quote(text)} is not the address of a server: give HOST:PORT")
    return text


def number(least: int, most: int, what: str) -> Callable[[str, str], int]:
    """A number in a range."""

    def read(name: str, text: str) -> int:
        found = int(text)
        if not least <= found <= most:
            raise wrong(f"-{name}: {found} is out of range: give {least} to {most} ({what})")
        return found

    return read


def margin(_name: str, text: str) -> int:
    """Minutes. A lease lives 24 hours: the margin is less than that."""
    minutes = int(text)
    if not 0 < minutes < 24 * 60:
        raise wrong("Invalid subnet-lease-renew-margin option, out of acceptable range (1 to 1439 minutes)")
    return minutes
