"""A cost model and clusters for tests of the simulation."""

from random import Random
from typing import Final

from lab.scale.figures import Moment, Phase
from lab.scale.simulation.costs import Costs
from lab.scale.simulation.fit import SERVED, Observed
from lab.scale.simulation.results import Simulated, Simulation
from lab.scale.simulation.world import Place, World, simulate

__all__ = ["COSTS", "QUICK", "SHARED", "simulation", "world"]

COSTS: Final = Costs(
    start=0.025, entry=1e-4, wake=1.5e-3, event=4e-4, tend=4e-3, check=5e-5, attempt=3e-3,
    request=5e-4, listed=1e-6, message=4e-5, delivered=3e-5, boot=0.05, second=3e-3,
    answer=130.0, listed_bytes=180.0, written_bytes=190.0, ended_bytes=95.0,
    fork=0.01, aside=0.04, waits=0.1, program=0.05, look=1.5e-6, serves=1.4,
    etcd_memory=18e6, watcher_memory=0.2e6,
)  # fmt: skip
"""Of the order of what runs give."""

QUICK: Final = Place(cores=64, shared=False)
"""Where nobody waits for a processor or a link."""

SHARED: Final = Place()
"""One machine of two processors, as for `lab scale`."""


def world(nodes: int, place: Place = QUICK, seed: int = 0, costs: Costs = COSTS) -> World:
    """So many daemons that are not started yet."""
    return World(nodes, costs, Random(seed).random, place)


def simulation(place: Place = SHARED, seconds: float = 1.0) -> Simulation:
    """Ten nodes, of which a run has taken so many seconds for each phase."""
    phases = {moment: Phase(moment, seconds, 0.1, 0.2, 5e4, 50.0, {SERVED: 0.5}) for moment in Moment}
    runs = [list(simulate(world(10, place, seed))) for seed in range(2)]
    return Simulation(COSTS, place, 1, [Simulated(10, runs)], [Observed(10, phases, 20e6)])
