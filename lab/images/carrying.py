"""Brings the images to the other engines of a lab, without a registry: saved on one, loaded on the other."""

from collections.abc import Mapping

from lab import threads
from lab.engine import Engine
from lab.errors import Unfit
from lab.events import Reporter
from lab.images.images import Images, ensure

__all__ = ["carry"]


def carry(home: Engine, others: Mapping[str, Engine], names: Images, progress: Reporter) -> None:
    """See that other engines, by the lab file's names, have what the home has. Raises `LabError`.

    What an engine has already is not carried; the seed volume is filled where it is used.
    """

    def bring(name: str) -> None:
        engine = others[name]
        if engine.arch != home.arch:
            raise Unfit(f"the engine {name} is for {engine.arch}, and the lab's images for {home.arch}")
        for image in (names.node, names.mysql):
            if engine.image(image) is None:
                with progress.step(f"carry {image} to {name}"):
                    engine.load_images(home.save_image(image))
        ensure(engine, progress)

    threads.each(bring, [*others])
