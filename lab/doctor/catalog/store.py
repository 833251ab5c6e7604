"""etcd, flannel's configuration in it, and who reaches it."""

import json
from collections.abc import Iterator

from lab.doctor.case import Case, texts
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.registry import diagnosis
from lab.flannel import wrong_store
from lab.observe import File, known
from lab.observe.parse import parse_environment


@diagnosis("etcd.health", Layer.STORE, finds="A member of etcd that does not answer, or has no leader")
def health(case: Case) -> Iterator[Found]:
    """`etcdctl endpoint health` proposes something, which takes a quorum."""
    for node, look in case.each():
        etcd = look.etcd
        if etcd is None:
            continue
        running = [name for name in (item.name for item in case.spec.running("etcd")) if name != node.name]
        fix = (case.on(node.name, "systemctl", "status", "etcd"), case.lab("logs", node.name, "etcd"))
        if etcd.health:
            what = "etcd does not answer" + (", or has no quorum" if running else "")
            yield Found(node.name, what, (f"etcdctl endpoint health: {etcd.health}",), fix)
        elif not etcd.leader or etcd.errors:
            evidence = etcd.errors or ("etcdctl endpoint status: leader 0",)
            yield Found(node.name, "etcd is not well", evidence, fix)


@diagnosis(
    "etcd.alarms",
    Layer.STORE,
    start=True,
    finds="An alarm of etcd: NOSPACE (it takes no more writes), CORRUPT",
)
def alarms(case: Case) -> Iterator[Found]:
    """Once, as every member tells of all."""
    told = {alarm: node.name for node, look in case.each() if look.etcd for alarm in look.etcd.alarms}
    for alarm, name in told.items():
        fix = [case.on(name, "etcdctl", "alarm", "disarm")]
        if "NOSPACE" in alarm:
            fix.insert(0, case.on(name, "etcdctl", "defrag"))
        yield Found(name, "etcd has raised an alarm", (f"etcdctl alarm list: {alarm}",), fix)


@diagnosis(
    "etcd.versions", Layer.STORE, finds="Members of etcd of different minor versions", severity=Severity.NOTE
)
def versions(case: Case) -> Iterator[Found]:
    """They work together while they are upgraded, and no longer."""
    told = {node.name: look.etcd.version for node, look in case.each() if look.etcd and look.etcd.version}
    if len({version.rpartition(".")[0] for version in told.values()}) > 1:
        evidence = tuple(f"{name}: etcd {version}" for name, version in told.items())
        fix = (case.on(next(iter(told)), "etcdctl", "endpoint", "status", "--cluster"),)
        yield Found(next(iter(told)), "the members of etcd are of different versions", evidence, fix)


@diagnosis(
    "etcd.unreachable",
    Layer.STORE,
    finds="A machine with flanneld that gets no connection to a member of etcd, port 2379",
)
def unreachable(case: Case) -> Iterator[Found]:
    """The machine has tried it."""
    for node, look in case.each():
        for member, why in look.reach.items():
            if why:
                readyz = (f"/readyz: {look.readyz.text}",) if look.readyz and look.readyz.text else ()
                said = look.units["flanneld"].status if "flanneld" in look.units else ""
                status = (f"flanneld says: {said}",) if said and not readyz else ()
                evidence = (f"connect({member}:2379): {why}", *readyz, *status)
                fix = (
                    case.on(node.name, "ip", "route", "get", _address(case, member)),
                    case.on(node.name, "ping", "-c", "1", "-W", "2", member),
                    case.on(member, "systemctl", "status", "etcd"),
                )
                yield Found(node.name, f"it does not reach etcd on {member}", evidence, fix)


def _address(case: Case, name: str) -> str:
    node = case.seen.nodes.get(name)
    return str(node.address) if node is not None else name


@diagnosis(
    "etcd.store",
    Layer.STORE,
    start=True,
    finds="A genuine flanneld whose version speaks the other API of etcd",
)
def store(case: Case) -> Iterator[Found]:
    """flannel has spoken v3 since 0.18, and v2 before."""
    for observed in case.seen.minions:
        version = known(observed.version)
        why = wrong_store(version, case.spec.etcd_api) if version else ""
        if why:
            fix = (f"# set flannel.etcdApi in the lab file, then: {case.lab('down')}; {case.lab('up')}",)
            yield Found(observed.name, "its flanneld cannot read the lab's store", (why,), fix)


@diagnosis(
    "config.value",
    Layer.STORE,
    finds="flannel's configuration in etcd is gone, is no configuration, or is not the lab file's, which "
    "running daemons have taken",
)
def config(case: Case) -> Iterator[Found]:
    """What a daemon reads that starts from now on."""
    member = next((node for node in case.seen.running("etcd") if node.config is not None), None)
    held = case.seen.config
    if member is None or held is None:
        return
    key, name = case.key("config"), member.name
    fix = (case.etcdctl("put" if case.spec.etcd_api == "v3" else "set", key, case.spec.flannel_config),)
    taken = tuple(
        f"{node.name} runs with {network}"
        for node in case.seen.minions
        if (network := _network(known(node.subnet_env)))
    )
    if not held.strip():
        yield Found(name, f"there is no {key}", (f"etcdctl get {key}: nothing", *taken), fix)
        return
    try:
        if not isinstance(json.loads(held), dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        evidence = (f"{key}: {held}", f"as JSON: {error}", *taken)
        yield Found(name, "flannel's configuration is no configuration", evidence, fix)
        return
    for finding in case.failing("config.value"):
        evidence = (*texts(finding), *taken)
        yield Found(name, "flannel's configuration is not the one that the lab file has", evidence, fix)


def _network(env: File | None) -> str:
    return parse_environment(env.text or "").get("FLANNEL_NETWORK", "") if env is not None else ""
