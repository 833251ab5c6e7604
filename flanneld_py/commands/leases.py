"""`flanneld leases [--json]`: list who holds which subnet according to the registry."""

import json
from collections.abc import Iterable, Sequence

from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease.model import StoredLease
from flanneld_py.options import Options
from flanneld_py.registry import AccessRefused, Registry, RegistryUnavailable, Snapshot
from flanneld_py.registry.choose import open_registry
from flanneld_py.runtime import output

__all__ = ["run"]


def run(options: Options) -> int:
    """Print a line or, with --json, an object per lease. Raises `Fatal` if the registry is unavailable."""
    flag = "-remote" if options.remote else "-etcd-endpoints"
    lists = [(network, _read(open_registry(options, network), flag)) for network in options.networks or ("",)]
    if options.json:
        data = [_data(held, network) for network, listed in lists for held in _sorted(listed)]
        output.write(f"{json.dumps(data, indent=2)}\n")
    else:
        rows = [_row(held, network) for network, listed in lists for held in _sorted(listed)]
        output.write(_table([("SUBNET", "PUBLIC IP", "BACKEND", "NETWORK"), *rows]))
    return Exit.OK


def _read(registry: Registry, flag: str) -> Snapshot:
    try:
        return registry.snapshot()
    except AccessRefused as error:
        raise Fatal(f"Reading the leases: {error}", code=Exit.REFUSED) from error
    except RegistryUnavailable as error:
        raise Fatal(
            f"Reading the leases: {error}: start it, or name another with {flag}",
            code=Exit.UNAVAILABLE,
        ) from error
    finally:
        registry.close()


def _sorted(snapshot: Snapshot) -> Sequence[StoredLease]:
    return sorted(snapshot.leases, key=lambda held: held.lease.subnet)


def _data(held: StoredLease, network: str) -> dict[str, object]:
    subnet, attrs = held.lease.subnet, held.lease.attrs
    return {
        "network": network,
        "subnet": _text(subnet.ipv4),
        "ipv6_subnet": _text(subnet.ipv6),
        "public_ip": _text(attrs.public.ipv4),
        "public_ipv6": _text(attrs.public.ipv6),
        "backend_type": attrs.backend_type,
        "backend_data": attrs.backend_data,
        "backend_v6_data": attrs.backend_v6_data,
        "reservation": held.permanent,
        "revision": held.revision,
    }


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)


def _row(held: StoredLease, network: str) -> tuple[str, str, str, str]:
    subnet, attrs = held.lease.subnet, held.lease.attrs
    # flannel's leases for udp and alloc name no backend.
    backend = (attrs.backend_type or "-") + (" (reservation)" if held.permanent else "")
    return str(subnet), str(attrs.public), backend, network


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Format columns as wide as their widest entry, omitting those that have only a heading."""
    head, *body = rows
    shown = [column for column in zip(head, *body, strict=True) if not body or any(column[1:])]
    widths = [max(map(len, column)) for column in shown]
    lines = [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*shown, strict=True)
    ]
    return "".join(f"{line}\n" for line in lines)
