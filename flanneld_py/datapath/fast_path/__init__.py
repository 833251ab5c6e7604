"""The udp backend's fast path: BPF programs that carry packets between the TUN device and the underlay.

They work beside a packet loop (`datapath.loop`), which handles every packet that they pass on. This process
owns the BPF links, so the programs are detached when it ends, however that happens; after a restart the new
loop takes over and loads its own programs.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.resources import files
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from flanneld_py.datapath.fast_path import bpf, layouts
from flanneld_py.datapath.fast_path.image import Image, read_image
from flanneld_py.datapath.fast_path.inlet import name_of, open_inlet
from flanneld_py.datapath.forward import Mandate, Peer
from flanneld_py.monitor.statistics import OTHERS, Statistics

__all__ = ["FastPath", "FastPathUnavailable", "is_compiled", "load"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

DEVICES: Final = Path("/sys/class/net")
"""What the kernel tells of devices (sysfs-class-net of its ABI)."""

OBJECT: Final = "fast_path.o"
"""The object file that clang compiles from fast_path.c, next to it (see tools/fast-path)."""

LICENSE: Final = "Dual MIT/GPL"
"""License of fast_path.c, in the kernel's terms (license_is_gpl_compatible in linux/license.h)."""

EGRESS: Final = "tcx/egress"
INGRESS: Final = "tcx/ingress"
INLET: Final = "tcx/inlet"
ARPHRD_ETHER: Final = 1  # linux/if_arp.h


class FastPathUnavailable(Exception):
    """The fast path is not available here; the message says what was attempted and what was seen."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A program attached to an interface, given by name and index; `link` is the BPF link's descriptor."""

    program: str
    device: str
    index: int
    link: int


class FastPath:
    """The attached programs, which carry nothing until `allow`. Created by `load`. Methods raise OSError."""

    def __init__(
        self,
        maps: Mapping[str, bpf.Map],
        place: layouts.Place,
        attached: Sequence[Attachment],
        detach: Callable[[], None],
    ) -> None:
        self._maps, self._place, self._attached, self._detach = maps, place, attached, detach
        self._left = layouts.flow(())  # counts of all former peers
        self._open = True
        self._opening = threading.Lock()  # held only while descriptors are opened or closed

    @property
    def inlet(self) -> tuple[str, int] | None:
        """Name and index of the inlet, if there is one."""
        return next(((each.device, each.index) for each in self._attached if each.program == INLET), None)

    def damage(self) -> str:
        """Describe the first program that is detached or whose device is gone; "" if there is none."""
        for each in self._attached:
            if bpf.attached_to(each.link) != each.index:
                # The kernel takes a device from its list before it detaches that device's programs.
                if not _exists(each.index):
                    return f"The device {each.device} is gone"
                return f"The BPF program {each.program} is no longer attached to {each.device}"
        return ""

    def allow(self, mandate: Mandate) -> None:
        """Carry packets under this mandate between the peers that were put; its own table is not used."""
        self._maps["mandates"].put(layouts.FIRST, layouts.mandate(mandate, self._place))

    def forbid(self) -> None:
        """Carry nothing until the next `allow`."""
        self._maps["mandates"].put(layouts.FIRST, layouts.NO_MANDATE)

    def know(self, node: str) -> None:
        """Count this node's traffic separately."""
        key = socket.inet_aton(node)
        if not self._maps["flows"].get(key):
            self._maps["flows"].put(key, layouts.NO_FLOW)

    def forget(self, node: str) -> None:
        """Stop counting this node separately; its counts are added to those of all former peers."""
        self._left = self._left.and_of(self._maps["flows"].take(socket.inet_aton(node)))

    def put(self, subnet: IPv4Network, peer: Peer, *, fast: bool) -> None:
        """Route the subnet to this peer; with `fast` it accepts super-packets: send to it from here."""
        self._maps["peers"].put(layouts.prefix(subnet), layouts.peer(peer, fast=fast))

    def remove(self, subnet: IPv4Network) -> None:
        """Remove the subnet's entry."""
        self._maps["peers"].remove(layouts.prefix(subnet))

    def statistics(self) -> Statistics:
        """Return what the programs have carried and dropped; nothing once closed. For any thread."""
        with ExitStack() as opened:
            with self._opening:
                if not self._open:
                    return Statistics()
                flows, drops = (
                    opened.enter_context(self._maps[name].reader()) for name in ("flows", "drops")
                )
            found = {OTHERS: self._left}
            found |= {socket.inet_ntoa(node): layouts.flow(values) for node, values in flows.items()}
            dropped = {place: layouts.number(values) for place, values in drops.items()}
        reasons = {
            drop.reason: dropped.get(layouts.index(place), 0) for place, drop in enumerate(layouts.DROPS)
        }
        return Statistics(
            {node: flow.sent for node, flow in found.items() if flow.sent.packets},
            {node: flow.received for node, flow in found.items() if flow.received.packets},
            {reason: number for reason, number in reasons.items() if number},
        )

    def close(self) -> None:
        """Detach the programs, so that the loop gets all packets."""
        with self._opening:
            self._open = False
            self._detach()


def _exists(index: int) -> bool:
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True


def is_compiled() -> bool:
    """Whether the fast path was compiled when this flanneld was built."""
    return files(__package__).joinpath(OBJECT).is_file()


def load(tun: str, underlay: str, address: IPv4Address, port: int) -> FastPath:
    """Attach the programs to these interfaces; datagrams are addressed to `address` and `port`.

    Raises `FastPathUnavailable`; then nothing is left behind.
    """
    type_file = DEVICES / underlay / "type"
    kind = int(_attempt(f"reading the type of device {underlay}", type_file.read_text))
    if kind != ARPHRD_ETHER:
        raise FastPathUnavailable(f"{underlay} is not an Ethernet device (ARPHRD type {kind})")
    indices = {
        device: _attempt(f"finding {device}", socket.if_nametoindex, device) for device in (tun, underlay)
    }
    image = _image()
    with ExitStack() as opened:
        maps: dict[str, bpf.Map] = {}
        for name, shape in image.maps.items():
            maps[name] = _attempt(f"making the BPF map {name}", bpf.Map, shape)
            opened.callback(maps[name].close)
        descriptors = {name: each.fd for name, each in maps.items()}
        place = layouts.Place(address, port, indices[tun], indices[underlay])
        attached: list[Attachment] = []

        def attach(program: str, device: str, index: int, direction: int) -> None:
            code = image.instructions(program, descriptors)
            loaded = _attempt(f"loading the BPF program {program}", bpf.load_program, code, LICENSE)
            try:
                what = f"attaching the BPF program {program} to {device} (tcx, Linux 6.6)"
                link = _attempt(what, bpf.attach, loaded, index, direction)
                opened.callback(os.close, link)
                attached.append(Attachment(program, device, index, link))
            finally:
                os.close(loaded)

        # The receiving programs first: a peer that sees us send super-packets may answer with super-packets.
        inlet = name_of(tun)
        try:
            at, close = open_inlet(tun, lambda index: attach(INLET, inlet, index, bpf.BPF_TCX_INGRESS))
        except OSError as error:
            logger.info(
                "TCP to containers is carried in small packets: making %s: %s", inlet, error.strerror or error
            )
        else:
            opened.callback(close)
            place = replace(place, inlet=at)
        attach(INGRESS, underlay, place.underlay, bpf.BPF_TCX_INGRESS)
        attach(EGRESS, tun, place.tun, bpf.BPF_TCX_EGRESS)
        return FastPath(maps, place, attached, opened.pop_all().close)


def _image() -> Image:
    if not is_compiled():
        raise FastPathUnavailable(f"{OBJECT} is not there: this flanneld was built without clang")
    try:
        image = read_image(files(__package__).joinpath(OBJECT).read_bytes())
    except (ValueError, OSError, ImportError) as error:  # pyelftools may not be installed
        raise FastPathUnavailable(f"{OBJECT} cannot be read: {error}") from error
    missing = sorted({EGRESS, INGRESS, INLET} - image.programs.keys())
    if missing:
        raise FastPathUnavailable(f"{OBJECT} is of another version: it has no program {missing[0]}")
    shapes = {name: (shape.key_size, shape.value_size) for name, shape in image.maps.items()}
    if shapes != layouts.SIZES or image.maps["drops"].max_entries != len(layouts.DROPS):
        raise FastPathUnavailable(f"{OBJECT} is of another version: its maps are not laid out as here")
    return image


def _attempt(what: str, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return do(*args, **kwargs)
    except bpf.Rejected as error:
        raise FastPathUnavailable(f"{what}: {error.strerror}: {error.reason}") from error
    except OSError as error:
        raise FastPathUnavailable(f"{what}: {error.strerror}") from error
