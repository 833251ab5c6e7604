"""A command of the extension backend as the words of a process, without a shell in between.

`$SUBNET` and `${SUBNET}` in it stand for flannel's variables, and `$HOME` for the daemon's own, as in the
shell that flannel uses; a value is never split, globbed or run, whatever a lease says.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Final

from flanneld_py.lease.model import Lease
from flanneld_py.subnet import Subnet

__all__ = ["given", "of_node", "of_peer", "words"]

_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


_LITERAL: Final = re.compile(r"'[^']*'|\\.", re.DOTALL)
"""What a shell takes as it is: what is between single quotes, and what a backslash stands before."""


def words(command: str, variables: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The program and its arguments; ValueError for a quote that is not closed, or for nothing at all.

    `variables` are flannel's, which count everywhere; `environ` is the daemon's own environment, of which
    none counts between single quotes, where a script for another shell may have variables of its own. A
    variable that is in neither stays as it is written.
    """
    try:
        parts = shlex.split(_with(environ, command, variables))
    except ValueError as error:
        raise ValueError(f"{command!r} cannot be taken apart: {error}") from None
    if not parts:
        raise ValueError(f"{command!r} names no program")

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], match[0])

    return [_VARIABLE.sub(value, part) for part in parts]


def _with(environ: Mapping[str, str], command: str, but: Mapping[str, str]) -> str:
    """The command with the environment's values, each of which stays within its word."""
    parts: list[str] = []
    position, quoted = 0, False  # by double quotes, between which a single one means nothing
    while position < len(command):
        literal, variable = _LITERAL.match(command, position), _VARIABLE.match(command, position)
        name = "" if variable is None else variable[1] or variable[2]
        if literal is not None and not (quoted and literal[0].startswith("'")):
            part = shown = literal[0]
        elif variable is not None and name in environ and name not in but:
            part, value = variable[0], environ[name]
            shown = value.replace("\\", r"\\").replace('"', r"\"") if quoted else shlex.quote(value)
        else:
            part = shown = command[position]
            quoted ^= part == '"'
        parts.append(shown)
        position += len(part)
    return "".join(parts)


def of_node(overlay: Subnet, subnet: Subnet, public: Mapping[str, str]) -> dict[str, str]:
    """The variables of PostStartupCommand and ShutdownCommand."""
    networks = {"NETWORK": overlay.ipv4, "IPV6_NETWORK": overlay.ipv6}
    return (
        {name: str(network) for name, network in networks.items() if network} | _subnet(subnet) | dict(public)
    )


def of_peer(lease: Lease) -> dict[str, str]:
    """The variables of SubnetAddCommand and SubnetRemoveCommand."""
    public = {"PUBLIC_IP": lease.attrs.public.ipv4, "PUBLIC_IPV6": lease.attrs.public.ipv6}
    return _subnet(lease.subnet) | {name: str(address) for name, address in public.items() if address}


def _subnet(subnet: Subnet) -> dict[str, str]:
    named = {"SUBNET": subnet.ipv4, "IPV6SUBNET": subnet.ipv6}
    return {name: str(network) for name, network in named.items() if network}


def given(lease: Lease) -> str:
    """What a peer's PreStartupCommand printed; it is the standard input. ValueError where it is no text."""
    data = lease.attrs.backend_data
    if data is None:
        return ""
    if not isinstance(data, str):
        raise ValueError(f"BackendData of {lease.subnet} is no string: {str(data)[:60]}")
    return data
