"""What observation and the tutorial's replay need of a lab. `lab.cluster.Lab` provides it; so can a test."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from lab.engine import Command, Ended, ExecResult
from lab.pods import RunningPod
from lab.spec import LabSpec
from lab.spec.segment import Subnets

__all__ = ["Conversation", "LabAccess", "NodeAccess", "Runs"]


class Conversation(Protocol):
    """A command that runs on a machine, and that is talked with line by line."""

    def hear(self, seconds: float) -> str:
        """The next line that it prints. Raises `LabError` when none comes in time, or it has ended."""

    def say(self, line: str) -> None:
        """Give it a line on its standard input. Raises `LabError` when it has ended."""

    def end(self, seconds: float) -> None:
        """Give it an empty line, and wait for its end. Raises `LabError` when that does not come in time."""


class Runs(Protocol):
    """What runs commands."""

    @property
    def name(self) -> str:
        """Its host name."""

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: bytes | None = None,
        within: float | None = None,
    ) -> ExecResult:
        """Run a command to its end. Raises `CommandError` on failure if `check`.

        Raises `NoAnswer` when it has not ended within so many seconds.
        """


class NodeAccess(Runs, Protocol):
    """A machine that runs."""

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """Its address in the underlay: IPv4's, if it has one."""

    def run_each(self, commands: Mapping[str, Command], *, within: float) -> Mapping[str, Ended]:
        """Run commands at the same time, each to its end; what is late is killed with its children.

        Raises `NoAnswer` when even that is not told, and `LabError` when it stands still or has ended.
        """

    def converse(self, argv: Sequence[str]) -> Conversation:
        """Start a command to talk with; it has to end when it reads an empty line, or no more."""


class LabAccess(Protocol):
    """A lab that stands."""

    @property
    def spec(self) -> LabSpec:
        """What it was made from."""

    @property
    def segments(self) -> Mapping[str, Subnets]:
        """The subnets of its underlay's segments, the first of the lab file first."""

    @property
    def nodes(self) -> Mapping[str, NodeAccess]:
        """Its machines, by host name."""

    def state(self, name: str) -> str:
        """A machine's container, in the engine's word; absent where there is none."""

    def node(self, name: str) -> NodeAccess:
        """A machine that runs, by its host name. Raises `LabError`."""

    def pods(self) -> Sequence[RunningPod]:
        """Every pod, by name."""
