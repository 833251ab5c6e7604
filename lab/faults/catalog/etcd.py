"""Faults of etcd as a whole, and of its cluster."""

from lab.errors import Unfit
from lab.faults.catalog.leases import first_etcd, of_store, on_etcd
from lab.faults.options import Option, text
from lab.faults.plan import Ask, Plan, Step, together
from lab.faults.registry import event, state
from lab.faults.targets import NONE, nodes
from lab.node.etcd import endpoints

LEARNED = "A warning; new peers are still learned"


@event(
    "etcd-wipe",
    NONE,
    does="Everything below flannel's prefix is deleted, and the configuration set again",
    holds="The same subnets are claimed again; no flow is broken for longer than 5 s",
)
def etcd_wipe(ask: Ask) -> Plan:
    """As after a restore of the wrong thing."""
    return on_etcd(ask, Step("etcd-wipe", of_store(ask)))


@event(
    "etcd-compact",
    NONE,
    does="All history is forgotten",
    holds="A watch that it ends is begun anew, and nothing is missed",
)
def etcd_compact(ask: Ask) -> Plan:
    """Up to the present revision. v3 only."""
    return on_etcd(ask, Step("etcd-compact", of_store(ask)))


@event(
    "etcd-defragment",
    nodes("etcd", otherwise_all=True),
    does="The database is rewritten; etcd answers nothing meanwhile",
    holds="Nothing is visible but a slow answer",
)
def etcd_defragment(ask: Ask) -> Plan:
    """Each member for itself. v3 only."""
    return together((node, Step("etcd-defragment", of_store(ask))) for node in ask.nodes)


@event(
    "etcd-snapshot",
    NONE,
    does="A copy of the store is kept on the machine, for `etcd-restore`",
    holds="Nothing changes",
)
def etcd_snapshot(ask: Ask) -> Plan:
    """v3 only."""
    return on_etcd(ask, Step("etcd-snapshot", of_store(ask)))


@event(
    "etcd-restore",
    NONE,
    does="The store goes back to what `etcd-snapshot` has kept, and its revisions with it",
    holds="Leases since then are claimed again; a watch does not wait for a revision that is long ago",
)
def etcd_restore(ask: Ask) -> Plan:
    """Of a cluster of one: several members would all have to be restored as a new cluster."""
    if len(ask.setting.etcd) > 1:
        raise Unfit(
            f"etcd-restore is refused: etcd has {len(ask.setting.etcd)} members, and a snapshot makes a new "
            "cluster of one"
        )
    return on_etcd(ask, Step("etcd-restore", of_store(ask)))


@event(
    "etcd-leader-change",
    NONE,
    does="Another member becomes the leader",
    holds="Nothing is visible but a log line",
)
def etcd_leader_change(ask: Ask) -> Plan:
    """It takes two members."""
    _several(ask, "etcd-leader-change")
    return on_etcd(
        ask, Step("etcd-leader-change", {**of_store(ask), "endpoints": endpoints(ask.setting.spec)})
    )


@state(
    "etcd-member-loss",
    nodes("etcd"),
    does="A member of several is stopped",
    holds="Nothing is visible but a log line",
)
def etcd_member_loss(ask: Ask) -> Plan:
    """It takes two members; with one, that is `etcd-stop`."""
    _several(ask, "etcd-member-loss")
    return together((node, Step("unit-stopped", {"unit": "etcd.service"})) for node in ask.nodes)


def _several(ask: Ask, name: str) -> None:
    if len(ask.setting.etcd) < 2:
        raise Unfit(
            f"{name} is refused: etcd has one member in this lab, on {first_etcd(ask)}",
            hint="Without it there is no etcd at all: lab fault start etcd-stop",
        )


@state(
    "etcd-bad-key",
    NONE,
    does="There is a key under `subnets/` that names no subnet",
    holds=LEARNED,
    options=[Option("key", text, "The key's last part.", "TEXT", "not-a-subnet")],
)
def etcd_bad_key(ask: Ask) -> Plan:
    """With what a lease could hold."""
    return _junk(ask, ask.options["key"], '{"PublicIP":"192.0.2.1"}')


@state(
    "etcd-bad-value",
    NONE,
    does="A free subnet's key holds what is no lease",
    holds=LEARNED,
    options=[Option("value", text, "What it holds.", "TEXT", "not a lease")],
)
def etcd_bad_value(ask: Ask) -> Plan:
    """The last subnet of the network, which flannel gives out as any other."""
    network = ask.setting.overlay
    length = max(24, network.prefixlen)
    last = list(network.subnets(new_prefix=length))[-1]
    return _junk(ask, f"{last.network_address}-{length}", ask.options["value"])


def _junk(ask: Ask, name: str, value: str) -> Plan:
    store = of_store(ask)
    key = f"{store['prefix']}/subnets/{name}"
    return on_etcd(ask, Step("etcd-value", {**store, "key": key, "value": value}))


@state(
    "etcd-slow-disk",
    nodes("etcd"),
    does="etcd's fsync takes long",
    holds="Leases are renewed in time all the same",
    refused="a delay of fsync takes a device of the kernel's device mapper (dm-delay) below etcd's disk, and "
    "a machine of the lab has no block device of its own",
    hint="Root on the host can put etcd's volume on one: dmsetup create, with the target delay.",
)
def etcd_slow_disk(ask: Ask) -> Plan:
    """Refused; `etcd-pause` is what comes near."""
    raise NotImplementedError(ask)
