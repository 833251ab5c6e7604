"""`flanneld check-config FILE|-`: report every error in a network configuration, or describe its result."""

import sys
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from flanneld_py.backend.catalog import parse_config
from flanneld_py.config import ConfigError
from flanneld_py.config.model import NetworkConfig, Pool
from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options
from flanneld_py.runtime import output

__all__ = ["describe", "run"]

LONGEST: Final = 1_500_000
"""Maximum size in bytes; etcd accepts no longer value (--max-request-bytes)."""


def run(options: Options) -> int:
    """Print one line per problem on standard error, or one line that begins with OK.

    Returns 0 or `Exit.CONFIG`. Raises `Fatal` if the file cannot be read.
    """
    (name,) = options.arguments
    try:
        network = parse_config(_read(name))
        if (problem := network.uncarried) is not None:
            raise ConfigError((problem,))
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        return Exit.CONFIG
    output.write(f"OK: {describe(network)}\n")
    return Exit.OK


def describe(network: NetworkConfig) -> str:
    """Describe what nodes would get: the number of subnets, the first and the last one, and the backend."""
    pools = [_pool(pool) for pool in (network.ipv4, network.ipv6) if pool is not None]
    # Commands that are not set are omitted.
    settings = ", ".join(f"{key} {value}" for key, value in network.backend.settings().items() if value)
    firewall = "nftables" if network.nftables else "iptables"
    backend = f"backend {network.backend.type}{f' ({settings})' if settings else ''}"
    return "; ".join([*pools, backend, f"rules by {firewall}"])


def _read(name: str) -> bytes:
    try:
        if name == "-":
            if sys.stdin is None:
                raise Fatal("Reading -: standard input is closed", code=Exit.FILE)
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
            f"Reading {name}: longer than {LONGEST} bytes, which etcd does not accept", code=Exit.CONFIG
        )
    return text


def _pool(pool: Pool[IPv4Network] | Pool[IPv6Network]) -> str:
    first, last = pool.subnet_min, pool.subnet_max
    count = (int(last.network_address) - int(first.network_address)) // first.num_addresses + 1
    return f"{count} subnets of {pool.network}, {first} to {last}"
