"""`flanneld cleanup`: remove everything that flannel's daemons leave in this machine's kernel.

That is every route and neighbour with our mark, the devices that backends leave with all their entries, the
notes of which flanneld carries which network, and the packet filter rules. The lease in the registry and
subnet.env stay: with them the machine gets its subnet back.
"""

import re
import sys
from collections.abc import Iterator

from flanneld_py import firewall
from flanneld_py.backend.catalog import own_devices
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import blackhole, links, notes, require_net_admin, table
from flanneld_py.kernel.devices import Device
from flanneld_py.kernel.entries import Remove
from flanneld_py.options import Options
from flanneld_py.runtime import output

__all__ = ["is_flannels", "run"]


def run(options: Options) -> int:  # noqa: ARG001 (it has no options)
    """Print a line for each thing removed; continue after failures. Raises `Fatal`."""
    require_net_admin()
    removed, failures = 0, 0
    unprinted: Exception | None = None
    for step in (_entries, blackhole.remove_all, notes.forget_all, _devices, _rules):
        try:
            for what in step():
                removed += 1
                try:
                    output.write(f"removed {what}\n")
                except (Fatal, BrokenPipeError) as error:  # the rest must be removed all the same
                    unprinted = error
        except OSError as error:
            failures += 1
            sys.stderr.write(f"{error.strerror or error}\n")
    for device in links.listed():
        if is_flannels(device, left=False):
            sys.stderr.write(f"{device.name} exists, so a flanneld is running: stop it and clean up again\n")
            failures += 1
    if not removed and not failures:
        output.write("found nothing of flannel's to remove\n")
    if unprinted is not None:
        raise unprinted
    return Exit.KERNEL if failures else Exit.OK


def is_flannels(device: Device, *, left: bool = True) -> bool:
    """Whether a flanneld makes such a device and leaves it when it exits or, with `left` false, does not."""
    return any(
        own.leaves == left and own.kind == device.kind and own.names.fullmatch(device.name)
        for own in own_devices()
    )


def _entries() -> Iterator[str]:
    names = {device.index: device.name for device in links.listed()}
    changes = [Remove(item.entry) for item in table.marked()]
    failed = dict(table.perform(changes)) if changes else {}
    for change in changes:
        if change not in failed:
            yield re.sub(r"dev #([0-9]+)", lambda m: f"dev {names.get(int(m[1]), m[0])}", str(change.entry))
    for error in failed.values():
        raise error


def _devices() -> Iterator[str]:
    for device in links.listed():
        if is_flannels(device) and links.delete_link(device.name):
            yield f"device {device.name}"


def _rules() -> Iterator[str]:
    yield from firewall.remove_all()
