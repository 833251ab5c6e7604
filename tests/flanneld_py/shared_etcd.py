"""An etcd in memory that many threads use."""

import threading
from collections.abc import Callable
from typing import Any

from tests.flanneld_py.memory_registry import MemoryEtcd


class SharedEtcd(MemoryEtcd):
    """Each of its methods has it for itself."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(clock)
        self._alone = threading.RLock()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found
        lock = self._alone

        def alone(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return found(*args, **kwargs)

        return alone
