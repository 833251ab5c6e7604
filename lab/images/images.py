"""The lab's images and its seed volume: which are wanted, which are there, and making what is missing.

Names follow from content, so two clones with the same files share them and a stale one is simply another.
"""

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lab import labels, lock, threads, wait
from lab.deadlines import ANOTHER_BUILD
from lab.engine import Engine
from lab.errors import LabError
from lab.events import Reporter
from lab.images import build_context, rootfs, seed
from lab.images.build_context import write_context

__all__ = [
    "Images",
    "Listed",
    "ensure",
    "listing",
    "pack",
    "remove",
    "require_unused",
    "stale_or_missing",
    "wanted",
    "write_context",
]

LOCK = "images/"
"""No lab can have this name."""

FILLER = ("files/usr/local/sbin/lab-seed", "files/etc/docker/daemon.json")


@dataclass(frozen=True, slots=True)
class Images:
    """The names of what a lab is made from."""

    node: str
    mysql: str
    seed: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.node, self.mysql, self.seed))


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of `lab images ls`."""

    name: str
    kind: str
    size: int
    """Bytes; 0 for the seed volume, whose size the engine does not know."""
    state: str
    """current, stale, or unfinished."""
    engine: str = ""
    """Which has it, where several were asked."""


def wanted(arch: str) -> Images:
    """What this clone's files call for, on an engine of this architecture (Debian's name)."""
    recipe = build_context.recipe("node")
    node = f"lab-node:{build_context.digest(recipe, arch)}"
    mysql = f"lab-mysql:{build_context.digest(build_context.recipe('mysql'), arch)}"
    # Of the node image, only what fills the volume matters to it.
    filler = {path: recipe[path] for path in FILLER}
    return Images(node, mysql, f"lab-seed-{build_context.digest(filler, mysql)}")


def stale_or_missing(engine: Engine) -> tuple[str, ...]:
    """Which of the wanted names the engine lacks; a half made seed volume counts as lacking."""
    names = wanted(engine.arch)
    missing = [name for name in (names.node, names.mysql) if engine.image(name) is None]
    if not seed.is_complete(engine, names.seed):
        missing.append(names.seed)
    return tuple(missing)


def ensure(engine: Engine, progress: Reporter) -> Images:
    """Build what is missing, and answer the names. Quick when everything is there. Raises `LabError`.

    One process builds at a time; the others wait, and then find it done.
    """
    build_context.machine(engine.arch)
    names = wanted(engine.arch)
    if not stale_or_missing(engine):
        return names
    with _alone(engine), _told_where_cut_off():
        missing = stale_or_missing(engine)
        build = [pair for pair in (("node", names.node), ("mysql", names.mysql)) if pair[1] in missing]
        threads.each(lambda pair: _build(engine, *pair, progress), build)
        _remove_stages(engine)
        if names.seed in missing:
            with progress.step(f"fill the seed volume {names.seed}"):
                seed.make(engine, names.seed, node=names.node, mysql=names.mysql)
    return names


def listing(engine: Engine, named: str = "") -> tuple[Listed, ...]:
    """Every image and seed volume of ours that the engine has; `named` is what the lab file calls it."""
    current = {*wanted(engine.arch), *(rootfs.imported_name(suite) for suite in rootfs.SUITES.values())}
    rows = [
        Listed(name, image.labels[labels.IMAGE], image.size, "current" if name in current else "stale", named)
        for image in engine.images(labels.IMAGE)
        if image.labels[labels.IMAGE] != "seed"
        for name in image.tags or (image.id.removeprefix("sha256:")[:12],)
    ]
    for volume in engine.volumes(seed.KIND):
        state = "current" if volume.name in current else "stale"
        if not seed.is_complete(engine, volume.name):
            state = "unfinished"
        rows.append(Listed(volume.name, "seed", 0, state, named))
    return tuple(sorted(rows, key=lambda row: (row.kind, row.name)))


def require_unused(engine: Engine) -> None:
    """Raise `LabError` while a lab stands on what the engine has."""
    labs = sorted({container.labels[labels.NAME] for container in engine.containers([labels.NAME])})
    if labs:
        raise LabError(
            f"images are in use by the lab {', '.join(labs)}",
            hint="First: " + "; ".join(f"lab down --name {name}" for name in labs),
        )


def remove(engine: Engine) -> list[str]:
    """Remove all of it; answers the names. Raises `LabError` while a lab stands on it or one is built."""
    require_unused(engine)
    removed: list[str] = []
    try:
        with lock.held(engine.id, LOCK):
            removed += seed.remove_makers(engine)
            for volume in engine.volumes(seed.KIND):
                engine.remove_volume(volume.name)
                removed.append(volume.name)
            # Bases last: the others are made from them.
            for image in sorted(
                engine.images(labels.IMAGE), key=lambda image: image.labels[labels.IMAGE] == "base"
            ):
                for name in image.tags or (image.id,):
                    engine.remove_image(name)
                    removed.append(name)
    except lock.Busy as error:
        raise LabError("another process is building the images right now") from error
    return removed


def sweep(engine: Engine) -> list[str]:
    """Remove what a killed build left half made, unless one is under way; answers the names. For `lab gc`."""
    try:
        with lock.held(engine.id, LOCK):
            removed = seed.remove_makers(engine)
            for volume in engine.volumes(seed.KIND):
                if not seed.is_complete(engine, volume.name):
                    engine.remove_volume(volume.name)
                    removed.append(volume.name)
            return removed + _remove_stages(engine)
    except lock.Busy:
        return []


@contextmanager
def _told_where_cut_off() -> Iterator[None]:
    """Let Ctrl-C, which ends the wait and not the engine's work, say what is to be done about that."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note("The engine may still be building. Once it has ended, remove what it left: lab gc")
        raise


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    with ExitStack() as stack:

        def take() -> bool | wait.NotYet:
            try:
                stack.enter_context(lock.held(engine.id, LOCK))
            except lock.Busy:
                return wait.NotYet("it is still at work")
            return True

        what = "another process to finish the images"
        wait.until(take, what=what, timeout=ANOTHER_BUILD.seconds, interval=0.2)
        yield


def _build(engine: Engine, name: str, tag: str, progress: Reporter) -> None:
    """Build one image: its base and its context at the same time, then the image."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as archive:
        bases: list[str] = []

        def find_base() -> None:
            bases.append(rootfs.ensure(engine, rootfs.SUITES[name], progress))

        def fill() -> None:
            write_context(name, Path(scratch), engine.arch)
            pack(Path(scratch), archive)

        threads.each(lambda task: task(), [find_base, fill])
        with progress.step(f"build {tag}"):
            archive.seek(0)
            engine.build(archive, tag=tag, args={"BASE": bases[0]}, labels={labels.IMAGE: name})


def _remove_stages(engine: Engine) -> list[str]:
    """Remove what builds in stages leave behind, without a name; only while no build is under way."""
    left = [stage.id for stage in engine.images(f"{labels.IMAGE}=stage") if not stage.tags]
    for identifier in left:
        engine.remove_image(identifier)
    return left


def pack(directory: Path, target: BinaryIO) -> None:
    """Write a directory as a build context's tar: everything is root's, and readable by everybody."""

    def everybodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    with tarfile.open(fileobj=target, mode="w") as archive:
        archive.add(directory, arcname=".", filter=everybodys)
