"""The Docker engine; the only package that imports `docker`.

It is deliberately thin: each method of `Engine` is one query or one effect, takes and returns plain values
(`lab.engine.model`), and turns the SDK's errors into `LabError`.
"""

from lab.engine.agent import Command, Ended
from lab.engine.client import Engine
from lab.engine.failures import remedy_elsewhere
from lab.engine.model import (
    Confinement,
    Container,
    ContainerConfig,
    EngineUnavailable,
    ExecResult,
    FileContent,
    ImageInfo,
    Network,
    SubnetTaken,
    Volume,
    tar,
    text_files,
)
from lab.engine.session import STDERR, STDOUT, Exec, feed

__all__ = [
    "STDERR",
    "STDOUT",
    "Command",
    "Confinement",
    "Container",
    "ContainerConfig",
    "Ended",
    "Engine",
    "EngineUnavailable",
    "Exec",
    "ExecResult",
    "FileContent",
    "ImageInfo",
    "Network",
    "SubnetTaken",
    "Volume",
    "feed",
    "remedy_elsewhere",
    "tar",
    "text_files",
]
