"""Who makes a lab, and which lab is meant where none is named."""

import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from lab.lab_names import TUTORIAL

__all__ = ["VARIABLE", "Maker", "default_name", "name_option", "our_version", "ourselves"]

VARIABLE = "LAB_NAME"
"""Names the lab that is meant where neither `--name` nor a lab file does."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made a lab, and where; empty is unknown."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user or 'somebody'}@{self.host or 'somewhere'}"


def ourselves(environment: Mapping[str, str] = os.environ) -> Maker:
    """Whoever runs this process: behind sudo(8), the one who asked for it."""
    uid = os.getuid()
    asked = environment.get("SUDO_UID", "") if uid == 0 else ""
    uid = int(asked) if asked.isdecimal() else uid
    try:
        user = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        user = str(uid)
    return Maker(user, socket.gethostname())


def our_version() -> str:
    """The version of this overlay-lab."""
    from importlib import metadata  # which takes as long as Python's own start

    return metadata.version("overlay-lab")


def default_name(environment: Mapping[str, str] = os.environ) -> str:
    """The lab that a command means without `--name`."""
    return environment.get(VARIABLE) or TUTORIAL


def name_option(name: str) -> str:
    """What a command needs to mean this lab, for a hint: empty, or " --name NAME"."""
    return "" if name == default_name() else f" --name {name}"
