"""What a shell offers while somebody types: names of labs, machines, pods, units, faults, checks and files.

Names come from the engine's labels; only machines know of pods that came later, so those are asked, briefly.
Whatever goes wrong, there is just nothing to offer.
"""

import contextlib
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from lab import threads
from lab.deadlines import NAMES_OFFERED, PODS_OFFERED, Deadline

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.cluster import Lab
    from lab.engine import Engine
    from lab.faults.registry import Fault

__all__ = [
    "VARIABLE",
    "WithFaultsOptions",
    "checks",
    "containers",
    "drawn_faults",
    "ends",
    "faults",
    "files",
    "labs",
    "nodes",
    "places",
    "pods",
    "run",
    "states",
    "target_nodes",
    "targets",
    "units",
]

VARIABLE = "_LAB_COMPLETE"
"""In the environment of `lab` when a shell asks; click's name for it."""

T = TypeVar("T")
Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def run(group: click.Group, settings: object) -> int:
    """Answer a shell, whose question is in the environment. Nothing is printed of what goes wrong."""
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            group.main([], prog_name="lab", standalone_mode=False, obj=settings)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
        except Exception:  # noqa: BLE001 - a line that is half typed may be anything
            return 1
    return 0


def _in_time(act: Callable[[], T], deadline: Deadline, otherwise: T) -> T:
    try:
        return threads.start(act).result(deadline.seconds)
    except Exception:  # noqa: BLE001 - no engine, no such lab, another version's lab, or too late
        return otherwise


def _engine() -> "Engine":
    from lab.engine import Engine

    return Engine.connect()


def _lab(context: click.Context) -> "Lab | None":
    """The lab that the line means so far, if there is one."""
    from lab.cluster import Lab
    from lab.naming import default_name

    name = context.params.get("name") or default_name()
    return _in_time(lambda: Lab.find(_engine(), name), NAMES_OFFERED, None)


def _offer(look: Callable[[click.Context], Iterable[str]]) -> Complete:
    """A `shell_complete` of the names that are found; none once a command's own words have begun."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        if context.params.get("command"):
            return []
        return [name for name in look(context) if name.startswith(incomplete)]

    return complete


def _offer_list(look: Callable[[click.Context], Iterable[str]]) -> Complete:
    """The same for names with commas between: those that are there already stay before each."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in look(context) if name.startswith(last)]

    return complete


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Files of this machine, which the shell itself looks for."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _labs(_context: click.Context) -> Iterable[str]:
    from lab.cluster import names

    return _in_time(lambda: list(names(_engine())), NAMES_OFFERED, [])


def _nodes(context: click.Context) -> Sequence[str]:
    lab = _lab(context)
    return [node.name for node in lab.spec.nodes] if lab is not None else []


def _target_nodes(context: click.Context) -> Sequence[str]:
    """Machines, and the words that stand for several."""
    return [*_nodes(context), "all", "etcd", "minions"]


def _pods_of(lab: "Lab") -> Sequence[str]:
    known = [pod.name for pod in lab.spec.pods]
    return _in_time(lambda: [pod.name for pod in lab.pods()], PODS_OFFERED, known)


def _pods(context: click.Context) -> Sequence[str]:
    lab = _lab(context)
    return _pods_of(lab) if lab is not None else []


def _ends(context: click.Context) -> Sequence[str]:
    lab = _lab(context)
    return [*_pods_of(lab), *(node.name for node in lab.spec.nodes)] if lab is not None else []


def _units(context: click.Context) -> Sequence[str]:
    """The services that a machine is to run."""
    lab = _lab(context)
    node = lab.nodes.get(context.params.get("node") or "") if lab is not None else None
    return node.services if node is not None else []


def _containers(context: click.Context) -> Iterable[str]:
    """Those of all pods: of which pod, click does not tell where an option waits for its value."""
    lab = _lab(context)
    pods = lab.spec.pods if lab is not None else ()
    return dict.fromkeys(container.name for pod in pods for container in pod.containers)


def _faults(_context: click.Context) -> Sequence[str]:
    from lab.faults.registry import every_fault

    return [fault.name for fault in every_fault() if not fault.refused]


def _states(_context: click.Context) -> Sequence[str]:
    from lab.faults.registry import every_fault

    return [fault.name for fault in every_fault() if fault.kind == "state" and not fault.refused]


def _drawn(_context: click.Context) -> Sequence[str]:
    from lab.soak.recipes import RECIPES

    return list(RECIPES)


def _checks(_context: click.Context) -> Sequence[str]:
    from lab.checks.registry import every_check

    return [check.id for check in every_check()]


def _fault(context: click.Context) -> "Fault | None":
    """The fault of the line, if there is one of that name."""
    from lab.faults.registry import every_fault

    name = context.params.get("fault_name") or context.params.get("what")
    return next((fault for fault in every_fault() if fault.name == name), None)


def _targets(context: click.Context) -> Sequence[str]:
    """What the fault of the line may be done to; nothing where one of its options waits for a value."""
    fault = _fault(context)
    last = (context.params.get("words") or ("",))[-1]
    if fault is None or last in [f"--{option.name}" for option in fault.options if option.metavar]:
        return []
    if "/" not in fault.targets.usage:
        return _target_nodes(context) if fault.targets.usage else []
    lab = _lab(context)
    each = lab.nodes.values() if lab is not None else []
    return [f"{node.name}/{unit}" for node in each for unit in node.services]


def _places(context: click.Context) -> Sequence[str]:
    return [f"{name}:" for name in _ends(context)]


def places(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem] | list[str]":
    """For `lab cp`: machines and pods with a colon; a file, where no such name begins so."""
    return _offer(_places)(context, parameter, incomplete) or files(context, parameter, incomplete)


class WithFaultsOptions(click.Command):
    """A verb that takes a fault's own options beside its own."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """The options of both."""
        from click.shell_completion import CompletionItem

        fault = _fault(ctx)
        own = fault.options if fault is not None else ()
        return [
            *(
                CompletionItem(f"--{option.name}", help=option.doc)
                for option in own
                if f"--{option.name}".startswith(incomplete)
            ),
            *super().shell_complete(ctx, incomplete),
        ]


labs = _offer(_labs)
nodes = _offer(_nodes)
target_nodes = _offer(_target_nodes)
pods = _offer(_pods)
ends = _offer(_ends)
units = _offer(_units)
containers = _offer(_containers)
faults = _offer(_faults)
states = _offer(_states)
drawn_faults = _offer_list(_drawn)
checks = _offer(_checks)
targets = _offer_list(_targets)
