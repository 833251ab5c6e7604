"""Faults of the clock."""

from lab.faults.options import Option, signed_duration
from lab.faults.plan import Ask, Carry, OnNode, Plan, Step
from lab.faults.registry import state
from lab.faults.targets import units


@state(
    "clock-skew",
    units(),
    does="A unit is started again with a library that shifts the wall clock; a static program is refused",
    holds="No early expiry, no double hold",
    options=[Option("by", signed_duration, "How far it is ahead; behind with a minus.", "TIME", "2h")],
)
def clock_skew(ask: Ask) -> Plan:
    """The machine's clock is the host's, and nobody in a machine can set it."""
    carried = tuple(Carry(node, "clock") for node in ask.nodes)
    shifted = tuple(
        OnNode(item.node, (Step("clock-skewed", {"unit": item.part, "seconds": ask.options["by"]}),))
        for item in ask.targets
    )
    return (carried, shifted)
