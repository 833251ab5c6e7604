"""A command of the extension backend as the words of a process, without a shell in between.

`$SUBNET` and `${SUBNET}` in it stand for flannel's variables; a value is never split, globbed or run,
whatever a lease says.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Final

from flanneld_py.lease import Lease
from flanneld_py.subnet import Subnet

__all__ = ["given", "of_node", "of_peer", "words"]

_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def words(command: str, variables: Mapping[str, str]) -> list[str]:
    """The program and its arguments; ValueError for a quote that is not closed, or for nothing at all.

    A variable that is not given stays as it is written.
    """
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"{command!r} cannot be taken apart: {error}") from None
    if not parts:
        raise ValueError(f"{command!r} names no program")

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], match[0])

    return [_VARIABLE.sub(value, part) for part in parts]


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
