"""The lab file's keys. Keys left out have the tutorial's values; `lab schema` prints them."""

import re
import warnings
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from lab.errors import Unfit
from lab.flannel import EtcdApi
from lab.lab_names import lab_name
from lab.spec.engine import host_problem
from lab.spec.model import NOWHERE, underlay_network
from lab.spec.network import config_text
from lab.spec.node_schema import FlanneldKey, NodeKey
from lab.spec.segment import OnLink
from lab.spec.values import Options, Value, in_words
from lab.validation import Model, short

__all__ = ["CheckKey", "EngineKey", "EtcdKey", "File", "FlannelKey", "SegmentKey"]

IPV6_LEAST = 1280
"""Bytes that any link of IPv6 passes (RFC 8200, section 5)."""


class FlannelKey(Model):
    """flannel's configuration and options."""

    config: Annotated[Any, WithJsonSchema({"type": ["string", "object"]})] = '{ "Network": "10.2.0.0/16" }'
    """flannel's network configuration: JSON text, which is stored in etcd as it is, or a mapping."""
    prefix: str = "/coreos.com/network"
    """The etcd key above `config` and `subnets`."""
    options: Options = ("-iface=eth0",)
    """All options of every flanneld, one word each."""
    etcd_api: EtcdApi = "v3"
    """Which of etcd's two stores flannel's keys are in."""

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


class EtcdKey(Model):
    """Whom etcd lets in."""

    tls: StrictBool = False
    """Clients and members show each other certificates. The lab makes the CA, and keeps its key nowhere."""
    auth: StrictBool = False
    """etcd has users, root and flannel, with passwords that the lab makes; only with `etcdApi: v3`."""


class EngineKey(Model):
    """One of several Docker engines, all of one swarm."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
    """What `engine` of a node refers to."""
    host: str | None = None
    """`ssh://USER@HOST`, `tcp://HOST:PORT` or `unix:///PATH`, as in DOCKER_HOST. Left out with `context`, as
    for one: the engine that the environment selects, which has to be a manager of the swarm."""
    context: str | None = None
    """Instead of `host`: a context of Docker's client, such as `docker context ls` shows."""
    labels: Mapping[str, Value] = {}
    """What nodes choose it by, such as `{disk: ssd}`. Everybody who may ask the engine can read them."""

    @field_validator("host")
    @classmethod
    def _host(cls, value: str | None) -> str | None:
        if value is not None and (problem := host_problem(value)):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _one_address(self) -> "EngineKey":
        if self.host is not None and self.context is not None:
            raise ValueError("expected one of host and context")
        return self


def _ipv6_network(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    try:
        network = IPv6Network(str(value))
    except ValueError:
        network = IPv6Network("::/0")
    if network.prefixlen != 64 or any(getattr(network, kind) for kind in NOWHERE):
        raise ValueError(
            f"expected true, false, or an IPv6 network of length 64, such as fd00:50::/64; got {short(value)}"
        )
    return network


class SegmentKey(Model):
    """A network of nodes."""

    subnet: Annotated[
        IPv4Network | None, BeforeValidator(underlay_network), WithJsonSchema({"type": "string"})
    ] = None
    """A /24, such as 192.168.50.0/24. If left out: the next that is free."""
    ipv4: StrictBool = True
    """Whether nodes have IPv4 addresses on it."""
    ipv6: Annotated[
        StrictBool | IPv6Network,
        Field(union_mode="left_to_right"),
        BeforeValidator(_ipv6_network),
        WithJsonSchema({"type": ["boolean", "string"], "default": False}),
    ] = False
    """Whether nodes have IPv6 addresses on it: `true`, or a /64 of one's own, such as fd00:50::/64."""
    on_link: OnLink | None = None
    """Gives nodes a single address, /32 and /128, and says by routes what they reach on it without a router:
    `subnet` for all of it, `gateway` for its routers alone, the first of which leads to the others."""
    mtu: Annotated[StrictInt, Field(ge=576, le=65535)] | None = None
    """The largest packet, in bytes. If left out: 1500."""
    impairment: str = ""
    """What is done to all that nodes send on it, such as `delay 20ms loss 1%`."""

    @field_validator("impairment")
    @classmethod
    def _impairment(cls, value: str) -> str:
        from lab.faults.impairment.model import parse_impairment  # which needs what this package makes

        try:
            return str(parse_impairment(value)) if value else ""
        except Unfit as error:
            raise ValueError("; ".join(filter(None, (error.message, error.hint)))) from error

    @model_validator(mode="after")
    def _some_family(self) -> "SegmentKey":
        if not self.ipv4 and not self.ipv6:
            raise ValueError("ipv4 is false: expected an ipv6, true or a network")
        if self.ipv6 and self.mtu is not None and self.mtu < IPV6_LEAST:
            raise ValueError(f"mtu: expected at least {IPV6_LEAST} with ipv6 (RFC 8200); got {self.mtu}")
        return self


def _argv(value: Any) -> Any:
    """A line is short for a list that hands it to a shell."""
    if not isinstance(value, str | list | tuple) or not value:
        raise ValueError(f"expected a command: a list of words, or a line for a shell; got {short(value)}")
    return ("sh", "-c", value) if isinstance(value, str) else value


CHECK_NAME = r"^[^\s\x00-\x1f]([^\x00-\x1f]{0,78}[^\s\x00-\x1f])?$"


class CheckKey(Model):
    """A check of one's own: a command on a node, and what must come of it."""

    name: Annotated[
        str,
        Field(pattern=CHECK_NAME),
        in_words(CHECK_NAME, "at most 80 characters in one line, without blanks around them"),
    ]
    """What it is called in the output of `lab check`: up to 80 characters in one line."""
    node: str
    """On which node the command runs."""
    run: Annotated[
        tuple[str, ...],
        BeforeValidator(_argv),
        Field(json_schema_extra=lambda schema: schema.update(type=["string", "array"])),
    ]
    """The command: a list of arguments, or a line for `sh -c`."""
    status: Annotated[StrictInt, Field(ge=0, le=255)] = 0
    """The exit status it has to end with."""
    output: str | None = None
    """A regular expression that has to be found in its standard output."""
    within: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Seconds within which it has to end."""

    @field_validator("run")
    @classmethod
    def _run(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value[0] or any("\0" in word for word in value):
            raise ValueError(f"expected a command; got {short(value)}")
        return value

    @field_validator("output")
    @classmethod
    def _output(cls, value: str | None) -> str | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "error"
                )  # such as for [[:alpha:]], which means something else to Python
                re.compile(value or "")
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise ValueError(f"{short(value)} is not a regular expression of Python's: {error}") from error
        return value


def _underlay(value: Any) -> Any:
    """`192.168.50.0/24` is short for a mapping with that subnet."""
    return {"subnet": value} if isinstance(value, str) else value


SEGMENT_NAME = r"^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$"

SegmentName = Annotated[
    str,
    Field(pattern=SEGMENT_NAME),
    in_words(
        SEGMENT_NAME, "at most 16 lower-case letters, digits and '-', with a letter or digit at both ends"
    ),
]

TUTORIAL_NODES = (
    NodeKey(name="centos-master", role="master", host=51),
    NodeKey(name="centos-minion01", role="minion", host=52),
    NodeKey(name="centos-minion02", role="minion", host=53),
)


class File(Model):
    """A lab file: a lab, as far as it differs from the tutorial's cluster."""

    name: str | None = None
    """The lab's name. If left out: the one from the command line or the environment, else `tutorial`."""
    underlay: Annotated[
        SegmentKey | None,
        BeforeValidator(_underlay),
        Field(json_schema_extra=lambda schema: schema["anyOf"].append({"type": "string"})),
    ] = None
    """The nodes' network: a /24, or a mapping as in `segments`. If left out: the one that belongs to the
    name."""
    segments: Mapping[SegmentName, SegmentKey] = {}
    """Instead of `underlay`: several networks, by name, which nodes with `router: true` join."""
    engines: tuple[EngineKey, ...] = ()
    """The Docker engines that the nodes are spread over; their networks are a swarm's. If left out: the one
    that the environment selects."""
    nodes: Annotated[tuple[NodeKey, ...], Field(json_schema_extra={"minItems": 1})] = TUTORIAL_NODES
    """The nodes. If left out: the tutorial's three."""
    flannel: FlannelKey = FlannelKey()
    """flannel's configuration and options."""
    etcd: EtcdKey = EtcdKey()
    """Whom etcd lets in. If left out: everybody, without encryption, as in the tutorial."""
    flanneld: FlanneldKey = FlanneldKey()
    """Which flanneld runs on nodes that do not say."""
    pods: tuple[Annotated[Any, WithJsonSchema({"type": ["string", "object"]})], ...] | None = None
    """Paths of Pod files, relative to the lab file, and Pods written in place. If left out: the tutorial's
    two."""
    checks: tuple[CheckKey, ...] = ()
    """Checks of one's own, which run with the lab's."""
    privileged: StrictBool = False
    """Give the nodes every privilege of the host instead of the few that they need."""

    _name = field_validator("name")(lab_name)

    @field_validator("nodes")
    @classmethod
    def _some(cls, value: tuple[NodeKey, ...]) -> tuple[NodeKey, ...]:
        if not value:
            raise ValueError("expected at least one")
        return value
