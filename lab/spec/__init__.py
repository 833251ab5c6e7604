"""What a lab is: its machines, its flannel network and its pods, parsed once into frozen types.

The default is the tutorial's cluster. A lab file (YAML, `lab up -f FILE`, docs/lab.md) changes what it names.
"""

from lab.spec.file import dump, load, load_file, tutorial
from lab.spec.model import TUTORIAL, LabSpec, NodeSpec, lab_name, name_option

__all__ = [
    "TUTORIAL",
    "LabSpec",
    "NodeSpec",
    "dump",
    "lab_name",
    "load",
    "load_file",
    "name_option",
    "tutorial",
]
