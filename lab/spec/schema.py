"""The lab file's keys. Keys left out have the tutorial's values."""

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
    """Require words that systemd's environment files and command lines take literally."""
    for option in value:
        if not re.fullmatch(r"-[^\s\"'\\\\$]*", option):
            raise ValueError(f"expected flanneld options without blanks and quotes; got {short(option)}")
    return value


Options = Annotated[tuple[str, ...], AfterValidator(_plain_options)]


class FlannelKey(Model):
    """flannel's configuration and options."""

    config: Any = '{ "Network": "10.2.0.0/16" }'
    """JSON text, which is stored in etcd as it is, or a mapping."""
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
    """The flanneld to run."""

    binary: str | None = None
    """A path, relative to the lab file. If left out: flanneld_py."""
    options: Options = ()


class NodeKey(NodeBase):
    """A node of the lab file."""

    flanneld: FlanneldKey | None = None
    """If left out: the lab's."""

    @field_validator("flanneld")
    @classmethod
    def _where_one_runs(cls, value: FlanneldKey | None, info: ValidationInfo) -> FlanneldKey | None:
        role = info.data.get("role")
        if value is not None and role is not None and "flanneld" not in SERVICES[role]:
            raise ValueError(f"the {role} does not run flanneld")
        return value


TUTORIAL_NODES = (
    NodeKey(name="centos-master", role="master", host=51),
    NodeKey(name="centos-minion01", role="minion", host=52),
    NodeKey(name="centos-minion02", role="minion", host=53),
)


class File(Model):
    """A lab file."""

    name: str | None = None
    """If left out: the name from the command line or the environment, else the tutorial's."""
    underlay: Annotated[IPv4Network | None, BeforeValidator(underlay_network)] = None
    """If left out: the one that belongs to the name."""
    nodes: tuple[NodeKey, ...] = TUTORIAL_NODES
    flannel: FlannelKey = FlannelKey()
    flanneld: FlanneldKey = FlanneldKey()
    """Default for the minions."""
    pods: tuple[Any, ...] | None = None
    """Paths of Pod files, and inline Pods."""
    privileged: StrictBool = False

    _name = field_validator("name")(lab_name)


def nodes_problems(entries: object) -> list[str]:
    """Return problems of a lab file's nodes as a whole, even if some are invalid themselves."""
    nodes = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    roles = [node.get("role") for node in nodes]
    masters, minions = roles.count("master"), roles.count("minion")
    wrong = []
    # A misspelt role may be the missing one.
    if masters > 1 or (
        isinstance(entries, list) and masters + minions == len(entries) and not (masters and minions)
    ):
        wrong.append(f"a lab has one master and at least one minion; this has {masters} and {minions}")
    for what in ("name", "host"):
        keys = [str(node[what]) for node in nodes if isinstance(node.get(what), str | int)]
        if double := sorted({key for key in keys if keys.count(key) > 1}):
            wrong.append(f"two nodes have the same {what}: {', '.join(double)}")
    return wrong
