"""The Debian root file system that an image starts from: the engine's, a registry's, or made here."""

import os
import shlex
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from lab import apt, host, labels, programs
from lab.deadlines import DOWNLOAD
from lab.engine import Engine
from lab.errors import CommandError, Unfit
from lab.events import Reporter

__all__ = ["LABELS", "SUITES", "bootstrap_argv", "ensure", "imported_name", "take"]

SUITES = {"node": "trixie", "mysql": "sid"}
"""Image -> Debian suite. Real MySQL is in unstable only; the node's Docker is trixie's."""

LABELS = {labels.IMAGE: "base"}

_installing = threading.Lock()


def imported_name(suite: str) -> str:
    """The tag of a base that we made."""
    return f"lab-base:{suite}"


def ensure(engine: Engine, suite: str, progress: Reporter) -> str:
    """The name of a base image for the suite; pulled or made first if the engine has none.

    Raises `LabError`, and `Unfit` with the exact commands when this machine cannot make one.
    """
    official, imported = f"debian:{suite}-slim", imported_name(suite)
    for name in (official, imported):
        if engine.image(name) is not None:
            return name
    with progress.step(f"pull {official}, or make it from Debian's packages") as within:
        refused = engine.pull(official)
        if refused is None:
            return official
        within.note(f"{official} cannot be pulled ({refused.splitlines()[0]}): making {imported}")
        _require_mmdebstrap(within)
        _bootstrap(engine, suite)
    return imported


def bootstrap_argv(suite: str, arch: str, *, root: bool) -> Sequence[str]:
    """The command that writes a minimal root file system as a tar to its standard output.

    It names no mirror: mmdebstrap(1) takes Debian's own, or what the machine's settings say.
    """
    return (
        "mmdebstrap",
        "--variant=minbase",
        f"--architectures={arch}",
        *(() if root else ("--mode=unshare",)),
        '--aptopt=Acquire::Languages "none"',
        # Unstable's Release file expires in a week; a mirror that stands still is no danger here.
        *(('--aptopt=Acquire::Check-Valid-Until "false"',) if suite == "sid" else ()),
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        suite,
        "-",
    )


def _require_mmdebstrap(progress: Reporter) -> None:
    # Both bases are made at the same time; apt can only run once.
    with _installing:
        keyrings = Path("/usr/share/keyrings").glob("debian-archive-keyring.*")
        if shutil.which("mmdebstrap") and any(keyrings):
            return
        facts = host.look()
        packages = ("mmdebstrap", "debian-archive-keyring")
        if not facts.root or not facts.debian:
            raise Unfit(
                "no base image can be pulled, and mmdebstrap, which makes one, is not installed",
                hint=f"As root: apt-get update && apt-get install -y {' '.join(packages)}",
            )
        with progress.step("install mmdebstrap") as within:
            apt.install(*packages, busy=within.note)


def _bootstrap(engine: Engine, suite: str) -> None:
    root = os.geteuid() == 0
    argv = bootstrap_argv(suite, engine.arch, root=root)
    # By way of a file: an import of half a tar would look like a whole image.
    with tempfile.TemporaryFile() as rootfs, tempfile.TemporaryFile() as log:
        status = programs.run(argv, within=DOWNLOAD.seconds, stdout=rootfs, stderr=log).returncode
        if status != 0:
            log.seek(0)
            by_hand = shlex.join(bootstrap_argv(suite, engine.arch, root=True))
            failed = CommandError(
                f"making {imported_name(suite)}",
                argv,
                status,
                log.read().decode(errors="replace"),
                pasted=f"{shlex.join(argv)} > rootfs.tar",
                hint="Debian's packages must be within reach, from here and in builds.",
            )
            if root:
                raise failed
            raise Unfit(failed.message, hint=f"As root: {by_hand} | lab images base {suite} -")
        rootfs.seek(0)
        take(engine, suite, rootfs)


def take(engine: Engine, suite: str, rootfs: BinaryIO) -> str:
    """Make a suite's base of a root file system, a tar; the image's name."""
    engine.import_image(rootfs, tag=imported_name(suite), labels=LABELS)
    return imported_name(suite)
