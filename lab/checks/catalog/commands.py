"""The lab file's own checks: commands on nodes, and what must come of each."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.checks.finding import Comparison, Subject, compare, unknown
from lab.checks.registry import Layer, check
from lab.checks.values import Data
from lab.observe import Observation, Output, Topic, known
from lab.spec import CommandCheck

LONG = 160
"""Characters of a line."""

KILLED = 137
"""The exit status of timeout(1) when it had to kill the command."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a command has to end."""

    check: CommandCheck

    @property
    def data(self) -> Data:
        """As the lab file says it."""
        return {
            "run": self.check.run,
            "status": self.check.status,
            "output": self.check.output,
            "within": str(self.check.within),
        }

    @property
    def text(self) -> str:
        """For a person."""
        return self.check.describe()


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command ended."""

    output: Output
    within: float
    late: bool
    """Whether it was killed when its time was up."""

    @property
    def data(self) -> Data:
        """Its exit status, and all that it printed."""
        return {
            "status": self.output.exit_code,
            "stdout": self.output.stdout,
            "stderr": self.output.stderr,
        }

    @property
    def text(self) -> str:
        """For a person: the end of what it printed."""
        if self.late:
            return f"it had not ended after {self.within:g} s, and was killed"
        said = (self.output.stderr.strip() or self.output.stdout.strip()).splitlines()[-3:]
        return "\n".join([f"exit status {self.output.exit_code}", *(_shorten(line) for line in said)])


def _shorten(line: str) -> str:
    """A line that a person reads, and a terminal does not obey; the data have all of it."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return shown if len(shown) <= LONG else f"{shown[:LONG]}..."


@check(
    "file.command",
    "{part}",
    layer=Layer.TRAFFIC,
    part="NAME",
    on="entry of `checks` in the lab file",
    expects="the command on that node ends in time, with the exit status and the output that the lab file "
    "says",
    needs={Topic.COMMANDS},
)
def commands(seen: Observation) -> Iterator[Comparison]:
    """What the lab file's author wants to be true."""
    for item in seen.spec.checks:
        node = seen.nodes[item.node]
        output = (known(node.commands) or {}).get(item.name)
        if output is not None:
            subject = Subject.node(node.name, item.name)
            if output.late == "all":  # whoever asked had less time than the check may take
                yield unknown(subject, Wanted(item), "it was not given the time that it may take")
                continue
            late = output.late == "own"
            holds = not late and item.holds(output.exit_code, output.stdout)
            yield compare(subject, holds, Wanted(item), Ended(output, item.within, late))
