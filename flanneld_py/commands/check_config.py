"""`flanneld check-config FILE|-`: all that is wrong with a network configuration, or what it would give."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from flanneld_py import config
from flanneld_py.config.model import BackendConfig, NetworkConfig, Pool
from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options

__all__ = ["describe", "run"]

LONGEST: Final = 1_500_000
"""Bytes; etcd takes no longer value (--max-request-bytes)."""


def run(options: Options) -> int:
    """Print one line for each problem, on standard error, or one line that begins with OK.

    0 or `Exit.CONFIG`. Raises `Fatal` for a file that cannot be read.
    """
    (name,) = options.arguments
    try:
        network = config.parse(_read(name))
    except config.ConfigError as error:
        for line in _problems(error):
            sys.stderr.write(f"{line}\n")
        return Exit.CONFIG
    sys.stdout.write(f"OK: {describe(network)}\n")
    return Exit.OK


def describe(network: NetworkConfig) -> str:
    """What the nodes would be given: how many subnets, the first and the last one, and the backend."""
    pools = [_pool(pool) for pool in (network.ipv4, network.ipv6) if pool is not None]
    settings = ", ".join(_settings(network.backend))
    firewall = "nftables" if network.nftables else "iptables"
    backend = f"backend {network.backend.type}{f' ({settings})' if settings else ''}"
    return "; ".join([*pools, backend, f"rules by {firewall}"])


def _read(name: str) -> bytes:
    try:
        if name == "-":
            text = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(name).open("rb") as file:
                text = file.read(LONGEST + 1)
    except OSError as error:
        raise Fatal(
            f"Reading {name}: {error.strerror}: name a file, or - for stdin", code=Exit.FILE
        ) from error
    if len(text) > LONGEST:
        raise Fatal(
            f"Reading {name}: longer than {LONGEST} bytes, which etcd would not take", code=Exit.CONFIG
        )
    return text


def _problems(error: config.ConfigError) -> Iterator[str]:
    """A line for each: the key, what is wrong with it, and the fix."""
    problems = getattr(error, "problems", ())
    for problem in problems:
        about = "" if problem.message.startswith(problem.key) else f"{problem.key}: "
        yield f"{about}{problem.message}: {problem.fix}"
    if not problems:
        yield str(error)


def _pool(pool: Pool[IPv4Network] | Pool[IPv6Network]) -> str:
    first, last = pool.subnet_min, pool.subnet_max
    count = (int(last.network_address) - int(first.network_address)) // first.num_addresses + 1
    return f"{count} subnets of {pool.network}, {first} to {last}"


_SPELLED: Final[Mapping[str, str]] = {"vni": "VNI", "mtu": "MTU", "gbp": "GBP", "psk": "PSK"} | {
    "listen_port_v6": "ListenPortV6"
}
_DEFAULTS: Final[Mapping[tuple[str, str], str]] = {
    ("vxlan", "port"): "8472",
    ("vxlan", "mtu"): "from the interface",
    ("wireguard", "mtu"): "from the interface",
}
"""What 0 stands for."""


def _settings(backend: BackendConfig) -> Iterator[str]:
    """Each setting by its key; commands that are not given are left out, and a secret is not shown."""
    for field in fields(backend):
        value = getattr(backend, field.name)
        if value == "":
            continue
        if field.name == "psk":
            value = "(not shown)"
        elif value == 0 and (backend.type, field.name) in _DEFAULTS:
            value = _DEFAULTS[backend.type, field.name]
        elif isinstance(value, bool):
            value = str(value).lower()
        key = _SPELLED.get(field.name) or field.name.title().replace("_", "")
        yield f"{key} {value}"
