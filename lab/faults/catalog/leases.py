"""Faults of leases: a machine's own key in etcd is deleted, taken, overwritten, given another end."""

from collections.abc import Mapping
from typing import Any

from lab.errors import Unfit
from lab.faults.options import Option, address, duration, text
from lab.faults.plan import Ask, Plan, Step, together
from lab.faults.registry import event, state
from lab.faults.targets import NONE, nodes

NOBODY = "192.0.2.1"
"""An address that no machine has: TEST-NET-1, RFC 5737."""

NEVER_TWO = "The node stops claiming it within 2 s, then holds a lease again; never two holders"


def of_store(ask: Ask) -> Mapping[str, Any]:
    """Which of etcd's stores, and where in it flannel's keys are."""
    spec = ask.setting.spec
    return {"api": spec.etcd_api, "prefix": spec.etcd_prefix}


def on_etcd(ask: Ask, *steps: Step) -> Plan:
    """Steps that the first machine with an etcd takes, for the whole store."""
    return together((first_etcd(ask), step) for step in steps)


def first_etcd(ask: Ask) -> str:
    """The first machine with an etcd. Raises `Unfit` where there is none."""
    if not ask.setting.etcd:
        raise Unfit(f"no machine of the lab {ask.setting.spec.name} runs etcd")
    return ask.setting.etcd[0]


def _of_each(ask: Ask, does: str, **given: Any) -> Plan:
    """The same for the lease of each machine that is named."""
    every = [{**of_store(ask), "address": str(ask.address(node)), **given} for node in ask.nodes]
    return on_etcd(ask, *(Step(does, item) for item in every))


@event("lease-delete", nodes("flanneld"), does="A node's lease is deleted from etcd", holds=NEVER_TWO)
def lease_delete(ask: Ask) -> Plan:
    """As an administrator does by mistake."""
    return _of_each(ask, "lease-delete")


@state(
    "lease-steal",
    nodes("flanneld"),
    does="A node's lease is another machine's, without an end; ended, the subnet is free",
    holds=NEVER_TWO,
    options=[Option("thief", address, "Who holds it instead.", "ADDRESS", NOBODY)],
)
def lease_steal(ask: Ask) -> Plan:
    """By default nobody's machine, so that no packet for the subnet reaches any."""
    return _of_each(ask, "lease-stolen", thief=ask.options["thief"])


@state(
    "lease-overwrite",
    nodes("flanneld"),
    does="A node's lease is overwritten with another text, without an end; ended, the subnet is free",
    holds=NEVER_TWO,
    options=[Option("value", text, "The text.", "TEXT", "not a lease")],
)
def lease_overwrite(ask: Ask) -> Plan:
    """By default something that is no lease."""
    return _of_each(ask, "lease-overwritten", value=ask.options["value"])


@event(
    "lease-expire",
    nodes("flanneld"),
    does="A node's lease has only a moment left; with `daemon-pause` before it, it ends",
    holds="Others withdraw it when it has ended; the resumed daemon checks before it forwards",
    options=[Option("left", duration, "The time that it has left, in whole seconds.", "TIME", "2s")],
)
def lease_expire(ask: Ask) -> Plan:
    """It gets an etcd lease of its own with that time."""
    return _of_each(ask, "lease-expire", left=ask.options["left"])


@state(
    "lease-permanent",
    nodes("flanneld"),
    does="A node's lease has no end, as a reservation has none",
    holds="It stays without an end while the daemon renews (flannel #1329)",
)
def lease_permanent(ask: Ask) -> Plan:
    """Ended, it has the end again that it had."""
    return _of_each(ask, "lease-permanent")


@state(
    "subnet-exhaustion",
    NONE,
    does="Every free subnet is leased to machines that are not there",
    holds="The next node says that no subnet is left, the others are untouched; freed, it gets one",
)
def subnet_exhaustion(ask: Ask) -> Plan:
    """Those that somebody holds stay as they are."""
    return on_etcd(ask, Step("subnets-taken", {**of_store(ask), "holder": NOBODY}))
