"""Reader of lab files: YAML in, a `LabSpec` out. Keys left out have the tutorial's values."""

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from ipaddress import IPv4Network
from pathlib import Path

from lab import yamltext
from lab.errors import Unfit
from lab.pods import PodSpec, from_document, parse
from lab.spec.interface import no_interface
from lab.spec.model import TUTORIAL, LabSpec, NodeSpec, no_underlay, underlay_of
from lab.spec.network import config_problems, network_of
from lab.spec.program import ANY, Flanneld, Program, read_program
from lab.spec.schema import File, FlanneldKey, FlannelKey, nodes_problems
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
    underlay = underlay or file.underlay or underlay_of(name)

    def is_right(key: str) -> bool:
        return key in right or given.get(key) is None

    wrong += [f"{source}: nodes: {problem}" for problem in nodes_problems(given.get("nodes") or None)]
    entries = given.get("pods")
    minions = [node.name for node in file.nodes if node.runs("docker")]
    pods: tuple[PodSpec, ...] = ()
    if entries is None:
        pods = _tutorial_pods(minions)
    elif isinstance(entries, list):
        pods, more = _pods(entries, minions if is_right("nodes") else None, source, read or yamltext.read)
        wrong += more
    nodes, more = _nodes(file, source, program)
    wrong += more
    if is_right("flannel"):
        wrong += [f"{source}: {problem}" for problem in _flannel_problems(file.flannel, nodes, underlay)]
    if wrong:
        raise Unfit("\n".join(wrong))
    return LabSpec(
        name=name,
        underlay=underlay,
        nodes=nodes,
        flannel_config=file.flannel.config,
        etcd_prefix=file.flannel.prefix,
        etcd_api=file.flannel.etcd_api,
        flanneld_options=file.flannel.options,
        pods=pods,
        privileged=file.privileged,
    )


def _flannel_problems(
    flannel: FlannelKey, nodes: Sequence[NodeSpec], underlay: IPv4Network | None
) -> Iterator[str]:
    """Yield problems that would otherwise appear only once the nodes are running."""
    minions = [node for node in nodes if node.runs("flanneld")]
    ours = any(node.flanneld.program is None for node in minions)
    problems = list(config_problems(flannel.config, ours=ours))
    yield from (f"flannel.config.{problem}" for problem in problems)
    if not problems and (why := no_underlay(network_of(flannel.config), underlay)):
        yield f"flannel.config: {why}"
    for node in minions:
        program = node.flanneld.program
        address = underlay[node.host] if underlay else None
        why = no_interface([*flannel.options, *node.flanneld.options], address)
        if why and (program is None or program.architecture != ANY):  # a script may create it first
            yield f"flannel.options: on {node.name}: {why}"


def _nodes(
    file: File, source: str, program: Callable[[Path], Program]
) -> tuple[tuple[NodeSpec, ...], list[str]]:
    """Return the nodes with the flanneld that each of them runs, and the problems with those."""
    wrong: list[str] = []

    def find(key: FlanneldKey, at: str) -> Flanneld:
        if key.binary is None:
            return Flanneld(options=key.options)
        try:
            found = program(Path(source).parent / Path(key.binary).expanduser())
        except (ValueError, RuntimeError) as error:  # RuntimeError: the user in ~USER does not exist
            wrong.append(f"{source}: {at}.binary: {error}")
            return Flanneld()
        return Flanneld(program=found, options=key.options)

    everywhere = find(file.flanneld, "flanneld")
    nodes = []
    for index, node in enumerate(file.nodes):
        own = everywhere if node.flanneld is None else find(node.flanneld, f"nodes[{index}].flanneld")
        if not node.runs("flanneld"):
            own = Flanneld()
        nodes.append(NodeSpec(name=node.name, role=node.role, host=node.host, flanneld=own))
    return tuple(nodes), wrong


def _tutorial_pods(minions: Sequence[str]) -> tuple[PodSpec, ...]:
    """Return the tutorial's pods; in a lab with other nodes they are placed where there is room."""
    folder = files("lab").joinpath("tutorial")
    names = ("mysqlpod01.yaml", "mysqlpod02.yaml")
    pods = [pod for name in names for pod in parse(folder.joinpath(name).read_text(encoding="utf-8"), name)]
    return tuple(pod if pod.node in minions else pod.model_copy(update={"node": None}) for pod in pods)


def _pods(
    entries: Sequence[object], minions: Sequence[str] | None, source: str, read: Callable[[Path], str]
) -> tuple[tuple[PodSpec, ...], list[str]]:
    """Return the pods, and the problems with them. `minions` is None if the lab's nodes are wrong anyway."""
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
    names = [pod.name for _, pod in found]
    for index, (where, pod) in enumerate(found):
        if pod.name in names[:index]:
            wrong.append(f"{where}metadata.name: there is another Pod called {pod.name}")
        if pod.node is not None and minions is not None and pod.node not in minions:
            wrong.append(f"{where}spec.nodeName: {pod.node} is not a minion; minions: {', '.join(minions)}")
    return tuple(pod for _, pod in found), wrong
