"""The log on stderr: glog's lines, as flannel writes them, or a JSON object for each message.

I1123 01:48:43.129630 06615 udp.py:222] Watching for new subnet leases
"""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Final

__all__ = ["GlogFormatter", "JsonFormatter", "setup"]

_HANDLER_NAME: Final = "flanneld"


class GlogFormatter(logging.Formatter):
    """Severity, month and day, local time, process id of five digits or more, file and line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, followed by a traceback if the record has one."""
        when = time.localtime(record.created)
        microseconds = int(record.created % 1 * 1_000_000)
        line = (
            f"{_severity(record.levelno)}{when.tm_mon:02}{when.tm_mday:02}"
            f" {when.tm_hour:02}:{when.tm_min:02}:{when.tm_sec:02}.{microseconds:06}"
            f" {record.process:05} {record.filename}:{record.lineno}] {_printable(record.getMessage())}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One line, an object: time (RFC 3339), level, message, file, line, pid, and traceback, if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Always a single line: JSON escapes newlines."""
        members: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .astimezone()
            .isoformat(timespec="microseconds"),
            "level": "fatal" if record.levelno >= logging.CRITICAL else record.levelname.lower(),
            "message": record.getMessage(),
            "file": record.filename,
            "line": record.lineno,
            "pid": record.process,
        }
        if record.exc_info:
            members["traceback"] = self.formatException(record.exc_info)
        return json.dumps(members)


def _printable(text: str) -> str:
    """In one line: what others wrote, in etcd say, must not forge log lines or control a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _severity(level: int) -> str:
    """glog has no debug severity: what -v enables is logged as information."""
    if level < logging.WARNING:
        return "I"
    if level < logging.ERROR:
        return "W"
    return "E" if level < logging.CRITICAL else "F"


def setup(verbosity: int = 0, log_format: str = "glog") -> None:
    """Log to stderr: -v 1 adds the daemon's debug messages, -v 2 those of its libraries.

    `log_format` is glog or json. May be called again to change either.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if handler.name == _HANDLER_NAME]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.name = _HANDLER_NAME
    handler.setFormatter(JsonFormatter() if log_format == "json" else GlogFormatter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbosity >= 2 else logging.WARNING)
    logging.getLogger("flanneld_py").setLevel(logging.DEBUG if verbosity >= 1 else logging.INFO)
