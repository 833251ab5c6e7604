"""The lab file's keys. What a file leaves out is the tutorial's."""

import json
import re
from ipaddress import IPv4Network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StrictBool, ValidationInfo, field_validator

from lab.document import Model, short
from lab.spec.model import EtcdApi, Machine, lab_name, underlay_network

__all__ = ["File", "FlanneldKey"]


def _plain_options(value: tuple[str, ...]) -> tuple[str, ...]:
    """Words that neither systemd's settings files nor its command lines would read as something else."""
    for option in value:
        if not re.fullmatch(r"-[^\s\"'\\\\$]*", option):
            raise ValueError(f"expected options of flanneld without blanks and quotes; got {short(option)}")
    return value


Options = Annotated[tuple[str, ...], AfterValidator(_plain_options)]


class Flannel(Model):
    """What flannel is told."""

    config: Any = '{ "Network": "10.2.0.0/16" }'
    """JSON text, which reaches etcd as it stands, or a mapping."""
    prefix: str = "/coreos.com/network"
    options: Options = ("-iface=eth0",)
    etcd_api: EtcdApi = "v3"

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


class FlanneldKey(Model):
    """Which flanneld."""

    binary: str | None = None
    """A path, relative to the lab file. Left out: flanneld_py."""
    options: Options = ()


class Node(Machine):
    """A node of the lab file."""

    flanneld: FlanneldKey | None = None
    """Left out: the whole lab's."""

    @field_validator("flanneld")
    @classmethod
    def _of_a_minion(cls, value: FlanneldKey | None, info: ValidationInfo) -> FlanneldKey | None:
        if value is not None and info.data.get("role") == "master":
            raise ValueError("the master runs no flanneld")
        return value


TUTORIAL_NODES = (
    Node(name="centos-master", role="master", host=51),
    Node(name="centos-minion01", role="minion", host=52),
    Node(name="centos-minion02", role="minion", host=53),
)


class File(Model):
    """A lab file."""

    name: str | None = None
    """Left out: what the command line or the environment says, else the tutorial's."""
    underlay: Annotated[IPv4Network | None, BeforeValidator(underlay_network)] = None
    """Left out: the one that goes with the name."""
    nodes: tuple[Node, ...] = TUTORIAL_NODES
    flannel: Flannel = Flannel()
    flanneld: FlanneldKey = FlanneldKey()
    """Of every minion that does not say its own."""
    pods: tuple[Any, ...] | None = None
    """Paths, and Pods written in place."""
    privileged: StrictBool = False

    _name = field_validator("name")(lab_name)

    @field_validator("nodes")
    @classmethod
    def _nodes(cls, value: tuple[Node, ...]) -> tuple[Node, ...]:
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
