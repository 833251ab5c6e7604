"""The daemon, or a command: the only place that turns errors into exit statuses, `errors.Exit`."""

import logging
import os
import sys
from importlib import import_module
from pathlib import Path

from flanneld_py import __version__
from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options, UsageError, parse, usage
from flanneld_py.runtime import log

__all__ = ["run"]

_log = logging.getLogger(__name__)


def run() -> int:
    """Run the daemon, or a command, with the process's arguments and environment; the exit status."""
    program = Path(sys.argv[0]).name
    log.setup()
    verbose = False
    try:
        options = parse(sys.argv[1:], os.environ)
        if options.help:
            sys.stderr.write(usage(program))
            return Exit.OK
        if options.version:
            sys.stderr.write(f"{__version__}\n")
            return Exit.OK
        os.environ.pop("FLANNELD_ETCD_PASSWORD", None)  # no program that we run needs to know it
        verbose = options.v >= 1
        log.setup(options.v, options.log_format)
        return _command(options) if options.command else _daemon(options)
    except UsageError as error:
        sys.stderr.write(f"{error}\n" + (usage(program) if error.show_usage else ""))
        return Exit.USAGE
    except Fatal as error:
        _log.error("%s", error, exc_info=verbose)
        return error.code
    except KeyboardInterrupt:  # before the daemon handles signals itself
        return 130
    except Exception as error:  # noqa: BLE001 -- the last resort
        hint = "" if verbose else " (-v=1 shows where)"
        _log.error("Unexpected %s: %s%s", type(error).__name__, error, hint, exc_info=verbose)
        return Exit.INTERNAL


def _daemon(options: Options) -> int:
    _log.debug("%s", options)
    for notice in options.notices:
        _log.warning("%s", notice)
    # Only now, so that help, version and errors do not wait for the libraries below it.
    from flanneld_py.daemon import service

    return service.run(options)


def _command(options: Options) -> int:
    """Each command is a module, imported only when it is asked for; what reads its output may stop early."""
    module = import_module(f"flanneld_py.commands.{options.command.replace('-', '_')}")
    try:
        return int(module.run(options))
    except BrokenPipeError:
        return Exit.OK
