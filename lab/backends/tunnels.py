"""Backends with a tunnel of the kernel's, of which the lab knows the overhead alone."""

from lab.backends.model import Backend

__all__ = ["IPIP", "WIREGUARD"]

WIREGUARD = Backend(name="wireguard", overhead=80)
"""As flannel reckons: IPv6 (40), UDP (8), WireGuard (32)."""

IPIP = Backend(name="ipip", overhead=20)
"""IPv4."""
