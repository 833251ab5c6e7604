"""What a lab is: its nodes, its flannel network and its pods, parsed once into frozen types.

The default is the tutorial's cluster. A lab file (YAML, `lab up -f FILE`, docs/lab.md) overrides what it
specifies.
"""

from typing import TYPE_CHECKING, Any

from lab.flannel import EtcdApi, wrong_store
from lab.lab_names import TUTORIAL, lab_name
from lab.spec.backend import backend_of
from lab.spec.check import CommandCheck
from lab.spec.model import LabSpec, underlay_network
from lab.spec.node import ROLES, NodeSpec, ServiceName
from lab.spec.program import Flanneld, Program, program_bytes

__all__ = [
    "ROLES",
    "TUTORIAL",
    "CommandCheck",
    "EtcdApi",
    "Flanneld",
    "LabSpec",
    "NodeSpec",
    "Program",
    "ServiceName",
    "backend_of",
    "lab_name",
    "load",
    "load_file",
    "program_bytes",
    "tutorial",
    "underlay_network",
    "wrong_store",
]

if TYPE_CHECKING:
    from lab.spec.file import load, load_file, tutorial


def __getattr__(name: str) -> Any:
    """What reads lab files, on first use: most verbs read none, and do without YAML and the schema."""
    if name not in {"load", "load_file", "tutorial"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lab.spec import file

    return getattr(file, name)
