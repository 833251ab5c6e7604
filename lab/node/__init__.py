"""One machine of a lab: commands and files in its container, what it is to run and what it is given."""

from lab.node.node import Node, Talk

__all__ = ["Node", "Talk"]
