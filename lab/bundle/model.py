"""What a bundle is made from, and what it consists of, as values. Pure."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from lab.checks.finding import Finding
from lab.checks.values import Data
from lab.cluster.plan import Step
from lab.faults.status import Status
from lab.observe.model import Output, Told
from lab.spec import LabSpec

__all__ = ["Entry", "Evidence", "Form", "Machine", "Question"]


class Form(Enum):
    """How the answer to a question becomes files."""

    TEXT = "text"
    """As it was printed."""
    JOURNAL = "journal"
    """Lines of `journalctl --output=json`."""
    LOGS = "logs"
    """What container_logs.py prints: a file for each container."""
    CONTAINERS = "containers"
    """What containers.py prints."""
    KEYS = "keys"
    """What etcd_keys.py prints."""
    PACKETS = "packets"
    """What packets.py prints: two files for each device, in the bundle's own folder of that name."""
    SECRETS = "secrets"
    """The lab's description with the values of the pods' variables. It is no part of the bundle: it only says
    what has to be replaced in all the rest."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is asked of a machine."""

    path: str
    """Of the file for the answer, in the machine's folder; for several files, of their folder."""
    argv: tuple[str, ...]
    program: str = ""
    """A module of lab/bundle/inside that is run with `argv` as its arguments."""
    form: Form = Form.TEXT

    @property
    def words(self) -> str:
        """The command, for a person."""
        return shlex.join([f"{self.program}.py", *self.argv] if self.program else self.argv)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the lab: what it has answered, and what the engine says of its container."""

    name: str
    services: tuple[str, ...]
    """Those that it is to run."""
    address: str
    """Of eth0; empty if its network has not been made."""
    state: str
    """Its container's, in the engine's word; absent if there is none."""
    asked: tuple[Question, ...]
    answers: Told[Mapping[str, Output]]
    """By the path of the question; or why there are none."""
    container: Data = None
    """The engine's description of its container."""
    console: str = ""
    """What its container has printed: its first moments, before there is a journal."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a bundle is made from; with secrets."""

    spec: LabSpec
    at: datetime
    """When it was collected."""
    why: str
    """What the bundle is to explain, such as the error of `lab up`."""
    machines: tuple[Machine, ...]
    findings: tuple[Finding, ...] | None
    """Of the checks at that moment; None if they could not be run."""
    versions: Data
    """Of this machine and the engine."""
    faults: Status | None = None
    """Those in force; None if nobody could be asked."""
    steps: tuple[Step, ...] = ()
    """The plan of `lab up`."""
    events: tuple[Mapping[str, Data], ...] = ()
    """What happened while this process performed the plan, as in `lab up --events`; empty if it did not."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """What whoever asks for the bundle knows besides: texts, by their paths in the bundle."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a bundle."""

    path: str
    content: Data | bytes
    """Text and bytes as they are, anything else as JSON."""
    node: str = ""
    """The machine that it is about."""
    command: str = ""
    """What has printed it."""
    status: int | None = None
    """The exit status of that."""

    @property
    def data(self) -> bytes:
        """The file, once its content is text or bytes."""
        content = self.content
        return content if isinstance(content, bytes) else str(content).encode(errors="backslashreplace")
