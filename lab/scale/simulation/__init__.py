"""Clusters that no machine can have, in virtual time: what `lab scale --simulate` foretells from runs.

Nodes follow flanneld's policies (`policies`), what they do is counted and has prices (`costs`) that come from
runs of few nodes (`fit`); etcd is a model (`etcd`), and everybody's work shares processors (`engine`).
"""

from lab.scale.simulation.control import Asked, run
from lab.scale.simulation.results import Simulation, document, text

__all__ = ["Asked", "Simulation", "document", "run", "text"]
