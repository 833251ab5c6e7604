"""The configuration's Backend: its type and the keys that go with it, as in flannel's docs on backends."""

import base64
import binascii
import shlex
from collections.abc import Callable, Mapping
from typing import Final

from flanneld_py.config.model import (
    Alloc,
    BackendConfig,
    Extension,
    HostGw,
    Ipip,
    Udp,
    Vxlan,
    Wireguard,
)
from flanneld_py.config.reader import Problems, Section, show

__all__ = ["BACKENDS", "GONE", "backend"]

HIGHEST_VNI: Final = 2**24 - 1  # RFC 7348
HIGHEST_PORT: Final = 65535
HIGHEST_MTU: Final = 65535
LONGEST_COMMAND: Final = 4096
MODES: Final = ("separate", "auto", "ipv4", "ipv6")

GONE: Final[Mapping[str, str]] = {
    "aws-vpc": "flannel itself has dropped it; on one link use host-gw, otherwise vxlan",
    "gce": "flannel itself has dropped it; on one link use host-gw, otherwise vxlan",
    "ali-vpc": "flannel itself has dropped it; on one link use host-gw, otherwise vxlan",
    "tencent-vpc": "use vxlan, or the backend extension with the cloud's own commands",
    "ipsec": "use wireguard, which encrypts too and needs no daemon beside it",
}
"""flannel's backends that are none here, and what to use instead."""


def backend(fields: Mapping[str, object], problems: Problems) -> BackendConfig:
    """Read it; without the key it is udp, as in every flannel."""
    value = fields.get("backend")
    if value is None:
        return Udp()
    if not isinstance(value, dict):
        problems.add("Backend", f"is {show(value)}", 'give an object such as {"Type": "udp"}')
        return Udp()
    kind = value.get("type")
    supported = f"give one of {', '.join(BACKENDS)}"
    if not isinstance(kind, str) or not kind:
        problems.add("Backend.Type", f"is {show(kind)}" if kind else "is missing", supported)
        return Udp()
    read = BACKENDS.get(kind.lower())
    if read is None:
        fix = GONE.get(kind.lower(), supported)
        problems.add("Backend.Type", f"{show(kind)} is not supported", fix)
        return Udp()
    return read(Section(value, problems, "Backend."))


def _udp(section: Section) -> Udp:
    return Udp(section.integer("Port", 8285, 1, HIGHEST_PORT))


def _vxlan(section: Section) -> Vxlan:
    return Vxlan(
        section.integer("VNI", 1, 1, HIGHEST_VNI),
        section.integer("Port", 0, 0, HIGHEST_PORT),
        section.integer("MTU", 0, 0, HIGHEST_MTU),
        section.boolean("GBP", False),
        section.boolean("Learning", False),
        section.boolean("DirectRouting", False),
    )


def _wireguard(section: Section) -> Wireguard:
    psk = section.string("PSK")
    if psk and not _is_key(psk):
        # Not shown: it is a secret also when it is wrong.
        section.problems.add("Backend.PSK", "is no key", "give 32 bytes in base64, as `wg genpsk` prints")
    mode = section.string("Mode", "separate")
    if mode not in MODES:
        section.problems.add("Backend.Mode", f"is {show(mode)}", f"give one of {', '.join(MODES)}")
    return Wireguard(
        section.integer("ListenPort", 51820, 1, HIGHEST_PORT),
        section.integer("ListenPortV6", 51821, 1, HIGHEST_PORT),
        section.integer("MTU", 0, 0, HIGHEST_MTU),
        psk,
        section.integer("PersistentKeepaliveInterval", 0, 0, 65535),
        mode,
    )


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _extension(section: Section) -> Extension:
    names = ("PreStartup", "PostStartup", "SubnetAdd", "SubnetRemove", "Shutdown")
    return Extension(*(_command(section, f"{name}Command") for name in names))


def _command(section: Section, name: str) -> str:
    """A command that can be taken apart when it is its turn, which may be when a first peer comes."""
    command = section.string(name)
    if not command:
        return ""
    key = f"{section.path}{name}"
    if len(command) > LONGEST_COMMAND:
        fix = "put what it does into a file, and give the file's name"
        section.problems.add(key, f"has {len(command)} characters", fix)
        return ""
    try:
        empty = not shlex.split(command)
    except ValueError as error:
        section.problems.add(key, f"is {show(command)} ({error})", "close what is open, or quote it")
        return ""
    if empty:
        section.problems.add(key, f"is {show(command)}", "name a program, or leave it out")
    return command


BACKENDS: Final[Mapping[str, Callable[[Section], BackendConfig]]] = {
    "udp": _udp,
    "vxlan": _vxlan,
    "host-gw": lambda _section: HostGw(),
    "alloc": lambda _section: Alloc(),
    "extension": _extension,
    "wireguard": _wireguard,
    "ipip": lambda section: Ipip(section.boolean("DirectRouting", False)),
}
