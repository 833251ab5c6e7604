"""The lab file's keys. What a file leaves out is the tutorial's."""

import re
from ipaddress import IPv4Network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StrictBool, ValidationInfo, field_validator

from lab.flannel import EtcdApi
from lab.spec.model import SERVICES, NodeBase, lab_name, underlay_network
from lab.spec.network import config_text
from lab.validation import Model, short

__all__ = ["File", "FlannelKey", "FlanneldKey", "nodes_problems"]


def _plain_options(value: tuple[str, ...]) -> tuple[str, ...]:
    """Words that neither systemd's settings files nor its command lines would read as something else."""
    for option in value:
        if not re.fullmatch(r"-[^\s\"'\\\\$]*", option):
            raise ValueError(f"expected options of flanneld without blanks and quotes; got {short(option)}")
    return value


Options = Annotated[tuple[str, ...], AfterValidator(_plain_options)]


class FlannelKey(Model):
    """What flannel is told."""

    config: Any = '{ "Network": "10.2.0.0/16" }'
    """JSON text, which reaches etcd as it stands, or a mapping."""
    prefix: str = "/coreos.com/network"
    options: Options = ("-iface=eth0",)
    etcd_api: EtcdApi = "v3"

    @field_validator("config")
    @classmethod
    def _config(cls, value: Any) -> str:
        return config_text(value)

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not re.fullmatch(r"(/[\w.-]+)+", value, re.ASCII):
            raise ValueError(f"expected an etcd key such as /coreos.com/network; got {short(value)}")
        return value


class FlanneldKey(Model):
    """Which flanneld."""

    binary: str | None = None
    """A path, relative to the lab file. Left out: flanneld_py."""
    options: Options = ()


class NodeKey(NodeBase):
    """A node of the lab file."""

    flanneld: FlanneldKey | None = None
    """Left out: the whole lab's."""

    @field_validator("flanneld")
    @classmethod
    def _where_one_runs(cls, value: FlanneldKey | None, info: ValidationInfo) -> FlanneldKey | None:
        role = info.data.get("role")
        if value is not None and role is not None and "flanneld" not in SERVICES[role]:
            raise ValueError(f"the {role} runs no flanneld")
        return value


TUTORIAL_NODES = (
    NodeKey(name="centos-master", role="master", host=51),
    NodeKey(name="centos-minion01", role="minion", host=52),
    NodeKey(name="centos-minion02", role="minion", host=53),
)


class File(Model):
    """A lab file."""

    name: str | None = None
    """Left out: what the command line or the environment says, else the tutorial's."""
    underlay: Annotated[IPv4Network | None, BeforeValidator(underlay_network)] = None
    """Left out: the one that goes with the name."""
    nodes: tuple[NodeKey, ...] = TUTORIAL_NODES
    flannel: FlannelKey = FlannelKey()
    flanneld: FlanneldKey = FlanneldKey()
    """Of every minion that does not say its own."""
    pods: tuple[Any, ...] | None = None
    """Paths, and Pods written in place."""
    privileged: StrictBool = False

    _name = field_validator("name")(lab_name)


def nodes_problems(entries: object) -> list[str]:
    """What is wrong with a lab file's nodes taken together, also where some are wrong in themselves."""
    nodes = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    roles = [node.get("role") for node in nodes]
    masters, minions = roles.count("master"), roles.count("minion")
    wrong = []
    # A role that is misspelt may be the one that is missing.
    if masters > 1 or (
        isinstance(entries, list) and masters + minions == len(entries) and not (masters and minions)
    ):
        wrong.append(f"a lab has one master and at least one minion; this has {masters} and {minions}")
    for what in ("name", "host"):
        keys = [str(node[what]) for node in nodes if isinstance(node.get(what), str | int)]
        if double := sorted({key for key in keys if keys.count(key) > 1}):
            wrong.append(f"two nodes have the same {what}: {', '.join(double)}")
    return wrong
