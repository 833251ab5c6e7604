"""An engine that only remembers: enough of `lab.engine.Engine` to bring a lab up and down."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any, cast

import pytest

from lab import checks, images
from lab.engine import (
    Command,
    Container,
    ContainerConfig,
    Ended,
    Engine,
    EngineUnavailable,
    Exec,
    ExecResult,
    FileContent,
    ImageInfo,
    Network,
    Volume,
)
from lab.engine import swarm as swarms
from lab.engine.endpoint import Endpoint
from lab.errors import LabError
from lab.labels import IMAGE
from lab.node import kubelet
from tests.lab.one_by_one import OneByOne

__all__ = ["PretendedEngine", "pretended_world"]

Hook = Callable[[str], None]


class PretendedEngine(OneByOne):
    """What it was asked to make is there as soon as the call has passed `during`."""

    arch = "amd64"
    is_here = False

    def __init__(self) -> None:
        self.id = f"pretended-{uuid.uuid4()}"  # locks of tests that run at the same time do not meet
        self.networks_: dict[str, Network] = {}
        self.volumes_: dict[str, Volume] = {}
        self.containers_: dict[str, Container] = {}
        self.files_: dict[str, dict[str, FileContent]] = {}
        self.during: Hook = lambda _call: None
        """Called in the middle of each call, before it has its effect; may raise."""
        self.calls: list[str] = []
        self.others: dict[str, PretendedEngine | EngineUnavailable] = {}
        """Those beside it, by their DOCKER_HOST."""
        self.member = swarms.Member()
        self.endpoint = f"pretended:{self.id}"

    @property
    def engine(self) -> Engine:
        """It, as the lab takes it."""
        return cast(Engine, self)

    @property
    def left(self) -> list[str]:
        """Everything that is there."""
        return sorted([*self.networks_, *self.volumes_, *self.containers_])

    def beside(self, endpoint: Endpoint) -> Engine:
        other = self.others[str(endpoint)]
        if isinstance(other, EngineUnavailable):
            raise other
        return other.engine

    def swarm(self) -> swarms.Member:
        return self.member

    def create_overlay(self, name: str, subnet: str, labels: Mapping[str, str], **given: Any) -> Network:
        self._asked(f"create overlay {name} {sorted(given.items())}")
        made = Network(name, name, dict(labels), (str(IPv4Network(subnet)),))
        for engine in (self, *self.others.values()):  # all of them can use it
            if isinstance(engine, PretendedEngine):
                engine.networks_[name] = made
        return made

    def _asked(self, call: str) -> None:
        self.calls.append(call)
        self.during(call)

    def networks(self, labels: Mapping[str, str] | Iterable[str] = ()) -> tuple[Network, ...]:
        self._asked("list networks")
        return tuple(item for item in list(self.networks_.values()) if _carries(item.labels, labels))

    def volumes(self, labels: Mapping[str, str] | Iterable[str]) -> tuple[Volume, ...]:
        self._asked("list volumes")
        return tuple(item for item in list(self.volumes_.values()) if _carries(item.labels, labels))

    def volume(self, name: str) -> Volume | None:
        self._asked(f"look for volume {name}")
        return self.volumes_.get(name)

    def containers(self, labels: Mapping[str, str] | Iterable[str]) -> tuple[Container, ...]:
        self._asked("list containers")
        return tuple(item for item in list(self.containers_.values()) if _carries(item.labels, labels))

    def create_network(self, name: str, subnet: str, labels: Mapping[str, str], **_: Any) -> Network:
        self._asked(f"create network {name}")
        self.networks_[name] = Network(name, name, dict(labels), (str(IPv4Network(subnet)),))
        return self.networks_[name]

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._asked(f"create volume {name}")
        self.volumes_[name] = Volume(name, dict(labels))

    def create(self, config: ContainerConfig) -> str:
        self._asked(f"create {config.name}")
        assert config.networks.keys() <= self.networks_.keys()
        self.containers_[config.name] = Container(
            config.name, config.name, dict(config.labels), "created", "Created"
        )
        return config.name

    def put_files(self, container: str, files: Mapping[str, FileContent]) -> None:
        self._asked(f"put files into {container}")
        assert container in self.containers_
        self.files_[container] = dict(files)

    def start(self, container: str) -> None:
        self._asked(f"start {container}")
        made = self.containers_[container]
        self.containers_[container] = Container(made.id, made.name, made.labels, "running", "Up")

    def exec(self, container: str, argv: Iterable[str], **_: Any) -> ExecResult:
        words = list(argv)
        self._asked(f"run on {container}: {' '.join(words)}")
        if words[-2:] == ["status", "{}"]:  # which faults are in force
            return ExecResult(0, b'{"faults": []}', b"")
        file = self.files_.get(container, {}).get(words[-1]) if "cat" in words else None
        return ExecResult(0, file.data if file is not None else b"", b"")

    def run(self, container: str, commands: Mapping[str, Command], *given: Any) -> Mapping[str, Ended]:
        if len(commands) > 1:  # questions
            raise LabError("nobody answers here")
        return super().run(container, commands, *given)

    def open_exec(self, container: str, _argv: Iterable[str], **_: Any) -> Exec:
        self._asked(f"open on {container}")
        raise LabError("nobody answers here")

    def restart(self, container: str, timeout: int = 10) -> None:
        self._asked(f"restart {container} within {timeout} s")

    def inspect(self, container: str) -> Mapping[str, Any]:
        self._asked(f"inspect {container}")
        return {"Name": f"/{container}", "State": {"Status": self.containers_[container].state}}

    def container_logs(self, container: str, _lines: int) -> str:
        self._asked(f"read the log of {container}")
        return "Welcome to Debian GNU/Linux 13 (trixie)!\n"

    def describe(self) -> Mapping[str, Any]:
        self._asked("describe")
        return {"Version": "20.10.24"}

    def images(self, _label: str) -> tuple[ImageInfo, ...]:
        self._asked("list images")
        return (ImageInfo("sha256:1", ("lab-node:1",), {IMAGE: "node"}, 560_000_000),)

    def remove_image(self, reference: str) -> None:
        self._asked(f"remove image {reference}")

    def remove(self, container: str) -> None:
        self._asked(f"remove {container}")
        self.containers_.pop(container, None)

    def remove_network(self, name: str) -> None:
        self._asked(f"remove network {name}")
        assert not self.containers_, "a network is in use while it has containers"
        self.networks_.pop(name, None)

    def remove_volume(self, name: str) -> None:
        self._asked(f"remove volume {name}")
        self.volumes_.pop(name, None)


def _carries(has: Mapping[str, str], wanted: Mapping[str, str] | Iterable[str]) -> bool:
    if isinstance(wanted, Mapping):
        return wanted.items() <= has.items()
    return set(wanted) <= set(has)


def pretended_world(patch: pytest.MonkeyPatch) -> PretendedEngine:
    """Images are there, pods run at once, every check holds, until the caller's patches are undone.

    They are the caller's, as what is patched twice is right again only if the last patch is undone first.
    """
    patch.setattr(images, "ensure", lambda *_: images.Images("lab-node:1", "lab-mysql:1", "lab-seed-1"))
    patch.setattr(images, "carry", lambda *_: None)
    patch.setattr(kubelet, "run_pod", lambda *_, **__: None)
    patch.setattr(checks, "run_all", lambda *_, **__: [])
    return PretendedEngine()
