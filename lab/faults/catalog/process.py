"""Faults of processes: a unit of a machine's systemd is stopped, paused, killed."""

from lab.faults.options import Option, duration, signal_name
from lab.faults.plan import Ask, Plan, Step, together
from lab.faults.registry import Function, event, state
from lab.faults.targets import TargetKind, units

EVERY = Option("every", duration, "The time between two kills.", "TIME", "1s")
SIGNAL = Option("signal", signal_name, "Another signal than SIGKILL.", "NAME", "SIGKILL")

OUTAGE = "Existing flows lose nothing; `/readyz` says degraded; recovered within 5 s after"
SEEN = "`lab check` names the unit, and nothing else changes"


def _on_each(does: str) -> Function:
    """The same on every unit that is named."""

    def plan(ask: Ask) -> Plan:
        return together((item.node, Step(does, {"unit": item.part, **ask.options})) for item in ask.targets)

    return plan


STATES: tuple[tuple[str, TargetKind, str, str, str], ...] = (
    ("unit-stop", units(), "unit-stopped", "A unit is stopped, and so is what requires it", SEEN),
    ("unit-pause", units(), "unit-paused", "Every process of a unit is sent SIGSTOP", SEEN),
    ("etcd-stop", units("etcd"), "unit-stopped", "`unit-stop` for etcd", OUTAGE),
    ("etcd-pause", units("etcd"), "unit-paused", "`unit-pause` for etcd", OUTAGE),
    (
        "daemon-pause",
        units("flanneld"),
        "unit-paused",
        "`unit-pause` for flanneld",
        "Its lease ends unless it is resumed in time; resumed, it checks that before it forwards",
    ),
)
for _name, _targets, _does, _words, _holds in STATES:
    state(_name, _targets, does=_words, holds=_holds)(_on_each(_does))


@state(
    "crash-loop",
    units(),
    does="A unit's main process is killed (SIGKILL) again and again",
    holds="Once it ends, the unit runs, also where systemd had given up",
    options=[EVERY],
)
def crash_loop(ask: Ask) -> Plan:
    """Something on the machine kills it."""
    return _on_each("unit-crashing")(ask)


EVENTS: tuple[tuple[str, TargetKind, str, tuple[Option, ...], str, str], ...] = (
    (
        "unit-kill",
        units(),
        "unit-kill",
        (SIGNAL,),
        "A unit's main process is sent a signal, SIGKILL unless another is named",
        "systemd starts it again where the unit says so",
    ),
    ("unit-restart", units(), "unit-restart", (), "systemd restarts a unit", "It runs again"),
    (
        "daemon-kill-9",
        units("flanneld"),
        "unit-kill",
        (SIGNAL,),
        "`unit-kill` for flanneld",
        "vxlan and host-gw lose nothing; udp's gap is below 1.5 s; the subnet stays the same",
    ),
    (
        "daemon-restart",
        units("flanneld"),
        "unit-restart",
        (),
        "`unit-restart` for flanneld, and so for the Docker that requires it",
        "vxlan and host-gw lose nothing between nodes; the subnet stays the same",
    ),
    (
        "dockerd-restart",
        units("docker"),
        "unit-restart",
        (),
        "`unit-restart` for docker",
        "Its pods come back, with docker0's address as before",
    ),
    (
        "thundering-start",
        units("flanneld"),
        "unit-restart",
        (),
        "Every flanneld that is named is restarted at the same moment",
        "Distinct leases within 15 s",
    ),
)
for _name, _targets, _does, _options, _words, _holds in EVENTS:
    event(_name, _targets, does=_words, holds=_holds, options=_options)(_on_each(_does))


@event(
    "oom",
    units(),
    does="The kernel kills a process of a unit for want of memory (`memory.max` of its cgroup)",
    holds="systemd starts it again where the unit says so",
)
def oom(ask: Ask) -> Plan:
    """Refused on the machine where there is no memory controller."""
    return _on_each("unit-oom")(ask)
