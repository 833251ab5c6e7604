"""The lab file: YAML in, a `LabSpec` out. What a file leaves out is the tutorial's."""

import json
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml
from pydantic import StrictBool, field_validator

from lab.document import Model, load_yaml, short, validate
from lab.errors import Unfit
from lab.pods import PodSpec, from_document, parse, to_document
from lab.spec.model import TUTORIAL, LabSpec, NodeSpec, lab_name, underlay_of

__all__ = ["dump", "load", "load_file", "tutorial"]


class _Flannel(Model):
    config: Any = '{ "Network": "10.2.0.0/16" }'
    """JSON text, which reaches etcd as it stands, or a mapping."""
    prefix: str = "/coreos.com/network"
    options: tuple[str, ...] = ("-iface=eth0",)

    @field_validator("config")
    @classmethod
    def _config(cls, value: Any) -> str:
        try:
            text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
            network = json.loads(text)["Network"]
            if not isinstance(network, str):
                raise TypeError(f"Network is {short(network)}")
            IPv4Network(network, strict=False)
        except (ValueError, TypeError, LookupError) as error:
            words = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"expected flannel's JSON object with a Network such as 10.2.0.0/16; "
                f"got {short(value)} ({words})"
            ) from error
        return text

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not re.fullmatch(r"(/[\w.-]+)+", value, re.ASCII):
            raise ValueError(f"expected an etcd key such as /coreos.com/network; got {short(value)}")
        return value

    @field_validator("options")
    @classmethod
    def _options(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for option in value:
            if not re.fullmatch(r"-[^\s\"'\\\\$]*", option):
                raise ValueError(
                    f"expected options of flanneld without blanks and quotes; got {short(option)}"
                )
        return value


TUTORIAL_NODES = (
    NodeSpec(name="centos-master", role="master", host=51),
    NodeSpec(name="centos-minion01", role="minion", host=52),
    NodeSpec(name="centos-minion02", role="minion", host=53),
)


class _File(Model):
    """A lab file. What it leaves out is the tutorial's."""

    name: str = TUTORIAL
    nodes: tuple[NodeSpec, ...] = TUTORIAL_NODES
    flannel: _Flannel = _Flannel()
    pods: tuple[Any, ...] | None = None
    """Paths, and Pods written in place."""
    privileged: StrictBool = False

    _name = field_validator("name")(lab_name)

    @field_validator("nodes")
    @classmethod
    def _nodes(cls, value: tuple[NodeSpec, ...]) -> tuple[NodeSpec, ...]:
        roles = [node.role for node in value]
        if roles.count("master") != 1 or "minion" not in roles:
            raise ValueError(
                f"a lab has one master and at least one minion; "
                f"this has {roles.count('master')} and {roles.count('minion')}"
            )
        for what in ("name", "host"):
            keys = [str(getattr(node, what)) for node in value]
            if double := sorted({key for key in keys if keys.count(key) > 1}):
                raise ValueError(f"two nodes have the same {what}: {', '.join(double)}")
        return value


def tutorial() -> LabSpec:
    """The tutorial's cluster, with its two pods."""
    return load("{}", "the tutorial's cluster")


def load_file(path: Path) -> LabSpec:
    """The lab that a file describes. Raises `Unfit`."""
    return load(_read(path), str(path))


def load(text: str, source: str | Path, read: Callable[[Path], str] | None = None) -> LabSpec:
    """The lab that the YAML `text` describes; `source` is its path, to which paths of pods are relative.

    Raises `Unfit` with a line `source: path: what is wrong` for each error.
    """
    source = str(source)
    documents = load_yaml(text, source)
    if len(documents) > 1:
        raise Unfit(f"{source}: one document expected; it has {len(documents)}")
    document = documents[0] if documents else {}
    wrong = []
    try:
        file = validate(_File, document, source)
    except Unfit as error:
        wrong, file = [error.message], _File()
    entries = document.get("pods") if isinstance(document, dict) else None
    minions = [node.name for node in file.nodes if node.role == "minion"]
    if entries is None:
        pods = _tutorial_pods(minions)
    elif isinstance(entries, list):
        pods, more = _pods(entries, minions if not wrong else None, source, read or _read)
        wrong += more
    if wrong:
        raise Unfit("\n".join(wrong))
    return LabSpec(
        name=file.name,
        underlay=underlay_of(file.name),
        nodes=file.nodes,
        flannel_config=file.flannel.config,
        etcd_prefix=file.flannel.prefix,
        flanneld_options=file.flannel.options,
        pods=pods,
        privileged=file.privileged,
    )


def dump(spec: LabSpec) -> str:
    """The lab file of a lab, with everything written out; `load` reads it back."""
    document = {
        "name": spec.name,
        "nodes": [node.model_dump() for node in spec.nodes],
        "flannel": {
            "config": spec.flannel_config,
            "prefix": spec.etcd_prefix,
            "options": list(spec.flanneld_options),
        },
        "pods": [to_document(pod) for pod in spec.pods],
        "privileged": spec.privileged,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


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
