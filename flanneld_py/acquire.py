"""One attempt at a lease: what `allocate` decides, done in the registry."""

import logging
from ipaddress import IPv4Network

from flanneld_py import allocate
from flanneld_py.allocate import HeldLease
from flanneld_py.config import NetworkConfig
from flanneld_py.lease import Lease, LeaseAttrs
from flanneld_py.registry import Registry, Snapshot

__all__ = ["once"]

logger = logging.getLogger(__name__)


def once(
    registry: Registry,
    known: Snapshot,
    network: NetworkConfig,
    attrs: LeaseAttrs,
    previous: IPv4Network | None,
    pick: allocate.Pick,
) -> HeldLease | None:
    """Hold a lease with these attributes, going by what is known; None when that is no longer so.

    `previous` and `pick` as in `allocate.choose_subnet`. Raises `OutOfSubnets` and `Unavailable`.
    """
    address = attrs.public_ip
    spoiled = [key.subnet for key in known.spoiled]
    choice = allocate.choose_subnet(network, known.leases, address, previous, pick, spoiled)
    match choice:
        case allocate.Reuse(lease, known_revision):
            subnet = lease.subnet
            logger.info("Found lease (%s) for current IP (%s), reusing", subnet, address)
            revision = registry.renew(subnet, known_revision, attrs)
        case allocate.Replace(old, subnet):
            text = "Found lease (%s) for current IP (%s) but not compatible with current config, deleting"
            logger.info(text, old.lease.subnet, address)
            revision = registry.replace(choice, attrs)
        case allocate.Create(subnet):
            if subnet == previous:
                logger.info("Found previously leased subnet (%s), reusing", subnet)
            revision = registry.create(subnet, attrs)
    return None if revision is None else HeldLease(Lease(subnet, attrs), revision)
