"""What is asked of an engine about its swarm. What it means is in `lab.engine.swarm`."""

from collections.abc import Mapping

import docker
from docker.types import IPAMConfig, IPAMPool

from lab.engine import swarm
from lab.engine.model import Network, SubnetTaken, network_of

__all__ = ["begin", "create", "join", "look"]


def create(
    client: docker.DockerClient,
    name: str,
    subnet: str,
    labels: Mapping[str, str],
    *,
    engines: str,
    mtu: int | None,
) -> Network:
    """Create an attachable overlay network. Raises `SubnetTaken`, and what the SDK raises."""
    made = client.networks.create(
        name,
        driver="overlay",
        attachable=True,
        internal=True,
        options={} if mtu is None else {"com.docker.network.driver.mtu": str(mtu + swarm.OVERHEAD)},
        ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet, iprange=engines)]),
        labels=dict(labels),
    )
    # Of one that overlaps another the swarm makes a network without a driver, and says nothing.
    found = client.api.inspect_network(str(made.id))
    if not found.get("Driver") or not (found.get("IPAM") or {}).get("Config"):
        client.api.remove_network(str(made.id))
        raise SubnetTaken(f"another network of the swarm overlaps {subnet}")
    return network_of(found)


def look(client: docker.DockerClient) -> swarm.Member:
    """Return what the engine says of its swarm, and a manager of the others in it."""
    told = client.info().get("Swarm") or {}
    nodes = client.api.nodes() if told.get("ControlAvailable") else ()
    return swarm.member(told, nodes)


def begin(client: docker.DockerClient, address: str) -> None:
    """Begin a swarm, whose members reach this engine at an address; "" where it has one alone."""
    client.swarm.init(
        advertise_addr=address or None, listen_addr="0.0.0.0:2377", default_addr_pool=[swarm.NETWORKS]
    )


def join(client: docker.DockerClient, manager: docker.DockerClient) -> None:
    """Join the manager's swarm as a worker."""
    token = manager.api.inspect_swarm()["JoinTokens"]["Worker"]
    address = manager.info()["Swarm"]["NodeAddr"]
    client.swarm.join(remote_addrs=[f"{address}:2377"], join_token=token)
