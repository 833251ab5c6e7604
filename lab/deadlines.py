"""How long the lab waits: the one place for it. A deadline is for what hangs, not for what is slow.

Each is many times what a busy machine with two cores needs; for a slower one LAB_PATIENCE multiplies it.
This needs Python's library alone: `lab.apt` runs before there is a virtual environment.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from lab.errors import Unfit

__all__ = [
    "ALL_KNOW",
    "ANOTHER_BUILD",
    "APT_LOCK",
    "BUNDLED",
    "COMMAND",
    "COMPILED",
    "CONFIG_TAKEN",
    "CONVERSATION",
    "DOWNLOAD",
    "END_TOLD",
    "ENGINE_ANSWERS",
    "ENGINE_ENDS",
    "ENGINE_STARTS",
    "IMAGE_CARRIED",
    "INPUT_ENDS",
    "JOINED",
    "LOOK",
    "NAMES_OFFERED",
    "NETWORKS_GONE",
    "NOTHING_CHANGES",
    "PACKET",
    "PODS_OFFERED",
    "POD_ANSWERS",
    "QUESTION",
    "RECORDING_ENDS",
    "SANDBOX_COMMAND",
    "SEED_ENGINE_STARTS",
    "SEED_FILLED",
    "SETTLED",
    "SHUTDOWN",
    "SSH_LOGIN",
    "UNIT_STARTS",
    "WAY_STARTS",
    "Deadline",
    "patience",
]

VARIABLE = "LAB_PATIENCE"


def patience(environment: Mapping[str, str] = os.environ) -> float:
    """What LAB_PATIENCE says: a factor, 1 if it is not set. Raises `Unfit` where it is none."""
    text = environment.get(VARIABLE, "")
    if not text:
        return 1.0
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise Unfit(f"{VARIABLE} is {text!r}; expected a number above 0, such as 3")
    return factor


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long something may take on an ordinary machine, in seconds."""

    usual: float

    @property
    def seconds(self) -> float:
        """How long it may take here."""
        return self.usual * patience()


ENGINE_STARTS = Deadline(180)
"""From the start of a Docker engine on this machine to its first answer."""

ENGINE_ENDS = Deadline(90)

ENGINE_ANSWERS = Deadline(300)
"""For any one answer of the engine; a long one may pause so long."""

ANOTHER_ENGINE = Deadline(10)
"""For one of several engines of a lab to answer at all: the others go on without it."""

SSH_LOGIN = Deadline(60)
"""Until ssh has logged in where the engine is."""

APT_LOCK = Deadline(900)
"""While another apt works: a machine that has just booted may bring itself up to date (apt-daily.service)."""

ANOTHER_BUILD = Deadline(3600)
"""While another process builds everything, on a slow line."""

SEED_ENGINE_STARTS = Deadline(120)
"""Each time that the engine which fills the seed volume is started."""

SEED_FILLED = Deadline(3600)
"""For that engine to start, also at the third try, and to load an image of some 250 MB."""

DOWNLOAD = Deadline(7200)
"""For a program of this machine that downloads, on a slow line."""

COMPILED = Deadline(60)
"""For a C file of one page."""

UNIT_STARTS = Deadline(300)
"""For etcd, flanneld or docker on a machine, from its boot on; in an emulated machine it took etcd 170."""

JOINED = Deadline(2)
"""Each time that a unit's start is waited for, before its log is looked at; longer where looks take long."""

CONFIG_TAKEN = Deadline(180)
"""For etcd to take flannel's configuration; etcdctl by itself gives up after 5 s, and is tried again."""

SHUTDOWN = Deadline(10)
"""For a machine to shut down before it is killed, as Docker's default for a container."""

POD_ANSWERS = Deadline(600)
"""For a pod's containers to run and its ports to answer; in an emulated machine it took MySQL 210."""

SETTLED = Deadline(10)
"""That the machines have, once every pod answers, until every check is expected to hold."""

COMMAND = Deadline(600)
"""For any one command that the lab itself runs on a machine."""

END_TOLD = Deadline(30)
"""For the engine to tell of the end of a command, after that command was to have ended."""

INPUT_ENDS = Deadline(5)
"""For what feeds a command to notice that the command has ended."""

IMAGE_CARRIED = Deadline(3600)
"""For an image of any size to be carried to a machine."""

NETWORKS_GONE = Deadline(30)
"""For a swarm's networks that were removed to be gone from an engine; it takes a fifth of a second."""

QUESTION = Deadline(60)
"""For any one question to a machine, such as `ip route`."""

LOOK = Deadline(6)
"""For what `lab doctor`, `lab trace` and `lab serve` ask of a machine: what hangs is to be found."""

BUNDLED = Deadline(15)
"""For any one question whose answer goes into a bundle: what hangs is what the bundle is to tell of."""

RECORDING_ENDS = Deadline(5)
"""For the machines to end what keeps their last packets; one that stands still is not waited for longer."""

SANDBOX_COMMAND = Deadline(30)
"""For a command in the sandbox of `lab bench` and the kernel tests, and for its agent's answer besides."""

PACKET = Deadline(10)
"""For a packet there and back, or a connection, from pod to pod."""

CONVERSATION = Deadline(60)
"""For the tutorial's login: the client's start, the prompts, and the server's answers."""

NAMES_OFFERED = Deadline(0.5)
"""For the engine to tell of a lab, where a shell asks for what somebody may be typing."""

PODS_OFFERED = Deadline(0.3)
"""The same for machines, of their pods."""

WAY_STARTS = Deadline(30)
"""In a measurement, for each thing that has to be there before: a lease, a ping, a server that listens."""

ALL_KNOW = Deadline(600)
"""For hundreds of nodes on one machine to hear of all that has happened; 200 needed 84 to start."""

NOTHING_CHANGES = Deadline(30)
"""The same, while nothing changes on any of them: what is lacking then is not to be expected any more."""
