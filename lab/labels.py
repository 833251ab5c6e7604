"""The labels on what the lab makes: their names, what they mean, and how they are written and read. Pure.

They are the lab's only state (docs/adr/0002). What reads them may be another version than what wrote them:
`VERSION` tells.
"""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = [
    "CACHE",
    "COMPLETE",
    "ENGINE_IS_OURS",
    "HOST",
    "IMAGE",
    "NAME",
    "NODE",
    "POD",
    "POD_PART",
    "POD_RESTART",
    "POD_SPEC",
    "SEED",
    "SEGMENT",
    "SERVICES",
    "SPEC",
    "USER",
    "VERSION",
    "mark",
    "of_lab",
    "of_machine",
    "of_mark",
    "of_pod",
    "services",
]

# Of a lab

NAME: Final = "lab.name"
"""On everything of a lab: its name."""

SPEC: Final = "lab.spec"
"""On the network: what the lab was made from, as JSON, without what pods' variables hold."""

SEGMENT: Final = "lab.segment"
"""On a network: which segment of the lab's underlay it is."""

HOST: Final = "lab.host"
"""On the network: the machine whose `lab` made it. Only there can one tell whether its maker still runs."""

USER: Final = "lab.user"
"""On the network: who made it."""

VERSION: Final = "lab.version"
"""On the network: the version of overlay-lab that made it."""

NODE: Final = "lab.node"
"""On a machine: its host name."""

SERVICES: Final = "lab.services"
"""On a machine: the units that it is to run, with blanks between."""

COMPLETE: Final = "lab.complete"
"""On a volume that is made last of all: the lab was finished, and is to stay when its maker has ended."""

# Of what several labs use

IMAGE: Final = "lab.image"
"""On every image of ours: node, mysql, base, seed (see `SEED`), or stage, which a build leaves."""

CACHE: Final = "lab.cache"
"""On the seed volume: seed. On the container that fills it, for a few seconds: seed-maker."""

SEED: Final = "lab.seed"
"""On the seed volume, and on the image that says that it is whole: the number that was drawn for it."""

ENGINE_IS_OURS: Final = "lab.engine=started"
"""An engine's own label (`dockerd --label`) if we have started it: an engine keeps it, a file may not."""

# Of a pod, on its containers in its machine's engine; read there by lab-pods, too

POD: Final = "lab.pod"
"""The pod's name."""

POD_PART: Final = "lab.pod.part"
"""infra for the container that holds the pod's network namespace, container for each other."""

POD_RESTART: Final = "lab.pod.restart"
"""The pod's restartPolicy."""

POD_SPEC: Final = "lab.pod.spec"
"""What it was made from, as JSON, without what its variables hold."""


def of_lab(name: str, spec: str, segment: str, *, user: str, host: str, version: str) -> dict[str, str]:
    """Those of a lab's network: what it was made from, and by whom; of which segment it is."""
    return {NAME: name, SPEC: spec, SEGMENT: segment, HOST: host, USER: user, VERSION: version}


def of_machine(lab: str, node: str, services: Sequence[str]) -> dict[str, str]:
    """Those of a machine's container."""
    return {NAME: lab, NODE: node, SERVICES: " ".join(services)}


def services(labels: Mapping[str, str]) -> tuple[str, ...]:
    """What a machine runs."""
    return tuple(labels[SERVICES].split())


def mark(lab: str) -> str:
    """The name of the volume that says that a lab is complete."""
    return f"lab-{lab}-complete"


def of_mark(lab: str) -> dict[str, str]:
    """Those of that volume."""
    return {NAME: lab, COMPLETE: "yes"}


def of_pod(name: str, part: str, restart: str, spec: str) -> dict[str, str]:
    """Those of one of a pod's containers."""
    return {POD: name, POD_PART: part, POD_RESTART: restart, POD_SPEC: spec}
