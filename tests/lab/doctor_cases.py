"""The tutorial's cluster as `lab doctor` sees it: what machines say of themselves, and what can be wrong."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.checks.registry import every_check, judge
from lab.doctor.case import Case
from lab.doctor.model import Diagnosis
from lab.doctor.questions import FLANNEL_FOLDER, TOPICS
from lab.doctor.registry import diagnose
from lab.doctor.seen import Device, Etcd, Folder, Look, Process, Unit
from lab.observe import Observation
from lab.packet_filter import Ruleset
from lab.spec import ROLES
from tests.lab.examples import MINIONS, known, observation
from tests.lab.rulesets import COUNTER, MASQUERADE, chain, field, match, meta, net, rule, rules_of

ONE, TWO = MINIONS
MASTER = "centos-master"
NOW = 1_796_044_700.0


def unit(name: str, pid: int, **changes: Any) -> Unit:
    processes = (Process(pid, name, "S"),)
    return replace(
        Unit(name, "active", "running", pid=pid, up=900.0, since_boot=2.0, processes=processes), **changes
    )


def items_of(subnet: str) -> list[dict[str, Any]]:
    """What Docker 26 and flanneld make on a minion, as nft shows iptables' tables."""
    return [
        chain("POSTROUTING", "postrouting", table="nat", type="nat", prio=100),
        rule(
            "POSTROUTING",
            match(field("ip", "saddr"), net(f"{subnet}.0/24")),
            match(meta("oifname"), "docker0", "!="),
            COUNTER,
            MASQUERADE,
            table="nat",
        ),
        chain("FORWARD", "forward"),
        chain("FLANNEL-FWD"),
        chain("DOCKER"),
        rule(
            "FORWARD",
            match(meta("oifname"), "docker0"),
            {"xt": {"type": "match", "name": "conntrack"}},
            COUNTER,
            {"accept": None},
            handle=18,
        ),
        rule("FORWARD", match(meta("oifname"), "docker0"), {"jump": {"target": "DOCKER"}}, handle=17),
        rule(
            "FORWARD",
            {"xt": {"type": "match", "name": "comment"}},
            {"jump": {"target": "FLANNEL-FWD"}},
            handle=5,
        ),
        rule("FLANNEL-FWD", match(field("ip", "saddr"), net("10.2.0.0/16")), {"accept": None}, handle=2),
        rule("FLANNEL-FWD", match(field("ip", "daddr"), net("10.2.0.0/16")), {"accept": None}, handle=3),
    ]


SAVED = """\
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.2.0.0/16 -j ACCEPT
-A FLANNEL-FWD -d 10.2.0.0/16 -j ACCEPT
COMMIT
"""


def devices(name: str) -> dict[str, Device]:
    """Those of a minion, or of the master."""
    if name == MASTER:
        return {"eth0": Device("eth0", True, 1500, mac="02:42:c0:a8:c7:33", addresses=("192.168.199.51/24",))}
    links = known(observation().nodes[name].links)
    macs = {"eth0": f"02:42:c0:a8:c7:{name[-2:]}"}
    return {
        it.name: Device(it.name, it.up, it.mtu, mac=macs.get(it.name, ""), addresses=it.addresses)
        for it in links.values()
    }


def look(name: str) -> Look:
    """A machine on which all is well."""
    names = ROLES["master" if name == MASTER else "minion"]
    base = Look(
        name=name,
        wall=NOW,
        boot=1000.0,
        asked=(NOW - 0.1, NOW + 0.3),
        units={item: unit(item, 40 + at) for at, item in enumerate(names)},
        devices=devices(name),
        routes={4: ("192.168.199.0/24",), 6: ()},
        folders={path: Folder(path, True, False, 1 << 30, 1 << 31, 900, 1000) for path in ("/", "/var")},
        sysctls={"net/ipv4/ip_forward": "1"},
    )
    if name == MASTER:
        return replace(base, etcd=Etcd("", "3.5.16"), rules=Ruleset())
    return replace(
        base,
        sysctls={
            "net/ipv4/ip_forward": "1",
            "net/ipv4/conf/all/rp_filter": "0",
            "net/ipv4/conf/eth0/rp_filter": "0",
            "net/ipv4/conf/eth0/forwarding": "1",
            "net/netfilter/nf_conntrack_count": "12",
            "net/netfilter/nf_conntrack_max": "262144",
        },
        folders={
            **base.folders,
            FLANNEL_FOLDER: Folder(FLANNEL_FOLDER, True, False, 1 << 20, 1 << 20, 90, 99),
        },
        rules=rules_of(items_of(MINIONS[name][1]), iptables=SAVED),
        reach={MASTER: ""},
    )


LOOKS = {name: look(name) for name in (MASTER, ONE, TWO)}


def case(seen: Observation | None = None, **looks: Mapping[str, Any]) -> Case:
    """The cluster, with changes of what `one`, `two` or `master` says."""
    names = {"one": ONE, "two": TWO, "master": MASTER}
    told = {**LOOKS, **{names[it]: replace(LOOKS[names[it]], **changes) for it, changes in looks.items()}}
    return of(observation() if seen is None else seen, told)


def of(seen: Observation, told: Mapping[str, Any]) -> Case:
    checks = [item for item in every_check() if item.needs <= TOPICS]
    return Case(seen, told, tuple(judge(seen, checks)))


def found(what: Case) -> dict[str, Diagnosis]:
    """By identifier, the first of each."""
    every = diagnose(what)
    return {item.id: item for item in reversed(every)}
