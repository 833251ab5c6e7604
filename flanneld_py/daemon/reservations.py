"""What two networks of one flanneld (-networks) cannot both have: devices, and UDP ports.

What a network needs its backend declares (`BackendConfig.reservations`).
"""

import threading
from collections.abc import Sequence

from flanneld_py.config.backend import Reservation
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal

__all__ = ["Reservations"]


class Reservations:
    """Which network has what. For any thread."""

    def __init__(self) -> None:
        self._held: dict[str, Sequence[Reservation]] = {}
        self._lock = threading.Lock()

    def take(self, name: str, network: NetworkConfig) -> None:
        """Have all that the network of this name needs, instead of what it had.

        Raises `Fatal` where another has some of it.
        """
        wanted = tuple(network.backend.reservations(network.versions))
        with self._lock:
            for holder, held in self._held.items():
                for need in wanted if holder != name else ():
                    if any(_clash(need, other) for other in held):
                        raise Fatal(
                            f"{need.what} carries the network {holder} of this flanneld already: "
                            f"{need.remedy}",
                            code=Exit.CONFIG,
                        )
            self._held[name] = wanted


def _clash(one: Reservation, other: Reservation) -> bool:
    return one.what == other.what and not (one.sharing and one.sharing == other.sharing)
