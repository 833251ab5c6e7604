"""`lab bench`: how fast each way from one machine to another is, all of them measured in one run.

A ratio is of two values from the same round. Values from different runs are never compared: the machine's
load, clock and temperature were not the same.
"""

from lab.bench.figures import Results
from lab.bench.picture import draw
from lab.bench.report import document, text
from lab.bench.run import bench
from lab.bench.ways import KINDS, Settings

__all__ = ["KINDS", "Results", "Settings", "bench", "document", "draw", "text"]
