"""One machine of a lab: commands and files in its container, what it is to run and what it is given."""

from lab.node.node import Node, Talk
from lab.node.running import Running

__all__ = ["Node", "Running", "Talk"]
