"""Copies: a tar goes from this machine to a machine of the lab or a pod, or comes from there."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from lab import threads
from lab.cluster import Lab
from lab.copying.archive import kind_here, pack, unpack
from lab.copying.ends import End, InPod, OnMachine
from lab.copying.paths import Goal, Kind, Place, goal, require_one_side
from lab.engine import STDERR
from lab.errors import LabError, Unfit
from lab.node import Node
from lab.node.running import Running
from lab.suggest import suggest

__all__ = ["copy"]


def copy(lab: Lab, source: Place, destination: Place, container: str | None = None) -> None:
    """Copy a file or folder, as `docker cp` does; of a pod from or to this container. Raises `LabError`."""
    require_one_side(source, destination)
    node, end = _end(lab, source.where or destination.where, container)

    def kind(place: Place, *, follow: bool) -> Kind:
        if not place.where:
            return kind_here(place.path, follow=follow)
        return end.kind(node.run(end.look(place.path, follow=follow), check=False).text)

    there = kind(destination, follow=True)
    parent = kind(destination.parent, follow=True) if there != "folder" else "folder"
    wanted = goal(source, kind(source, follow=source.is_folder), destination, there, parent)
    if source.where:
        _fetch(node, end, source, wanted)
    else:
        _send(node, end, source, destination, wanted)


def _end(lab: Lab, where: str, container: str | None) -> tuple[Node, End]:
    """Whose files these are, and the machine where that is asked."""
    nodes = [node.name for node in lab.spec.nodes]
    if where in nodes:
        if container is not None:
            raise Unfit(f"-c: {where} is a machine, and no pod")
        return lab.node(where), OnMachine()
    pods = lab.pods()
    if where not in [pod.name for pod in pods]:
        lab.all_pods()  # a machine that cannot be asked may have it: then that is what is told
        known = [*nodes, *(pod.name for pod in pods)]
        raise Unfit(f"the lab {lab.name} has no node and no pod {where}{suggest(where, known, 'it has')}")
    pod = next(pod for pod in pods if pod.name == where)
    return lab.node(pod.node), InPod(pod.container(container))


def _fetch(node: Node, end: End, source: Place, wanted: Goal) -> None:
    with node.open(end.read(source.path)) as running:
        printed = _Printed(running)
        try:
            unpack(cast(BinaryIO, printed), Path(wanted.folder), wanted.name)
        except tarfile.TarError as error:
            printed.to_the_end()
            raise LabError(f"{source} cannot be read: {printed.said or error}") from error
        printed.to_the_end()
        code = running.exit_code()
        if code not in (0, end.copied_while_changing):
            raise LabError(f"{source} cannot be read to its end: {printed.said}")


def _send(node: Node, end: End, source: Place, destination: Place, wanted: Goal) -> None:
    with node.open(end.write(wanted.folder), stdin=True) as running:

        def pump() -> None:
            try:
                with suppress(_Ended):
                    pack(Path(source.path), wanted.name, cast(BinaryIO, _Input(running)))
            finally:
                with suppress(OSError):
                    running.end_input()

        packing = threads.start(pump, name="pack")
        printed = _Printed(running)
        printed.to_the_end()
        packing.result()
        if running.exit_code() != 0:
            raise LabError(f"{destination} cannot be written: {printed.said}")


class _Ended(Exception):
    """What is written to has ended; its exit status tells why."""


class _Input(io.RawIOBase):
    """A command's standard input as a file."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: object) -> int:
        """Send it all."""
        given = bytes(cast(bytes, data))
        try:
            self._running.send(given)
        except OSError as error:
            raise _Ended from error
        return len(given)


class _Printed(io.RawIOBase):
    """A command's standard output as a file; what it says of errors is kept."""

    def __init__(self, running: Running) -> None:
        self._frames: Iterator[tuple[int, bytes]] = iter(running.frames())
        self._left = b""
        self._complaints = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or what is left."""
        while size < 0 or len(self._left) < size:
            frame = next(self._frames, None)
            if frame is None:
                break
            if frame[0] == STDERR:
                self._complaints += frame[1]
            else:
                self._left += frame[1]
        size = len(self._left) if size < 0 else size
        data, self._left = self._left[:size], self._left[size:]
        return data

    def to_the_end(self) -> None:
        """Drop what is left."""
        while self.read(1 << 16):
            pass

    @property
    def said(self) -> str:
        """The first line that it has said of an error."""
        lines = self._complaints.decode(errors="replace").strip().splitlines()
        return lines[0] if lines else "it does not say why"
