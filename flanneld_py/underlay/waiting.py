"""Waiting for the external interface: at boot the network may come up after us."""

import logging
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from flanneld_py.errors import Exit, Fatal, Stopped
from flanneld_py.options import Options
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Address, Addresses
from flanneld_py.underlay.interface import (
    ANY,
    Candidate,
    Families,
    Interface,
    InterfaceSelection,
    NoInterface,
    Routes,
    choose,
    describe,
)

__all__ = ["Look", "selection_of", "wait_for_interface"]

logger = logging.getLogger(__name__)

Look: TypeAlias = Callable[[Address | None], tuple[Sequence[Candidate], Routes]]
"""Lists the interfaces and the routes; the argument is the address of -iface-can-reach."""

BETWEEN_LOOKS: Final = 0.25
"""Seconds."""


def selection_of(options: Options) -> InterfaceSelection:
    """What the options say about the interface and the public addresses."""
    public = Addresses(
        IPv4Address(options.public_ip) if options.public_ip else None,
        IPv6Address(options.public_ipv6) if options.public_ipv6 else None,
    )
    can_reach = ip_address(options.iface_can_reach) if options.iface_can_reach else None
    return InterfaceSelection(options.iface, options.iface_regex, can_reach, public)


def wait_for_interface(
    options: Options,
    look: Look,
    time: Time,
    needs: Families = ANY,
    doing: Callable[[str], None] = lambda _: None,
) -> Interface:
    """The interface that the options ask for, as soon as it exists and has an address.

    Waits up to -iface-wait seconds, and says what for: `doing`, for the state, and, once, the log. Raises
    `Fatal` with the reason and all candidates, and `Stopped` when `time` is stopping.
    """
    wanted = selection_of(options)
    deadline = time.now() + options.iface_wait
    waiting = False
    while True:
        candidates, routes = look(wanted.can_reach)
        try:
            interface = choose(candidates, wanted, routes, needs)
        except NoInterface as error:
            if time.now() >= deadline:
                after = f" (waited {options.iface_wait} s, -iface-wait)" if options.iface_wait else ""
                raise Fatal(f"{error}{after}", code=Exit.INTERFACE) from None
            if not waiting:
                logger.warning("Waiting up to %s s for an interface: %s", options.iface_wait, error)
                doing("waiting for an interface that fits")
            waiting = True
        else:
            logger.info("Interfaces of this machine: %s", describe(candidates))
            if waiting:
                doing("")
            return interface
        time.rest(min(BETWEEN_LOOKS, max(0.0, deadline - time.now())))
        if time.stopping.is_set():
            raise Stopped
