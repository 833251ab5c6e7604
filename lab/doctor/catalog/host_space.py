"""Disk and memory of the host, and what is left there of labs."""

from collections.abc import Iterator

from lab.doctor.host_seen import HOST, Host
from lab.doctor.model import Found, Severity
from lab.doctor.registry import about_host

GIB = 1 << 30

FULL, LOW = GIB, 5 * GIB
"""Bytes of a disk: less than the images take; what a few labs take."""

FULL_OF_FILES = 0.95
"""Of its inodes."""

SHORT, TIGHT = GIB // 4, GIB
"""Bytes of memory: less than a machine with Docker takes; what three machines and their pods take."""


@about_host(
    "host.disk",
    finds="Where the engine keeps everything, less than a GiB is left (less than 5 is worth knowing)",
)
def disk(host: Host) -> Iterator[Found]:
    """Images, machines' disks, and the pods' images in them."""
    folder = host.disk
    if folder is None:
        return
    fix = ("lab gc", "lab images rm", f"du -xh --max-depth=2 {folder.path}")
    seen = f"{folder.path}: {folder.free / GIB:.1f} GiB of {folder.size / GIB:.1f} GiB free"
    if folder.read_only:
        yield Found(
            HOST, "the engine's disk cannot be written", (f"{folder.path}: read-only",), ("dmesg | tail",)
        )
    elif folder.files and folder.files_free < folder.files * (1 - FULL_OF_FILES):
        inodes = f"{folder.path}: {folder.files_free} of {folder.files} inodes free"
        yield Found(HOST, "the engine's disk has hardly an inode left", (inodes,), fix)
    elif folder.free < FULL:
        yield Found(HOST, "the engine's disk is full", (seen,), fix)
    elif folder.free < LOW:
        yield Found(HOST, "the engine's disk is nearly full", (seen,), fix, Severity.NOTE)


@about_host("host.memory", finds="Less than 256 MiB of memory is free (less than a GiB is worth knowing)")
def memory(host: Host) -> Iterator[Found]:
    """What the kernel would give to a program that begins now."""
    if host.memory_available is None or host.memory is None:
        return
    seen = f"MemAvailable: {host.memory_available >> 20} MiB of {host.memory >> 20} MiB"
    fix = ("lab ls", "ps -e -o pid,rss,args --sort=-rss | head")
    if host.memory_available < SHORT:
        yield Found(HOST, "no memory is left for another machine", (seen,), fix)
    elif host.memory_available < TIGHT:
        yield Found(HOST, "little memory is left", (seen,), fix, Severity.NOTE)


@about_host(
    "host.oom",
    severity=Severity.NOTE,
    finds="The kernel has killed processes for want of memory since it booted",
)
def oom(host: Host) -> Iterator[Found]:
    """Of whatever program."""
    if host.oom_kills:
        seen = f"/proc/vmstat: oom_kill {host.oom_kills}"
        yield Found(
            HOST, "this host has run out of memory before", (seen,), ("dmesg | grep -i 'out of memory'",)
        )


@about_host(
    "host.labs",
    severity=Severity.NOTE,
    start=False,
    finds="Labs that killed runs have left, or that are not whole",
)
def labs(host: Host) -> Iterator[Found]:
    """They take memory, disk and addresses."""
    left = [lab for lab in host.labs if lab.state == "left over"]
    if left:
        evidence = tuple(f"{lab.name}: {lab.state}" for lab in left)
        yield Found(HOST, "killed runs have left something", evidence, ("lab gc",))
    for lab in host.labs:
        if lab.state.startswith("not whole"):
            evidence = (f"{lab.name}: {lab.state}",)
            yield Found(
                HOST, f"the lab {lab.name} is not whole", evidence, (f"lab doctor --name {lab.name}",)
            )


@about_host(
    "host.images",
    severity=Severity.NOTE,
    start=False,
    finds="Images and seed volumes of other versions, which nothing uses",
)
def stale_images(host: Host) -> Iterator[Found]:
    """They only take up the disk."""
    stale = [image for image in host.images if image.state != "current"]
    if stale:
        evidence = tuple(f"{image.name}: {image.state}" for image in stale)
        fix = ("lab images rm  # all, once no lab is up; the next lab up builds anew what it needs",)
        yield Found(HOST, "images of other versions take up the disk", evidence, fix)
