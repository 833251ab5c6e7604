"""What a network's configuration says of the extension backend. Pure."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from flanneld_py.config.backend import BackendConfig
from flanneld_py.config.keys import keys_of, string
from flanneld_py.config.reader import Problem, show

__all__ = ["Extension"]

LONGEST_COMMAND: Final = 4096


@dataclass(frozen=True, slots=True)
class Extension(BackendConfig):
    """Commands that do the backend's work; empty ones are not run."""

    type: ClassVar[str] = "extension"
    compares_entries: ClassVar[bool] = False

    pre_startup_command: str = string("PreStartupCommand")
    post_startup_command: str = string("PostStartupCommand")
    subnet_add_command: str = string("SubnetAddCommand")
    subnet_remove_command: str = string("SubnetRemoveCommand")
    shutdown_command: str = string("ShutdownCommand")

    def problems(self, versions: Sequence[int]) -> Iterator[Problem]:  # noqa: ARG002 (of any)
        """See `BackendConfig`. What is wrong is told now, though a command's turn may come much later."""
        for name, key in keys_of(self).items():
            yield from _of_command(f"Backend.{key.name}", getattr(self, name))


def _of_command(key: str, command: str) -> Iterator[Problem]:
    if len(command) > LONGEST_COMMAND:
        fix = "put what it does into a file, and give the file's name"
        yield Problem(key, f"has {len(command)} characters", fix)
        return
    try:
        empty = bool(command) and not shlex.split(command)
    except ValueError as error:
        yield Problem(key, f"is {show(command)} ({error})", "close what is open, or quote it")
        return
    if empty:
        yield Problem(key, f"is {show(command)}", "name a program, or leave it out")
