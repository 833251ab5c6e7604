"""glog's line on stderr, as flannel writes it:

I1123 01:48:43.129630 06615 udp.py:222] Watching for new subnet leases
"""

import logging
import sys
import time
from typing import Final

__all__ = ["GlogFormatter", "setup"]

_HANDLER_NAME: Final = "flanneld"


class GlogFormatter(logging.Formatter):
    """Severity, month and day, local time, process id of five digits or more, file and line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it where the record carries one."""
        when = time.localtime(record.created)
        microseconds = int(record.created % 1 * 1_000_000)
        line = (
            f"{_severity(record.levelno)}{when.tm_mon:02}{when.tm_mday:02}"
            f" {when.tm_hour:02}:{when.tm_min:02}:{when.tm_sec:02}.{microseconds:06}"
            f" {record.process:05} {record.filename}:{record.lineno}] {record.getMessage()}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _severity(level: int) -> str:
    """glog has no debug severity: what -v lets through is information."""
    if level < logging.WARNING:
        return "I"
    if level < logging.ERROR:
        return "W"
    return "E" if level < logging.CRITICAL else "F"


def setup(verbosity: int = 0) -> None:
    """Log to stderr: -v 1 adds the daemon's debug messages, -v 2 those of the libraries below it.

    May be called again, to change the verbosity.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if handler.name == _HANDLER_NAME]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.name = _HANDLER_NAME
    handler.setFormatter(GlogFormatter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbosity >= 2 else logging.WARNING)
    logging.getLogger("flanneld_py").setLevel(logging.DEBUG if verbosity >= 1 else logging.INFO)
