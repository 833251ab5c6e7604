"""Verbs about caches and the engine itself."""

from pathlib import Path
from typing import BinaryIO

import click

from lab import host, render
from lab import images as images_
from lab.cli.common import Choice, as_json, echo, print_json
from lab.cli.verbs import Group
from lab.engine import Engine
from lab.images import rootfs
from lab.images.build_context import NAMES
from lab.progress import on_terminal
from lab.render import documents
from lab.streams import width

__all__ = ["COMMANDS"]


@click.group(cls=Group)
def images() -> None:
    """The node and MySQL images, their bases, and the seed volume."""


@images.command()
@as_json
def build(json_: bool) -> int:
    """Build what is missing or stale, as `lab up` does first."""
    with on_terminal() as progress:
        made = images_.ensure(host.ensure_engine(progress), progress)
    print_json(documents.built(made.node, made.mysql, made.seed)) if json_ else echo("\n".join(made))
    return 0


@images.command()
@click.argument("image", type=Choice(NAMES))
@click.argument("directory", type=Path)
@click.option("--arch", help="Debian's name for the architecture  [default: this machine's]")
def context(image: str, directory: Path, arch: str | None) -> int:
    """Write an image's build context to a directory, for a builder other than the engine's own."""
    images_.write_context(image, directory, arch)
    return 0


@images.command()
@click.argument("archive", type=click.File("rb"))
@as_json
def load(archive: BinaryIO, json_: bool) -> int:
    """Put images for pods into the engine, from an archive such as podman and skopeo write."""
    loaded = Engine.connect().load_images(archive)
    if json_:
        print_json(documents.loaded(loaded))
    else:
        echo("\n".join(f"loaded {name}" for name in loaded))
    return 0


@images.command(name="base")
@click.argument("suite", type=Choice(sorted(rootfs.SUITES.values())))
@click.argument("archive", metavar="ROOTFS", type=click.File("rb"))
def base_(suite: str, archive: BinaryIO) -> int:
    """Use a root file system, a tar as mmdebstrap writes it, as the base of that Debian suite."""
    echo(rootfs.take(Engine.connect(), suite, archive))
    return 0


@images.command()
@as_json
def ls(json_: bool) -> int:
    """List them, with size and whether they are current."""
    found = images_.listing(Engine.connect())
    print_json(documents.images(found)) if json_ else echo(render.images(found, width=width()))
    return 0


@images.command()
@as_json
def rm(json_: bool) -> int:
    """Remove them all; the next `lab up` builds them again."""
    removed = images_.remove(Engine.connect())
    if json_:
        print_json(documents.removed(removed))
    else:
        echo("\n".join(f"removed {item}" for item in removed) or "There were none.")
    return 0


@click.group(cls=Group)
def engine() -> None:
    """The Docker engine, if the lab started it."""


@engine.command()
def stop() -> int:
    """End the engine, if it is one that the lab started."""
    echo(host.stop_engine())
    return 0


COMMANDS = (images, engine)
