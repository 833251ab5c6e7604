"""The lab file: YAML in, a `LabSpec` out. What a file leaves out is the tutorial's."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from lab.document import load_yaml, validate
from lab.errors import Unfit
from lab.pods import PodSpec, from_document, parse, to_document
from lab.spec.model import TUTORIAL, LabSpec, NodeSpec, underlay_of
from lab.spec.program import Flanneld, Program, read_program
from lab.spec.schema import File, FlanneldKey

__all__ = ["dump", "load", "load_file", "tutorial"]


def tutorial() -> LabSpec:
    """The tutorial's cluster, with its two pods."""
    return load("{}", "the tutorial's cluster")


def load_file(path: Path, default_name: str = TUTORIAL) -> LabSpec:
    """The lab that a file describes; `default_name` is for one that has no name. Raises `Unfit`."""
    return load(_read(path), str(path), default_name=default_name)


def load(
    text: str,
    source: str | Path,
    read: Callable[[Path], str] | None = None,
    program: Callable[[Path], Program] = read_program,
    *,
    default_name: str = TUTORIAL,
) -> LabSpec:
    """The lab that the YAML `text` describes; `source` is its path, to which the paths in it are relative.

    Raises `Unfit` with a line `source: path: what is wrong` for each error.
    """
    source = str(source)
    documents = load_yaml(text, source)
    if len(documents) > 1:
        raise Unfit(f"{source}: one document expected; it has {len(documents)}")
    document = documents[0] if documents else {}
    wrong = []
    try:
        file = validate(File, document, source)
    except Unfit as error:
        wrong, file = [error.message], File()
    entries = document.get("pods") if isinstance(document, dict) else None
    minions = [node.name for node in file.nodes if node.role == "minion"]
    if entries is None:
        pods = _tutorial_pods(minions)
    elif isinstance(entries, list):
        pods, more = _pods(entries, minions if not wrong else None, source, read or _read)
        wrong += more
    nodes, more = _nodes(file, source, program)
    wrong += more
    if wrong:
        raise Unfit("\n".join(wrong))
    name = file.name or default_name
    spec = LabSpec(
        name=name,
        underlay=file.underlay or underlay_of(name),
        nodes=nodes,
        flannel_config=file.flannel.config,
        etcd_prefix=file.flannel.prefix,
        etcd_api=file.flannel.etcd_api,
        flanneld_options=file.flannel.options,
        pods=pods,
        privileged=file.privileged,
    )
    if spec.no_underlay:
        raise Unfit(f"{source}: flannel.config: {spec.no_underlay}")
    return spec


def dump(spec: LabSpec) -> str:
    """The lab file of a lab, with everything written out; `load` reads it back."""
    document = {
        "name": spec.name,
        **({"underlay": str(spec.underlay)} if spec.underlay != underlay_of(spec.name) else {}),
        "nodes": [_node_document(node) for node in spec.nodes],
        "flannel": {
            "config": spec.flannel_config,
            "prefix": spec.etcd_prefix,
            "etcdApi": spec.etcd_api,
            "options": list(spec.flanneld_options),
        },
        "pods": [to_document(pod) for pod in spec.pods],
        "privileged": spec.privileged,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _node_document(node: NodeSpec) -> dict[str, Any]:
    document = node.model_dump(exclude={"flanneld"})
    if node.flanneld != Flanneld():
        program = node.flanneld.program
        document["flanneld"] = {
            **({"binary": program.path} if program else {}),
            "options": list(node.flanneld.options),
        }
    return document


def _nodes(
    file: File, source: str, program: Callable[[Path], Program]
) -> tuple[tuple[NodeSpec, ...], list[str]]:
    """The machines with the flanneld that each of them runs, and what is wrong with those."""
    wrong: list[str] = []

    def find(key: FlanneldKey, at: str) -> Flanneld:
        if key.binary is None:
            return Flanneld(options=key.options)
        try:
            found = program(Path(source).parent / Path(key.binary).expanduser())
        except (ValueError, RuntimeError) as error:  # RuntimeError: ~ of nobody
            wrong.append(f"{source}: {at}.binary: {error}")
            return Flanneld()
        return Flanneld(program=found, options=key.options)

    everywhere = find(file.flanneld, "flanneld")
    nodes = []
    for index, node in enumerate(file.nodes):
        own = everywhere if node.flanneld is None else find(node.flanneld, f"nodes[{index}].flanneld")
        if node.role == "master":
            own = Flanneld()
        nodes.append(NodeSpec(name=node.name, role=node.role, host=node.host, flanneld=own))
    return tuple(nodes), wrong


def _tutorial_pods(minions: Sequence[str]) -> tuple[PodSpec, ...]:
    """The tutorial's pods. In a lab with other machines they run where there is room."""
    folder = files("lab").joinpath("tutorial")
    names = ("mysqlpod01.yaml", "mysqlpod02.yaml")
    pods = [pod for name in names for pod in parse(folder.joinpath(name).read_text(encoding="utf-8"), name)]
    return tuple(pod if pod.node in minions else pod.model_copy(update={"node": None}) for pod in pods)


def _pods(
    entries: Sequence[object], minions: Sequence[str] | None, source: str, read: Callable[[Path], str]
) -> tuple[tuple[PodSpec, ...], list[str]]:
    """The pods, and what is wrong with them. `minions` is None when the lab's nodes are wrong anyway."""
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
            wrong.append(f"{where}spec.nodeName: {pod.node} is no minion; there is: {', '.join(minions)}")
    return tuple(pod for _, pod in found), wrong


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Unfit(f"{path}: cannot be read: {words}") from error
