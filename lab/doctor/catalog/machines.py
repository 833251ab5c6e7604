"""The machines themselves, their clocks, memory and disks."""

from collections.abc import Iterator
from datetime import UTC, datetime

from lab.doctor.case import Case, short
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.questions import FLANNEL_FOLDER
from lab.doctor.registry import diagnosis
from lab.spec.engine import UNREACHED

SKEW = 1.0
"""Seconds by which two clocks may differ besides what asking takes."""

LATE = 30.0
"""Seconds that a line may take from a process to the journal on a busy machine."""

LOW = 64 << 20
"""Bytes: below that neither Docker nor etcd goes on for long."""

FEW = 4096
"""Bytes: less than a file takes."""

STANDS_STILL = {"paused": "node-pause", "exited": "node-stop", "dead": "node-stop", "created": "node-stop"}
"""What brings back a machine whose container is in such a state, however it came into it."""


@diagnosis(
    "machine.silent",
    Layer.MACHINE,
    finds="A machine whose container is paused, has ended or is gone; that does not answer, or its engine",
)
def silent(case: Case) -> Iterator[Found]:
    """The container's state, in the engine's word."""
    for node, silence in case.silences():
        state = f"its container is {node.state}"
        evidence = (state, f"since {silence.since:%Y-%m-%d %H:%M:%S} UTC: {silence.reason}")
        if node.state == "paused":
            fix = [f"lab fault stop{case.option} node-pause {node.name}"]
            yield Found(node.name, "it stands still: all of its processes are frozen", evidence, fix)
        elif node.state in STANDS_STILL:
            fix = [f"lab fault stop{case.option} {STANDS_STILL[node.state]} {node.name}"]
            yield Found(node.name, "it is down", evidence, fix)
        elif node.state == "absent":
            fix = [case.lab("down"), case.lab("up")]
            yield Found(node.name, "there is no such machine any more", evidence, fix)
        elif node.state == UNREACHED:
            engine = case.seen.node_spec(node.name).engine
            (which,) = [item for item in case.spec.engines if item.name == engine]
            named = f"DOCKER_CONTEXT={which.context}" if which.context else f"DOCKER_HOST={which.host}"
            fix = [f"{named} lab doctor"]
            yield Found(node.name, "its engine does not answer, and so it does not", evidence, fix)
        else:
            fix = [case.lab("logs", node.name), f"LAB_PATIENCE=3 {case.lab('doctor')}"]
            yield Found(node.name, "it runs, and does not answer", evidence, fix)


@diagnosis(
    "machine.question",
    Layer.MACHINE,
    severity=Severity.NOTE,
    finds="A question that a machine has not answered: what it would have shown is not known",
)
def question(case: Case) -> Iterator[Found]:
    """Another diagnosis may say why, such as that etcd stands still."""
    for node in case.seen.nodes.values():
        silences = [it for it in node.silences if it.question]
        if silences and node.silent is None:
            evidence = tuple(f"{it.question}: {it.reason}" for it in silences)
            what = (
                f"it has not answered {len(silences)} questions"
                if len(silences) > 1
                else "it has not answered"
            )
            yield Found(node.name, what, evidence, (case.lab("check", "--failed"),))


@diagnosis(
    "clock.machines",
    Layer.CLOCK,
    start=True,
    finds="Machines whose wall clocks differ from each other's by more than asking them has taken",
)
def clocks(case: Case) -> Iterator[Found]:
    """Each is compared with this host, whose clock was read before and after."""
    ahead = {}
    for node, look in case.each():
        before, after = look.asked
        early, late = before - look.wall, look.wall - after
        if max(early, late) > SKEW:
            ahead[node.name] = late if late > early else -early
    everybody = [node.name for node, _ in case.each()]
    if (
        len(ahead) == len(everybody)
        and max(ahead.values(), default=0) - min(ahead.values(), default=0) <= SKEW
    ):
        return  # they agree: this host's own clock is another diagnosis
    for name, seconds in ahead.items():
        seen = case.look(name)
        if seen is None:
            continue
        words = f"its clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this host's"
        evidence = (f"{name}: {_at(seen.wall)}", f"this host: {_at(seen.asked[1])}")
        yield Found(name, words, evidence, (case.on(name, "date", "--set", f"@{seen.asked[1]:.0f}"),))


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


@diagnosis(
    "clock.process",
    Layer.CLOCK,
    start=True,
    finds="A process that is told another time than its machine has: by a preloaded library that replaces "
    "the C library's clock, or by the times in its log",
)
def process_clocks(case: Case) -> Iterator[Found]:
    """A lease's time counts for a daemon as its own clock says."""
    for node, _, unit in case.units():
        libraries = {item.clock: item for item in unit.processes if item.clock}
        evidence = [
            f"process {item.pid} ({item.name}) has LD_PRELOAD={path}, which has a clock_gettime of its own"
            for path, item in libraries.items()
        ]
        if unit.clock_ahead is not None and abs(unit.clock_ahead) > LATE:
            where = "ahead of" if unit.clock_ahead > 0 else "behind"
            words = f"{abs(unit.clock_ahead):.0f} s {where} the journal's"
            evidence.append(f"its last line's own time is {words}: {short(unit.log[-1]) if unit.log else ''}")
        if evidence:
            fix = [
                case.on(node.name, "systemctl", "cat", unit.name),
                "# take LD_PRELOAD out of the file that sets it, if one does; then:",
                case.shell(node.name, f"systemctl daemon-reload; systemctl restart {unit.name}"),
            ]
            what = f"{unit.name} goes by another time than its machine"
            yield Found(node.name, what, tuple(evidence), fix)


@diagnosis(
    "disk.flannel",
    Layer.MACHINE,
    start=True,
    finds=f"`{FLANNEL_FOLDER}`, the folder of subnet.env, is full or cannot be written: flanneld, or a "
    "daemon in its place, cannot say which subnet its machine holds",
)
def flannel_folder(case: Case) -> Iterator[Found]:
    """Where flanneld runs, or Docker is started with what stands there."""
    for node, look in case.each():
        folder = look.folders.get(FLANNEL_FOLDER)
        if folder is None or not folder.there:
            continue  # its daemon makes it
        if folder.read_only:
            fix = (case.on(node.name, "findmnt", "--target", FLANNEL_FOLDER),)
            mend = case.shell(node.name, f"mount -o remount,rw {FLANNEL_FOLDER} || umount {FLANNEL_FOLDER}")
            evidence = (f"access({FLANNEL_FOLDER}, W_OK): Read-only file system",)
            yield Found(node.name, f"{FLANNEL_FOLDER} cannot be written", evidence, (*fix, mend))
        elif folder.free < FEW or (folder.files and not folder.files_free):
            seen = (
                f"{folder.free} of {folder.size} bytes and {folder.files_free} of {folder.files} files free"
            )
            fix = (case.on(node.name, "du", "-a", FLANNEL_FOLDER),)
            more = case.on(node.name, "mount", "-o", "remount,size=16M", FLANNEL_FOLDER)
            yield Found(node.name, f"{FLANNEL_FOLDER} is full", (seen,), (*fix, more))


@diagnosis(
    "disk.machine", Layer.MACHINE, start=True, finds="A machine's `/` or `/var` has less than 64 MiB left"
)
def disks(case: Case) -> Iterator[Found]:
    """etcd's and Docker's data are there."""
    for node, look in case.each():
        for path in ("/", "/var"):
            folder = look.folders.get(path)
            if folder is not None and folder.there and not folder.error and folder.free < LOW:
                seen = f"{path}: {folder.free >> 20} MiB of {folder.size >> 20} MiB free"
                fix = (case.on(node.name, "du", "-xh", "--max-depth=3", path),)
                yield Found(node.name, f"{path} is full", (seen,), fix)


@diagnosis(
    "memory.oom",
    Layer.MACHINE,
    start=True,
    severity=Severity.NOTE,
    finds="The kernel has killed a process of a unit for want of memory",
)
def oom(case: Case) -> Iterator[Found]:
    """By the unit's control group, or by what systemd says of its last end."""
    for node, _, unit in case.units():
        if unit.oom_kills or unit.result == "oom-kill":
            evidence = (f"{unit.name}: oom_kill {unit.oom_kills}, Result={unit.result}",)
            fix = (case.on(node.name, "systemctl", "show", "--property=MemoryCurrent,MemoryMax", unit.name),)
            severity = Severity.NOTE if unit.active == "active" else Severity.MEND
            yield Found(node.name, f"{unit.name} has run out of memory", evidence, fix, severity)
