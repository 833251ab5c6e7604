"""How images come to the other engines of a lab."""

from collections.abc import Iterator
from typing import cast

import pytest

from lab.engine import Engine, ImageInfo
from lab.errors import Unfit
from lab.events import Event, Reporter, StepBegan
from lab.images import Images, carry

NAMES = Images("lab-node:1", "lab-mysql:1", "lab-seed-1")


class Shelf:
    """An engine that has images, and nothing else."""

    def __init__(self, *images: str, arch: str = "amd64") -> None:
        self.there = set(images)
        self.arch = arch

    @property
    def engine(self) -> Engine:
        return cast(Engine, self)

    def image(self, reference: str) -> ImageInfo | None:
        return ImageInfo(reference, (reference,), {}, 1) if reference in self.there else None

    def save_image(self, reference: str) -> Iterator[bytes]:
        assert reference in self.there
        yield reference.encode()

    def load_images(self, archive: Iterator[bytes]) -> None:
        self.there.add(b"".join(archive).decode())


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines whose seed volume was filled."""
    found: list[Engine] = []
    monkeypatch.setattr("lab.images.carrying.ensure", lambda engine, _: found.append(engine))
    return found


def test_what_an_engine_lacks_is_carried_and_what_it_has_is_not(filled):
    home, far = Shelf("lab-node:1", "lab-mysql:1"), Shelf("lab-mysql:1")
    began: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, StepBegan):
            began.append(event.name)

    carry(home.engine, {"far": far.engine}, NAMES, Reporter(listen))
    assert began == ["carry lab-node:1 to far"]
    assert far.there == home.there
    assert filled == [far.engine]


def test_an_engine_of_another_processor_is_refused_by_its_name(filled):
    with pytest.raises(Unfit, match="the engine far is for arm64, and the lab's images for amd64"):
        carry(Shelf().engine, {"far": Shelf(arch="arm64").engine}, NAMES, Reporter())
    assert filled == []
