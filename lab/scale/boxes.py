"""The containers that a run's machines are in: one, or one on each of several engines."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address
from typing import TypeVar

from lab import images, labels, lock, threads
from lab.clocks import sample
from lab.clocks.compare import Clock, compare, require_close
from lab.cluster import remove_all, underlay
from lab.cluster.fleet import Fleet, addressed
from lab.confinement import SANDBOX
from lab.engine import ContainerConfig, Engine, FileContent
from lab.errors import LabError
from lab.events import Reporter
from lab.naming import our_version, ourselves
from lab.sandbox import Box, open_box
from lab.sandbox.box import start_box
from lab.scale.plan import BETWEEN_MTU, MTU, Machine, connect_switch
from lab.signals import shielded
from lab.spec import LabSpec

__all__ = ["Boxes", "open_boxes"]

T = TypeVar("T")
M = TypeVar("M", bound=Machine)


class Boxes:
    """The first is the home's, whose clock is everybody's."""

    def __init__(self, boxes: Mapping[str, Box], addresses: Sequence[IPv4Address] = ()) -> None:
        """By the engines' names; `addresses` is where each reaches the others, in this order."""
        self._boxes = list(boxes.values())
        self._addresses = addresses
        self._names = list(boxes)
        self._clocks = {} if self.alone else _clocks(boxes)

    @property
    def alone(self) -> bool:
        """Whether there is one."""
        return len(self._boxes) == 1

    @property
    def first(self) -> Box:
        """The home's."""
        return self._boxes[0]

    @property
    def mtu(self) -> int:
        """Of machines' links."""
        return MTU if self.alone else BETWEEN_MTU

    def shift(self, box: Box) -> float:
        """What a time of its clock needs to be one of the first's."""
        return self._clocks.get(self._names[self._boxes.index(box)], Clock()).shift

    def of(self, machine: Machine) -> Box:
        """The one that a machine is in."""
        return self._boxes[machine.place(len(self._boxes))]

    def each(self, act: Callable[[Box], T]) -> list[T]:
        """What `act` answers for each, all at the same time."""
        return [act(self.first)] if self.alone else threads.each(act, self._boxes)

    def share(self, machines: Sequence[M], act: Callable[[Box, Sequence[M]], None]) -> None:
        """Have something done to machines by those that have some of them, all at the same time."""

        def act_on_own(box: Box) -> None:
            if own := [item for item in machines if self.of(item) is box]:
                act(box, own)

        self.each(act_on_own)

    def connect(self) -> None:
        """Plug their bridges together."""
        if self.alone:
            return
        for box, own in zip(self._boxes, self._addresses, strict=True):
            box.script(connect_switch(own, [other for other in self._addresses if other != own]))


def _clocks(boxes: Mapping[str, Box]) -> Mapping[str, Clock]:
    def look(box: Box) -> tuple[str, float, float]:
        told = box.clock()
        return told["boot"], told["at"], told["wall"]

    answers = {name: sample(partial(look, box)) for name, box in boxes.items()}
    require_close(answers)
    return compare(answers)


@contextmanager
def open_boxes(
    fleet: Fleet,
    spec: LabSpec,
    image: images.Images,
    files: Mapping[str, FileContent],
    progress: Reporter,
) -> Iterator[Boxes]:
    """Make them, connected if there are several, and remove them however the block ends.

    `spec` has the engines. What there is on several of them, `lab gc` finds as it finds a lab's: by the label
    of the network, which says where the rest is. Raises `LabError`.
    """
    if not fleet.is_several:
        with open_box(fleet.home, image.node, "scale", files) as box:
            yield Boxes({"": box})
        return
    fleet.require_whole()
    images.carry(fleet.home, fleet.others, image, progress)
    name = f"scale-{secrets.token_hex(4)}"
    with lock.held(fleet.home.id, name):
        try:
            yield _make(fleet, spec.with_name(name), image.node, files)
        except BaseException as error:
            _remove(fleet.home, name, error)
            raise
        _remove(fleet.home, name, None)


def _make(fleet: Fleet, spec: LabSpec, image: str, files: Mapping[str, FileContent]) -> Boxes:
    us = ourselves()
    segment = spec.segments[0]
    spec = addressed(spec)
    carried = labels.of_lab(
        spec.name, spec.to_json(), segment.name, user=us.user, host=us.host, version=our_version()
    )
    with shielded():
        network = underlay.make(
            fleet.home, f"lab-{spec.name}", spec.subnets(segment), carried, internal=True, swarm=True
        )
    names = [fleet.name_of_home, *fleet.others]
    addresses = [network.underlay[number] for number in range(FIRST, FIRST + len(names))]

    def create(item: tuple[str, IPv4Address]) -> str:
        engine, address = item
        config = ContainerConfig(
            name=f"lab-{spec.name}-{engine}",
            image=image,
            labels={labels.NAME: spec.name},
            entrypoint=["/usr/bin/sleep", "infinity"],
            networks={network.name: str(address)},
            confinement=SANDBOX,
        )
        return fleet.engine(engine).create(config)

    with shielded():  # what is being made is not there yet, and could not be removed
        made = threads.each(create, list(zip(names, addresses, strict=True)))

    def start(item: tuple[str, str]) -> Box:
        engine, container = item
        return start_box(fleet.engine(engine), container, files, name=engine)

    boxes = threads.each(start, list(zip(names, made, strict=True)))
    return Boxes(dict(zip(names, boxes, strict=True)), addresses)


FIRST = 2
"""The host part of the first container's address."""


def _remove(home: Engine, name: str, error: BaseException | None) -> None:
    """Remove all of it; where that fails after an error, it is told with that."""
    try:
        with shielded():
            list(remove_all(home, name))
    except LabError as failed:
        if error is None:
            raise
        error.add_note(f"Not all of it could be removed: {failed.message}")
        error.add_note("Once the engines answer: lab gc")
