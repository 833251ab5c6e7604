"""What cannot be known while a node is silent. Pure."""

from lab.observe import Observation, Silent

__all__ = ["who_may_hide"]


def who_may_hide(seen: Observation, pod: str) -> str | None:
    """Which silent node may be running a pod that no other node reports, in words; None if there is none.

    A pod that is not assigned to a node may be on any of them.
    """
    if seen.pod(pod) is not None:
        return None
    home = next((item.node for item in seen.spec.pods if item.name == pod), None)
    for node in seen.running("docker"):
        if isinstance(node.pods, Silent) and home in {None, node.name}:
            return f"{node.name} does not say: {node.pods.reason}"
    return None
