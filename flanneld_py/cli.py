"""`flanneld`: the only place that turns errors into exit statuses.

0: stopped by a signal, or help or version were asked for. 1: the daemon cannot work, one line in the log
says why. 2: a flag or a variable cannot be read.
"""

import logging
import os
import sys
from pathlib import Path

from flanneld_py import __version__, log
from flanneld_py.errors import Fatal
from flanneld_py.options import UsageError, parse, usage

__all__ = ["main"]

_log = logging.getLogger(__name__)


def main() -> int:
    """Run the daemon with the process's arguments and environment; the exit status."""
    program = Path(sys.argv[0]).name
    log.setup()
    verbose = False
    try:
        options = parse(sys.argv[1:], os.environ)
        if options.help:
            sys.stderr.write(usage(program))
            return 0
        if options.version:
            sys.stderr.write(f"{__version__}\n")
            return 0
        verbose = options.v >= 1
        log.setup(options.v)
        # Only now, so that help, version and errors do not wait for the libraries below it.
        from flanneld_py import service

        return service.run(options)
    except UsageError as error:
        sys.stderr.write(f"{error}\n" + (usage(program) if error.show_usage else ""))
        return 2
    except Fatal as error:
        _log.error("%s", error, exc_info=verbose)
        return int(error.code)
    except KeyboardInterrupt:  # before the daemon handles signals itself
        return 130
    except Exception as error:  # noqa: BLE001 -- the last resort
        hint = "" if verbose else " (-v=1 shows where)"
        _log.error("Unexpected %s: %s%s", type(error).__name__, error, hint, exc_info=verbose)
        return 1
