"""Where a registry keeps what belongs to a network."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Location"]


@dataclass(frozen=True, slots=True)
class Location:
    """For messages, and for what must stay reachable.

    `keys` is what the network's keys begin with, or the URL that they are below. `absent` says that one of
    them does not exist, with {} for the key. `urls` are where the registry answers. `advice` looks for a
    configuration that is missing where it might have been put by mistake, and says what to do if it is there;
    empty otherwise. It takes a few seconds where nobody answers. `announcements`: nodes can announce things
    beside their leases here.
    """

    keys: str
    absent: str
    urls: tuple[str, ...]
    advice: Callable[[], str] = lambda: ""
    announcements: bool = True
