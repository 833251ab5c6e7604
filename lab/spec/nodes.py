"""From the lab file's nodes to a lab's: the files that they name are read, and their defaults follow."""

from collections.abc import Callable
from pathlib import Path

from lab.spec import source
from lab.spec.node import Attachment, Forward, NodeFile, NodeSpec
from lab.spec.node_schema import FileKey, FlanneldKey, NodeKey
from lab.spec.program import Flanneld, Program
from lab.spec.schema import File
from lab.spec.segment import ONLY
from lab.spec.source import Source

__all__ = ["nodes_of"]


def nodes_of(
    file: File, origin: str, program: Callable[[Path], Program]
) -> tuple[tuple[NodeSpec, ...], list[str]]:
    """Return the nodes with what each of them runs, and the problems with the files they name.

    Paths are relative to the lab file, `origin`.
    """
    reading = _Reading(origin, program, next(iter(file.segments), ONLY))
    everywhere = reading.flanneld(file.flanneld, "flanneld")
    nodes = tuple(reading.node(node, f"nodes[{index}]", everywhere) for index, node in enumerate(file.nodes))
    return nodes, reading.wrong


class _Reading:
    """The files that one lab file names."""

    def __init__(self, origin: str, program: Callable[[Path], Program], segment: str) -> None:
        self._origin = origin
        self._first = segment
        self._program = program
        self.wrong: list[str] = []

    def _path(self, name: str) -> Path:
        return Path(self._origin).parent / Path(name).expanduser()

    def flanneld(self, key: FlanneldKey, at: str) -> Flanneld:
        if key.binary is None:
            return Flanneld(options=key.options)
        try:
            found = self._program(self._path(key.binary))
        except (ValueError, RuntimeError) as error:  # RuntimeError: the user in ~USER does not exist
            self.wrong.append(f"{self._origin}: {at}.binary: {error}")
            return Flanneld()
        return Flanneld(program=found, options=key.options)

    def node(self, key: NodeKey, at: str, everywhere: Flanneld) -> NodeSpec:
        own = everywhere if key.flanneld is None else self.flanneld(key.flanneld, f"{at}.flanneld")
        files = [self._file(item, f"{at}.files[{index}]") for index, item in enumerate(key.files)]
        return NodeSpec(
            name=key.name,
            host=key.host,
            segment=key.segment or self._first,
            also_on=tuple(Attachment(segment=item.segment, host=item.host) for item in key.also_on),
            router=key.router,
            masquerade=key.masquerade,
            forwards=tuple(Forward.model_validate(item.model_dump()) for item in key.forwards),
            services=key.runs,
            flanneld=own if "flanneld" in key.runs else Flanneld(),
            docker=key.docker_spec,
            sysctls=key.sysctls,
            files=tuple(files),
            units=key.units,
        )

    def _file(self, key: FileKey, at: str) -> NodeFile:
        found = None
        if key.from_ is not None:
            try:
                path, data = source.read(self._path(key.from_))
                found = Source(path=path, digest=source.digest_of(data))
            except (ValueError, RuntimeError) as error:
                self.wrong.append(f"{self._origin}: {at}.from: {error}")
        return NodeFile(path=key.path, mode=int(key.mode, 8), text=key.text, source=found)
