"""The tutorial's steps as data, in its order.

`lab up` has already done what the tutorial does; so each step verifies the result, with the same command if
that changes nothing, or else by reading back what was created.
"""

from lab.tutorial.install import etcd, install, start
from lab.tutorial.numbers import MINIONS
from lab.tutorial.proof import devices, leases, login, no_flannel_on_the_master, pods
from lab.tutorial.step import Today, TutorialStep

__all__ = ["steps"]


def steps(today: Today) -> tuple[TutorialStep, ...]:
    """Return all steps, for every node on which the tutorial performs them."""
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
