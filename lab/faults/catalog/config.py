"""Faults of flannel's network configuration in etcd."""

import json
from typing import Any

from lab.faults.catalog.leases import of_store, on_etcd
from lab.faults.options import Option, text
from lab.faults.plan import Ask, Plan, Step
from lab.faults.registry import state
from lab.faults.targets import NONE

RUNS_ON = "A daemon that runs keeps its subnet; one that starts says what is wrong"


def _setting(value: str) -> list[Any]:
    """KEY and value of KEY=VALUE; the value is JSON where it can be."""
    key, equals, given = value.partition("=")
    if not key or not equals:
        raise ValueError(f"expected KEY=VALUE such as Backend.Type=vxlan; got {value!r}")
    try:
        return [key, json.loads(given)]
    except ValueError:
        return [key, given]


def _config(ask: Ask, **given: Any) -> Plan:
    store = of_store(ask)
    return on_etcd(ask, Step("etcd-value", {**store, "key": f"{store['prefix']}/config", **given}))


@state(
    "config-change",
    NONE,
    does="A key of the network configuration has another value, or with `null` is gone",
    holds=RUNS_ON,
    options=[
        Option("set", _setting, "What to change, such as Network=10.9.0.0/16.", "KEY=VALUE", "SubnetLen=25")
    ],
)
def config_change(ask: Ask) -> Plan:
    """Backend.Type names a key within a key."""
    return _config(ask, edit=ask.options["set"])


@state(
    "config-break",
    NONE,
    does="The network configuration is no configuration",
    holds=RUNS_ON,
    options=[Option("value", text, "What it is instead.", "TEXT", "{ no JSON")],
)
def config_break(ask: Ask) -> Plan:
    """By default not even JSON."""
    return _config(ask, value=ask.options["value"])


@state("config-remove", NONE, does="The network configuration is gone", holds=RUNS_ON)
def config_remove(ask: Ask) -> Plan:
    """Its key is deleted."""
    return _config(ask, value=None)
