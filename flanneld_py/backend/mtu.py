"""Whether an interface's MTU leaves room for an overlay."""

from flanneld_py.errors import Exit, Fatal
from flanneld_py.underlay.interface import Interface

__all__ = ["require_mtu"]


def require_mtu(outer: int, least: int, backend: str, interface: Interface) -> None:
    """Raise `Fatal` if the MTU of outer packets, from the interface or Backend.MTU, is below `least`."""
    if outer >= least:
        return
    if outer == interface.mtu:
        what, fix = f"The MTU of {interface.name}", "raise it, or name another interface with -iface"
        code = Exit.INTERFACE
    else:
        what, fix, code = "Backend.MTU", "raise it", Exit.CONFIG
    raise Fatal(f"{what} is {outer}, and {backend} needs at least {least}: {fix}", code=code)
