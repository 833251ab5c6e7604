"""A registry in which every node takes its own lease: what `allocate` decides, by compare and swap."""

import logging
from abc import abstractmethod
from dataclasses import replace

from flanneld_py.config.model import NetworkConfig
from flanneld_py.lease import allocate
from flanneld_py.lease.model import Lease, LeaseAttrs, StoredLease
from flanneld_py.registry import LeaseRequest, Registry, Snapshot
from flanneld_py.subnet import Subnet

__all__ = ["LeaseStore"]

logger = logging.getLogger(__name__)


class LeaseStore(Registry):
    """Whoever writes leases themselves. Methods raise as those of `Registry`."""

    @abstractmethod
    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """Create a subnet's key, if it does not exist; the revision written, or None if it does."""

    @abstractmethod
    def replace(self, old: StoredLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """Exchange a lease for another, both or neither; None if either is not as it was known."""

    @abstractmethod
    def remove(self, held: StoredLease) -> bool:
        """Give a lease back; false if it changed since `held.revision`."""

    def require(self, network: NetworkConfig) -> None:
        """See `Registry`. Every network's can be kept."""

    def acquire(self, known: Snapshot, request: LeaseRequest) -> StoredLease | None:
        """See `Registry`."""
        spoiled = [key.subnet for key in known.spoiled]
        public, previous = request.attrs.public, request.previous
        choice = allocate.choose_subnet(
            request.network, known.leases, public, previous, request.pick, spoiled
        )
        match choice:
            case allocate.Reuse(held):
                logger.info("Found lease (%s) for current IP (%s), reusing", held.lease.subnet, public)
                revision = self.renew(held, request.attrs)
                if revision is None:
                    return None
                return replace(held, lease=Lease(held.lease.subnet, request.attrs), revision=revision)
            case allocate.Replace(old, subnet):
                text = "Found lease (%s) for current IP (%s) but not compatible with current config, deleting"
                logger.info(text, old.lease.subnet, public)
                revision = self.replace(old, subnet, request.attrs)
            case allocate.Create(subnet):
                if subnet == previous:
                    logger.info("Found previously leased subnet (%s), reusing", subnet)
                revision = self.create(subnet, request.attrs)
        if revision is None:
            return None
        return self._undisputed(StoredLease(Lease(subnet, request.attrs), revision))

    def _undisputed(self, made: StoredLease) -> StoredLease | None:
        """A new lease, unless another overlaps it: then it is given back.

        With two families a key is not enough to reserve a subnet: 10.5.4.0-24&A and 10.5.4.0-24&B can be
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
