"""Several daemons in one process: one for each network of -networks."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from flanneld_py.errors import Fatal, Stopped

__all__ = ["Countdown", "Member", "run"]


class Member(Protocol):
    """One daemon, as the supervisor sees it."""

    def run(self) -> None:
        """Work until `stop`: then it raises `Stopped`. Raises `Fatal` where it cannot go on."""

    def stop(self) -> None:
        """Have `run` end. For any thread."""

    def close(self) -> None:
        """Remove what `run` made, once it has ended."""


class Countdown:
    """Calls `done` once all of a number of members are ready."""

    def __init__(self, count: int, done: Callable[[], None]) -> None:
        self._waiting = set(range(count))
        self._done = done
        self._lock = threading.Lock()

    def member(self, number: int) -> Callable[[], None]:
        """What a member calls when it is ready, possibly repeatedly."""

        def ready() -> None:
            with self._lock:
                if number not in self._waiting:
                    return
                self._waiting.discard(number)
                if self._waiting:
                    return
            self._done()

        return ready


def run(members: Sequence[Member], names: Sequence[str] = ("",)) -> None:
    """Run all of them, the first in this thread and each other in one of its own; when one ends, all do.

    Raises what ended the first one, after all were closed. `names` are the members' networks; a `Fatal` names
    its network, unless that has no name.
    """
    ended: list[BaseException] = []

    def work(member: Member, name: str) -> None:
        try:
            try:
                member.run()
            finally:
                member.close()
        except BaseException as error:  # noqa: BLE001 (raised again, below)
            ended.append(_named(error, name))
        for other in members:
            other.stop()

    first, *others = zip(members, names, strict=True)
    threads = [threading.Thread(target=work, args=other, name="network", daemon=True) for other in others]
    for thread in threads:
        thread.start()
    work(*first)
    for thread in threads:
        thread.join()
    # `Stopped` is what the others end with because of the first.
    cause = next((error for error in ended if not isinstance(error, Stopped)), None)
    if cause is not None or ended:
        raise cause or ended[0]


def _named(error: BaseException, name: str) -> BaseException:
    if not name or not isinstance(error, Fatal):
        return error
    named = Fatal(f"Network {name}: {error}", code=error.code)
    named.__cause__ = error
    return named
