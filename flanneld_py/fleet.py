"""Several daemons in one process: one for each network of -networks."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from flanneld_py.registry import Stopped

__all__ = ["Countdown", "Member", "run"]


class Member(Protocol):
    """What a daemon is to its fleet."""

    def run(self) -> None:
        """Work until `stop`: then it raises `Stopped`. Raises `Fatal` where it cannot go on."""

    def stop(self) -> None:
        """Have `run` end. For any thread."""

    def close(self) -> None:
        """Take away what `run` made, once it has ended."""


class Countdown:
    """Calls `done` once everybody of so many has said that they are ready."""

    def __init__(self, count: int, done: Callable[[], None]) -> None:
        self._waiting = set(range(count))
        self._done = done
        self._lock = threading.Lock()

    def member(self, number: int) -> Callable[[], None]:
        """What one of them calls when it is ready; it may do so again and again."""

        def ready() -> None:
            with self._lock:
                if number not in self._waiting:
                    return
                self._waiting.discard(number)
                if self._waiting:
                    return
            self._done()

        return ready


def run(members: Sequence[Member]) -> None:
    """Run all of them, each in a thread of its own; when one ends, all do.

    Raises what ended the first one, after every one was closed.
    """
    ended: list[BaseException] = []

    def work(member: Member) -> None:
        try:
            try:
                member.run()
            finally:
                member.close()
        except BaseException as error:  # noqa: BLE001 (raised again, below)
            ended.append(error)
        for other in members:
            other.stop()

    threads = [
        threading.Thread(target=work, args=(member,), name="network", daemon=True) for member in members
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # `Stopped` is what the others end with because of the first.
    cause = next((error for error in ended if not isinstance(error, Stopped)), None)
    if cause is not None or ended:
        raise cause or ended[0]
