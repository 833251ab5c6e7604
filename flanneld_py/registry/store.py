"""A registry in which every node takes its own lease: what `allocate` decides, done with compare and swap."""

import logging
from abc import abstractmethod
from dataclasses import replace

from flanneld_py.config.model import NetworkConfig
from flanneld_py.lease import allocate
from flanneld_py.lease.model import HeldLease, Lease, LeaseAttrs
from flanneld_py.registry import Registry, Snapshot, Wish
from flanneld_py.subnet import Subnet

__all__ = ["Store"]

logger = logging.getLogger(__name__)


class Store(Registry):
    """What etcd of every version has in common. Methods raise as those of `Registry`."""

    @abstractmethod
    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """Take a subnet if nobody has its key; the revision written, or None if somebody has."""

    @abstractmethod
    def replace(self, old: HeldLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """Give a lease back and take another, both or neither; None if either is not as it was known."""

    @abstractmethod
    def remove(self, held: HeldLease) -> bool:
        """Give a lease back; false if it changed since `held.revision`."""

    def require(self, network: NetworkConfig) -> None:
        """See `Registry`. Any network's will do."""

    def acquire(self, known: Snapshot, wish: Wish) -> HeldLease | None:
        """See `Registry`."""
        spoiled = [key.subnet for key in known.spoiled]
        public, previous = wish.attrs.public, wish.previous
        choice = allocate.choose_subnet(wish.network, known.leases, public, previous, wish.pick, spoiled)
        match choice:
            case allocate.Reuse(held):
                logger.info("Found lease (%s) for current IP (%s), reusing", held.lease.subnet, public)
                revision = self.renew(held, wish.attrs)
                if revision is None:
                    return None
                return replace(held, lease=Lease(held.lease.subnet, wish.attrs), revision=revision)
            case allocate.Replace(old, subnet):
                text = "Found lease (%s) for current IP (%s) but not compatible with current config, deleting"
                logger.info(text, old.lease.subnet, public)
                revision = self.replace(old, subnet, wish.attrs)
            case allocate.Create(subnet):
                if subnet == previous:
                    logger.info("Found previously leased subnet (%s), reusing", subnet)
                revision = self.create(subnet, wish.attrs)
        if revision is None:
            return None
        return self._undisputed(HeldLease(Lease(subnet, wish.attrs), revision))

    def _undisputed(self, made: HeldLease) -> HeldLease | None:
        """A new lease, unless another overlaps it: then it is given back.

        With two families a key does not stand for a subnet: 10.5.4.0-24&A and 10.5.4.0-24&B can be
        created at the same moment. Whoever sees the other's steps back; at least one of the two does.
        """
        subnet = made.lease.subnet
        if len(subnet.networks) == 1:
            return made
        for other in self.snapshot().leases:
            if other.lease.subnet != subnet and other.lease.subnet.overlaps(subnet):
                logger.info("Lease of %s overlaps a new one of %s: trying again", subnet, other.lease.subnet)
                self.remove(made)
                return None
        return made
