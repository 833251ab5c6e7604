"""`lab scale`: how a cluster of hundreds of nodes starts, and what it takes when something happens to it.

Nodes are network namespaces of one container, each with a real flanneld; etcd is a real one.
"""

from lab.scale.faults import wanted
from lab.scale.figures import Results
from lab.scale.picture import draw
from lab.scale.plan import KINDS, MEMBERS, MOST, Settings, rate
from lab.scale.report import document, text
from lab.scale.run import run

__all__ = [
    "KINDS", "MEMBERS", "MOST", "Results", "Settings", "document", "draw", "rate", "run", "text",
    "wanted",
]  # fmt: skip
