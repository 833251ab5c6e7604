"""A machine whose processes stand still."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import docker

from lab.cluster import Lab

__all__ = ["paused"]


@contextmanager
def paused(lab: Lab, node: str) -> Iterator[None]:
    """All of a machine's processes stand still, as by `docker pause`, while the context is open."""
    with closing(docker.from_env()) as client:
        container = client.containers.get(lab.node(node).container.id)
        container.pause()
        try:
            yield
        finally:
            container.unpause()
