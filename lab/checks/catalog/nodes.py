"""The machines themselves: that they answer, and that their services run."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.checks.finding import Comparison, Kind, Subject, compare
from lab.checks.registry import ALWAYS, Layer, check
from lab.checks.values import Data, Text
from lab.node.services import Service
from lab.observe import Observation, Silent, Topic, known


@dataclass(frozen=True, slots=True)
class Answers:
    """The node answers this question, or answers at all."""

    question: str

    @property
    def data(self) -> Data:
        """The question; null if any answer will do."""
        return {"answerTo": self.question or None}

    @property
    def text(self) -> str:
        """For a person."""
        return f"an answer to: {self.question}" if self.question else "it runs and answers"


@dataclass(frozen=True, slots=True)
class Silence:
    """The node did not answer."""

    silent: Silent

    @property
    def data(self) -> Data:
        """Why, and since when."""
        return {"error": self.silent.reason, "since": self.silent.since.isoformat()}

    @property
    def text(self) -> str:
        """Why."""
        return self.silent.reason


@check(
    ALWAYS,
    "machine",
    layer=Layer.NODE,
    on="machine",
    expects="it runs, and answers each question within 60 s (shown only when it does not: what it would have "
    "shown is then unknown, and the other machines are still compared)",
    needs={Topic.SERVICES},  # which every machine is asked
)
def answers(seen: Observation) -> Iterator[Comparison]:
    """Every question that was not answered, once each."""
    for node in seen.nodes.values():
        for silent in node.silences:
            kind = Kind.UNKNOWN if node.state == "running" else Kind.FAIL
            yield Comparison(Subject.node(node.name), kind, Answers(silent.question), Silence(silent))


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of a service according to systemd."""

    service: Service

    @property
    def data(self) -> Data:
        """As systemd reports it."""
        since = self.service.since.isoformat() if self.service.since is not None else None
        return {
            "state": self.service.state,
            "detail": self.service.detail,
            "since": since,
            "restarts": self.service.restarts,
        }

    @property
    def text(self) -> str:
        """For a person."""
        return self.service.describe()


@check(
    "service.active",
    "{part} service",
    layer=Layer.NODE,
    part="UNIT",
    on="machine",
    expects="active: each service of the lab file (`etcd` on the master, `flanneld` and `docker` on "
    "minions), and each `.service` among a node's own units. Since when, and how often systemd has restarted "
    "it, is shown; a service that came back by itself passes",
    needs={Topic.SERVICES},
)
def services(seen: Observation) -> Iterator[Comparison]:
    """Each service that a node is meant to run is running."""
    for node in seen.nodes.values():
        for found in known(node.services) or ():
            subject = Subject.node(node.name, found.unit)
            yield compare(subject, found.ok, Text("active"), ServiceState(found))
