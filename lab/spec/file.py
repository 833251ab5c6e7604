"""Reader of lab files: YAML in, a `LabSpec` out. Keys left out have the tutorial's values."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from ipaddress import IPv4Network
from pathlib import Path

from lab import yamltext
from lab.errors import Unfit
from lab.lab_names import TUTORIAL
from lab.pods import PodSpec
from lab.pods.manifest import from_document, parse
from lab.spec.backend import backend_of
from lab.spec.check import CommandCheck
from lab.spec.engine import EngineSpec, engine_problems, spread
from lab.spec.interface import no_interface
from lab.spec.model import Etcd, LabSpec, no_underlay, underlay_of
from lab.spec.nat import hidden_problems, nat_problems
from lab.spec.network import config_problems, networks_of
from lab.spec.node import NO_BIP, NodeSpec
from lab.spec.nodes import nodes_of
from lab.spec.program import ANY, Program, read_program
from lab.spec.schema import CheckKey, File, FlannelKey, SegmentKey
from lab.spec.segment import FAMILIES, ONLY, Family, Segment, ours_of
from lab.spec.whole import nodes_problems, segment_problems
from lab.suggest import suggest
from lab.validation import parts

__all__ = ["load", "load_file", "tutorial"]


def tutorial() -> LabSpec:
    """Return the tutorial's cluster, with its two pods."""
    return load("{}", "the tutorial's cluster")


def load_file(
    path: Path,
    *,
    default_name: str = TUTORIAL,
    name: str | None = None,
    underlay: IPv4Network | None = None,
) -> LabSpec:
    """Read the lab that a file describes, as `load` does. Raises `Unfit`."""
    text = yamltext.read(path)
    return load(text, str(path), default_name=default_name, name=name, underlay=underlay)


def load(
    text: str,
    source: str | Path,
    read: Callable[[Path], str] | None = None,
    program: Callable[[Path], Program] = read_program,
    *,
    default_name: str = TUTORIAL,
    name: str | None = None,
    underlay: IPv4Network | None = None,
) -> LabSpec:
    """Read the lab that the YAML `text` describes; paths in it are relative to its path `source`.

    `name` and `underlay`, if given, override the text's; `default_name` is used if the text has no name.
    Raises `Unfit` with a line `source: path: what is wrong` for each error.
    """
    source = str(source)
    read_text = yamltext.load(text, source)
    if len(read_text.items) > 1:
        raise Unfit(f"{source}: one document expected; it has {len(read_text.items)}")
    document = read_text.items[0] if read_text.items else {}
    file, right, wrong = parts(File, document, source)
    wrong = [*read_text.problems, *wrong]
    given = document if isinstance(document, dict) else {}
    name = name or file.name or default_name
    segments = _segments(file, name, underlay)

    def is_right(key: str) -> bool:
        return key in right or given.get(key) is None

    wrong += [
        f"{source}: nodes: {problem}" for problem in nodes_problems(given.get("nodes"), segments[0].name)
    ]
    entries = given.get("pods")
    hosts = [node.name for node in file.nodes if "docker" in node.runs]
    reached = [node.name for node in file.nodes if "docker" in node.runs and node.docker_spec.bip != NO_BIP]
    pods: tuple[PodSpec, ...] = ()
    if entries is None:
        pods = _tutorial_pods(reached)
    elif isinstance(entries, list):
        pods, more = _pods(entries, hosts if is_right("nodes") else None, source, read or yamltext.read)
        wrong += more
    nodes, more = nodes_of(file, source, program)
    wrong += more
    engines = tuple(EngineSpec.model_validate(item.model_dump(exclude_none=True)) for item in file.engines)
    wanted = [node.engine or "" for node in file.nodes]
    if is_right("nodes") and is_right("engines"):
        wrong += [f"{source}: {problem}" for problem in engine_problems(engines, nodes, wanted)]
    if is_right("nodes"):
        wrong += [f"{source}: {problem}" for problem in _check_problems(file.checks, nodes)]
        if is_right("segments"):
            problems = [*segment_problems(nodes, segments), *nat_problems(nodes, segments)]
            if not problems and is_right("flannel"):
                problems += hidden_problems(nodes, segments, _backend(file.flannel))
            wrong += [f"{source}: {problem}" for problem in problems]
    if file.segments and file.underlay is not None:
        wrong.append(f"{source}: segments: there is `underlay` already; expected one of the two")
    if underlay is not None and file.segments:
        wrong.append(f"{source}: segments: --underlay names the network of a lab with one segment")
    if is_right("flannel"):
        known = nodes if is_right("nodes") and is_right("segments") else ()
        wrong += [f"{source}: {problem}" for problem in _flannel_problems(file.flannel, known, segments)]
    if file.etcd.auth and file.flannel.etcd_api == "v2":
        wrong.append(
            f"{source}: etcd.auth: expected with flannel.etcdApi: v3 only; flannels of v2 have no user"
        )
    if wrong:
        raise Unfit("\n".join(wrong))
    return LabSpec(
        name=name,
        segments=segments,
        engines=engines,
        nodes=spread(nodes, wanted, engines),
        flannel_config=file.flannel.config,
        etcd_prefix=file.flannel.prefix,
        etcd_api=file.flannel.etcd_api,
        etcd=Etcd(tls=file.etcd.tls, auth=file.etcd.auth),
        flanneld_options=file.flannel.options,
        pods=pods,
        checks=tuple(CommandCheck.model_validate(item.model_dump()) for item in file.checks),
        privileged=file.privileged,
    )


def _segments(file: File, name: str, underlay: IPv4Network | None) -> tuple[Segment, ...]:
    """Return the lab's segments: those that the file names, or one."""
    if file.segments:
        return tuple(
            _segment(place, item, key) for place, (item, key) in enumerate(file.segments.items(), start=1)
        )
    only = _segment(1, ONLY, file.underlay or SegmentKey())
    return (only.model_copy(update={"subnet": underlay or only.subnet or underlay_of(name)}),)


def _segment(place: int, name: str, key: SegmentKey) -> Segment:
    return Segment(
        name=name,
        subnet=key.subnet,
        ipv4=key.ipv4,
        ipv6=ours_of(place) if key.ipv6 is True else key.ipv6 or None,
        on_link=key.on_link,
        mtu=key.mtu,
        impairment=key.impairment,
    )


def _flannel_problems(
    flannel: FlannelKey, nodes: Sequence[NodeSpec], segments: Sequence[Segment]
) -> Iterator[str]:
    """Yield problems that would otherwise appear only once the nodes are running."""
    minions = [node for node in nodes if node.runs("flanneld")]
    ours = any(node.flanneld.program is None for node in minions)
    problems = list(config_problems(flannel.config, ours=ours))
    yield from (f"flannel.config.{problem}" for problem in problems)
    for problem in _overlay_problems(flannel, segments) if not problems else ():
        yield f"flannel.config: {problem}"
    known = {segment.name: segment for segment in segments}
    for node in minions:
        places = [(known.get(place.segment), place.host) for place in node.attachments]
        addresses = [
            segment.subnets(segment.subnet).address(host)
            if segment is not None and (segment.subnet is not None or not segment.ipv4)
            else None
            for segment, host in places
        ]
        families = _families(flannel) if not problems else ()
        on = [segment for segment, _ in places if segment is not None]
        if on and not any(all(segment.has(family) for family in families) for segment in on):
            words = " and ".join(f"IPv{family}" for family in families)
            yield (
                f"flannel.config: the overlay has {words}, and {node.name} is on no segment whose addresses "
                f"are so: expected `ipv6: true` there, or another EnableIPv6"
            )
        program = node.flanneld.program
        why = no_interface([*flannel.options, *node.flanneld.options], addresses)
        if why and (program is None or program.architecture != ANY):  # a script may create it first
            yield f"flannel.options: on {node.name}: {why}"


def _backend(flannel: FlannelKey) -> str:
    """The backend's name, whatever else of the configuration is wrong."""
    return backend_of(flannel.config).type


def _families(flannel: FlannelKey) -> tuple[Family, ...]:
    """Those of the overlay of a configuration that is right."""
    found = zip(FAMILIES, networks_of(flannel.config), strict=True)
    return tuple(family for family, network in found if network is not None)


def _overlay_problems(flannel: FlannelKey, segments: Sequence[Segment]) -> Iterator[str]:
    """Yield what is wrong with the overlay's networks on these segments."""
    network, network6 = networks_of(flannel.config)
    for segment in segments:
        if why := no_underlay(network, segment.subnet):
            yield why
            break
    for segment in segments:
        if network6 is not None and segment.ipv6 is not None and network6.overlaps(segment.ipv6):
            yield f"the IPv6Network {network6} overlaps the machines' own on {segment.name}, {segment.ipv6}"
            break


def _check_problems(checks: Sequence[CheckKey], nodes: Sequence[NodeSpec]) -> Iterator[str]:
    """Yield problems of the lab file's own checks."""
    known = [node.name for node in nodes]
    for index, item in enumerate(checks):
        if item.node not in known:
            maybe = suggest(item.node, known, "nodes")
            yield f"checks[{index}].node: there is no node {item.node}{maybe}"
        if item.name in [other.name for other in checks[:index]]:
            yield f"checks[{index}].name: there is another check called {item.name}"


def _tutorial_pods(hosts: Sequence[str]) -> tuple[PodSpec, ...]:
    """Return the tutorial's pods; in a lab with other nodes they are placed where there is room, if any."""
    if not hosts:
        return ()
    pods = _pods_of_the_tutorial()
    return tuple(pod if pod.node in hosts else pod.model_copy(update={"node": None}) for pod in pods)


@cache
def _pods_of_the_tutorial() -> Sequence[PodSpec]:
    folder = files("lab").joinpath("tutorial")
    names = ("mysqlpod01.yaml", "mysqlpod02.yaml")
    return [pod for name in names for pod in parse(folder.joinpath(name).read_text(encoding="utf-8"), name)]


def _pods(
    entries: Sequence[object], hosts: Sequence[str] | None, source: str, read: Callable[[Path], str]
) -> tuple[tuple[PodSpec, ...], list[str]]:
    """Return the pods, and the problems with them. `hosts` is None if the lab's nodes are wrong anyway."""
    found: list[tuple[str, PodSpec]] = []
    wrong = []
    for index, entry in enumerate(entries):
        at = f"pods[{index}]"
        try:
            if isinstance(entry, str):
                path = Path(source).parent / entry
                found += [(f"{path}: ", pod) for pod in parse(read(path), str(path))]
            else:
                found.append((f"{source}: {at}.", from_document(entry, source, at)))
        except Unfit as error:
            wrong.append(error.message)
    names, known = [pod.name for _, pod in found], ", ".join(hosts or ()) or "none"
    for index, (where, pod) in enumerate(found):
        if pod.name in names[:index]:
            wrong.append(f"{where}metadata.name: there is another Pod called {pod.name}")
        if pod.node is not None and hosts is not None and pod.node not in hosts:
            wrong.append(f"{where}spec.nodeName: {pod.node} does not run docker; those that do: {known}")
    return tuple(pod for _, pod in found), wrong
