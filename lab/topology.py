"""A lab that is up, as what there is to draw of it."""

from lab.deadlines import PACKET
from lab.graph.describe import described
from lab.graph.model import Graph
from lab.observe import Topic, observe
from lab.protocols import LabAccess

__all__ = ["graph_of"]

TOPICS = frozenset({Topic.SERVICES, Topic.SUBNET_ENV, Topic.PODS})


def graph_of(lab: LabAccess) -> Graph:
    """With subnets, pods, and what does not run; a machine that does not answer soon is drawn as such."""
    topics = TOPICS | ({Topic.LEASES} if lab.spec.running("etcd") else set())
    return described(lab.spec, observe(lab, topics, within=PACKET.seconds))
