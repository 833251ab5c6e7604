"""The engines of one lab: the environment's own, the home, and those beside it that its lab file names.

The home has the lab's networks, with their labels, and the mark of completeness. Each engine has the
containers of its own machines.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab import threads, wait
from lab.deadlines import NETWORKS_GONE
from lab.engine import Container, Engine, EngineUnavailable, swarm
from lab.engine.endpoint import Endpoint
from lab.engine.selection import address_in, of_host
from lab.errors import LabError, Unfit
from lab.labels import NAME
from lab.spec import LabSpec
from lab.spec.engine import EngineSpec

__all__ = ["Fleet", "addressed"]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Those that answer, by the lab file's names, and why others do not."""

    home: Engine
    engines: Mapping[str, Engine]
    silent: Mapping[str, EngineUnavailable] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Engine, specs: Sequence[EngineSpec]) -> "Fleet":
        """Connect to all of them at the same time; one that does not answer is silent."""

        def reach(spec: EngineSpec) -> Engine | EngineUnavailable:
            try:
                return home if spec.is_home else home.beside(_endpoint(spec))
            except EngineUnavailable as error:
                return error

        found = dict(zip((spec.name for spec in specs), threads.each(reach, specs), strict=True))
        silent = {name: item for name, item in found.items() if isinstance(item, EngineUnavailable)}
        answering = {name: item for name, item in found.items() if not isinstance(item, EngineUnavailable)}
        return cls(home, answering or {"": home}, silent)

    @property
    def is_several(self) -> bool:
        """Whether a network has to reach from one engine to another."""
        return len(self.engines) + len(self.silent) > 1

    @property
    def others(self) -> Mapping[str, Engine]:
        """Those that answer, without the home."""
        return {name: engine for name, engine in self.engines.items() if engine is not self.home}

    def __iter__(self) -> Iterator[Engine]:
        """Those that answer."""
        return iter(self.engines.values())

    def engine(self, name: str) -> Engine:
        """One of them. Raises `EngineUnavailable` if it does not answer."""
        if name in self.silent:
            raise self.silent[name]
        return self.engines[name]

    def containers(self, labels: Mapping[str, str]) -> Sequence[tuple[Engine, Container]]:
        """Every container with these labels on those that answer, with its engine."""
        found = threads.each(lambda engine: [(engine, item) for item in engine.containers(labels)], [*self])
        return [pair for pairs in found for pair in pairs]

    @property
    def name_of_home(self) -> str:
        """What the lab file calls the home."""
        return next(name for name, engine in self.engines.items() if engine is self.home)

    def members(self) -> Mapping[str, swarm.Member]:
        """What each engine that answers says of its swarm. Raises `Unfit` unless they are different ones."""
        identifiers = [engine.id for engine in self]
        if len(set(identifiers)) < len(identifiers):
            raise Unfit("two of the engines of the lab file are one and the same")
        return dict(zip(self.engines, threads.each(lambda engine: engine.swarm(), [*self]), strict=True))

    def require_all(self) -> None:
        """Raise `EngineUnavailable` unless all answer."""
        for error in self.silent.values():
            raise error

    def require_whole(self) -> None:
        """Raise `LabError` unless all answer, and are of one swarm where there are several."""
        self.require_all()
        if self.is_several and (found := list(swarm.problems(self.name_of_home, self.members()))):
            raise Unfit(
                f"the engines are not of one swarm: {'; '.join(found)}",
                hint="What can be joined joins with: lab engines join -f FILE",
            )

    def remove(self, name: str) -> Iterator[str]:
        """Remove a lab's volumes, containers and networks; yield what was removed, in words.

        The networks stay, and with them all that is known of the lab, while an engine that may have some of
        its machines does not answer. Raises `LabError` then, having removed everything else.
        """
        # The mark of completeness goes first: what a killed removal leaves must look unfinished to `lab gc`.
        for volume in self.home.volumes({NAME: name}):
            self.home.remove_volume(volume.name)
            yield f"volume {volume.name}"
        containers = self.containers({NAME: name})
        threads.each(lambda pair: pair[0].remove(pair[1].id), containers)
        yield from (f"container {item.name}" for _, item in containers)
        if self.silent:
            who = "; ".join(f"{engine}: {error.message}" for engine, error in self.silent.items())
            raise LabError(
                f"what the lab {name} has on engines that do not answer stays, and its networks: {who}",
                hint="Once they answer: lab gc",
            )
        for network in self.home.networks({NAME: name}):
            self.home.remove_network(network.id)
            yield f"network {network.name}"
        if self.is_several:
            self._await_no_network(name)

    def _await_no_network(self, name: str) -> None:
        """A swarm has removed a network a moment before its engines have: `lab ls` would still show it."""

        def gone() -> bool | wait.NotYet:
            left = [network.name for network in self.home.networks({NAME: name})]
            return not left or wait.NotYet(f"there are {', '.join(left)}")

        wait.until(gone, what=f"the networks of the lab {name} to be gone", timeout=NETWORKS_GONE.seconds)


def addressed(spec: LabSpec) -> LabSpec:
    """A lab whose engines have their addresses, also those named by a context. Raises `Unfit`.

    So a lab that stands is found again without the contexts, and after they have changed.
    """
    engines = (
        item if item.is_home else item.model_copy(update={"host": _host(item)}) for item in spec.engines
    )
    return spec.model_copy(update={"engines": tuple(engines)})


def _host(engine: EngineSpec) -> str:
    try:
        return engine.host or address_in(engine.context, os.environ)
    except Unfit as error:
        raise Unfit(f"the engine {engine.name}: {error.message}", hint=error.hint) from error


def _endpoint(engine: EngineSpec) -> Endpoint:
    host = _host(engine)
    return of_host(host, os.environ, named=f"the engine {engine.name}, {host}", context=engine.context)
