"""The tutorial's steps as data, in the document's order.

`lab up` has done what the document does; so a step here shows that it is done, by the same command where
that changes nothing, or by reading back what it made.
"""

from lab.tutorial.install import etcd, install, start
from lab.tutorial.numbers import MINIONS
from lab.tutorial.proof import devices, leases, login, no_flannel_on_the_master, pods
from lab.tutorial.step import Today, TutorialStep

__all__ = ["steps"]


def steps(today: Today) -> tuple[TutorialStep, ...]:
    """Every step, on every machine that the document does it on."""
    return (
        *etcd(today),
        *(step for node in MINIONS for step in install(node, today)),
        *(step for node in MINIONS for step in start(node)),
        *(devices(node) for node in MINIONS),
        *leases(today),
        *pods(),
        *(step for node in MINIONS for step in login(node, today)),
        no_flannel_on_the_master(),
    )
