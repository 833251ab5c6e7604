"""Faults of whole machines, which the engine makes, and shows by the state of their containers."""

from lab.faults.options import Option, flag
from lab.faults.plan import Ask, NodeVerb, OnEngine, Plan
from lab.faults.registry import event, state
from lab.faults.targets import nodes

GONE = "`node.answers` names it, and hides nothing of the others; `lab down` does not wait for it"


def _plan(ask: Ask, verb: NodeVerb) -> Plan:
    return (tuple(OnEngine(node, verb) for node in ask.nodes),)


@state("node-pause", nodes(), does="All of a machine's processes stand still", holds=GONE)
def node_pause(ask: Ask) -> Plan:
    """The freezer of its cgroup."""
    return _plan(ask, "pause")


@state("node-stop", nodes(), does="A machine is shut down in order; ended, it boots", holds=GONE)
def node_stop(ask: Ask) -> Plan:
    """As its engine stops a container."""
    return _plan(ask, "stop")


@state(
    "node-kill", nodes(), does="A machine loses its power: everything is killed; ended, it boots", holds=GONE
)
def node_kill(ask: Ask) -> Plan:
    """SIGKILL to its first process, and so to all."""
    return _plan(ask, "kill")


@event(
    "node-reboot",
    nodes(),
    does="A machine reboots in order; with `--hard` it loses its power first",
    holds="The same subnet, its pods run again, and every check holds",
    options=[Option("hard", flag, "Without a shutdown.", "", "false")],
)
def node_reboot(ask: Ask) -> Plan:
    """States of its kernel end with it."""
    return _plan(ask, "reset" if ask.options["hard"] else "restart")
