"""A container without any network in which namespaces stand in for machines, and the agent in it.

Here `lab bench` measures, and the tests of the daemon with a real kernel run.
"""

from lab.sandbox.box import Answer, Box, open_box
from lab.sandbox.namespace import Namespace

__all__ = ["Answer", "Box", "Namespace", "open_box"]
