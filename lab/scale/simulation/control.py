"""A simulation from beginning to end: constants from a file of runs, then clusters by chance."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lab.errors import Unfit
from lab.events import Reporter
from lab.scale.plan import Program
from lab.scale.simulation.fit import LARGEST, Observed, enough, fit, observed
from lab.scale.simulation.results import Simulated, Simulation
from lab.scale.simulation.world import Event, Place, World, simulate

__all__ = ["FITTED", "Asked", "chances", "run"]

FITTED = 1
"""Seeds that constants are searched with: below a hundred nodes chance decides little."""

SHARED_SEEDS = 5
"""Seeds of a cluster on one machine; of one on thousands a single one, for those are much alike."""

GBIT = 1e9 / 8


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be simulated. `processors`: of each member of etcd, if nodes are machines of their own."""

    numbers: Sequence[int]
    processors: int | None = None
    gbit: float = 10.0
    members: int = 1
    churn: float = 0.0
    part: float = 0.0
    lasting: float = 30.0

    @property
    def place(self) -> Place:
        """What it runs on. Several members are one that has the processors and links of all."""
        if self.processors is None:
            return Place()
        return Place(
            cores=self.processors * self.members,
            shared=False,
            latency=0.001,
            bandwidth=self.gbit * GBIT * self.members,
        )


def chances(seeds: int) -> Sequence[Callable[[], float]]:
    """So many sources of chance, the same each time."""
    return [Random(seed).random for seed in range(seeds)]  # noqa: S311 - it is to be foretold


def run(asked: Asked, source: Path, progress: Reporter) -> Simulation:
    """Simulate it. Raises `Unfit` if the file has not what constants come from."""
    runs = _runs(source)
    with progress.step(f"find the constants of {source}"):
        costs = fit(runs, lambda: chances(FITTED))
    simulated = []
    for nodes in asked.numbers:
        with progress.step(f"simulate {nodes} nodes"):
            seeds = chances(SHARED_SEEDS if asked.processors is None else 1)
            worlds = [World(nodes, costs, chance, asked.place) for chance in seeds]
            simulated.append(Simulated(nodes, [list(_events(world, asked)) for world in worlds]))
    return Simulation(costs, asked.place, asked.members, simulated, runs)


def _runs(source: Path) -> Sequence[Observed]:
    """Those of a scale.json, if constants can come from them. Raises `Unfit`."""
    try:
        document = json.loads(source.expanduser().read_text(encoding="utf-8"))
        if (document["program"], document["forked"], document["members"]) != (Program().title, True, 1):
            raise _unfit(source, "is not of our own flanneld, forked, with one member of etcd")
        if document.get("faults"):
            raise _unfit(source, "is of a run with faults, which are no part of the simulation")
        if "engines" in document["machine"]:
            raise _unfit(source, "is of a run on several engines")
        runs = observed(document)
    except OSError as error:
        raise _unfit(source, f"cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _unfit(source, f"is no JSON: {error}") from error
    except KeyError as error:
        raise _unfit(source, f"is no scale.json: it has no {error}") from error
    except (TypeError, ValueError) as error:
        raise _unfit(source, f"is no scale.json: {error}") from error
    if not enough(runs):
        raise _unfit(source, f"has not runs of two or more numbers of nodes up to {LARGEST}")
    return runs


def _unfit(source: Path, what: str) -> Unfit:
    return Unfit(f"--simulate: {source} {what}", hint="It wants the scale.json of `lab scale 10 50 100`.")


def _events(world: World, asked: Asked) -> Sequence[Event]:
    more: list[Callable[[], Event]] = []
    if asked.churn:
        more.append(lambda: world.churn(asked.churn, asked.lasting))
    if asked.part:
        more.append(lambda: world.partition(asked.part, asked.lasting))
    return list(simulate(world, more=more))
