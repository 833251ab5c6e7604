"""Verbs about caches and the engine itself."""

from pathlib import Path
from typing import BinaryIO

import click

from lab import host, render, spec, threads
from lab import images as images_
from lab.cli.common import Choice, as_json, default_lab, echo, file_option, print_json
from lab.cli.verbs import Group
from lab.cluster.fleet import Fleet
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


FILE = file_option("-f", "--file", "file", what="On all engines that this lab file names.")


def _fleet(home: Engine, file: Path | None) -> Fleet:
    wanted = spec.load_file(file, default_name=default_lab()).engines if file is not None else ()
    return Fleet.of(home, wanted)


@images.command()
@FILE
@as_json
def build(file: Path | None, json_: bool) -> int:
    """Build what is missing or stale, as `lab up` does first, and carry it to the other engines."""
    with on_terminal() as progress:
        fleet = _fleet(host.ensure_engine(progress), file)
        fleet.require_all()
        made = images_.ensure(fleet.home, progress)
        images_.carry(fleet.home, fleet.others, made, progress)
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
@FILE
@as_json
def ls(file: Path | None, json_: bool) -> int:
    """List them, with size and whether they are current."""
    fleet = _fleet(Engine.connect(), file)
    found = [
        item
        for rows in threads.each(lambda pair: images_.listing(pair[1], pair[0]), [*fleet.engines.items()])
        for item in rows
    ]
    print_json(documents.images(found)) if json_ else echo(render.images(found, width=width()))
    fleet.require_all()
    return 0


@images.command()
@FILE
@as_json
def rm(file: Path | None, json_: bool) -> int:
    """Remove them all; the next `lab up` builds them again."""
    fleet = _fleet(Engine.connect(), file)
    for engine in fleet:
        images_.require_unused(engine)
    removed = [
        f"{item} on {name}" if name else item
        for name, engine in fleet.engines.items()
        for item in images_.remove(engine)
    ]
    if json_:
        print_json(documents.removed(removed))
    else:
        echo("\n".join(f"removed {item}" for item in removed) or "There were none.")
    fleet.require_all()
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
