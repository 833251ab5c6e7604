"""`lab bench`: how fast each way from one machine to another is, all of them measured in one run.

A ratio is of two values of one round. Values of two runs are never compared: other work on the machine, its
clock and its temperature were others.
"""

from lab.bench.figures import Results
from lab.bench.picture import draw, require_picture
from lab.bench.report import document, text
from lab.bench.run import bench
from lab.bench.ways import KINDS, Settings

__all__ = ["KINDS", "Results", "Settings", "bench", "document", "draw", "require_picture", "text"]
