"""What the programs that tests fork have in common: imported, and computed, before the first of them.

Only what is the same for each: what the laboratory reads of its own files, and keeps.
"""

from lab import checks, spec
from lab.bundle import collect, failed_tests
from lab.cluster import plan
from lab.node.files import node_files
from tests.lab import pretended

__all__ = ["collect", "failed_tests", "pretended"]

LAB = spec.tutorial()
plan.plan_up(LAB)
checks.every_check()
for node in LAB.nodes:
    node_files(LAB, node, "amd64")
