"""Never two holders: what a daemon makes of an etcd that began anew."""

from flanneld_py.daemon.claim import Claim, Lost
from flanneld_py.registry import LeaseUnreadable, Snapshot
from tests.flanneld_py.made import held, subnet

OURS = "10.2.35.0/24"
CLAIM = Claim(held(OURS, "192.168.199.52", 3), asked_at=1000.0)


def test_another_machines_lease_at_the_revision_of_ours_is_not_ours():
    assert isinstance(CLAIM.after_list(Snapshot((held(OURS, "192.168.199.53", 3),), 3)), Lost)


def test_junk_at_the_revision_of_our_lease_is_to_be_written_over():
    after = CLAIM.after_list(Snapshot((), 3, (LeaseUnreadable(subnet(OURS), 3),)))
    assert isinstance(after, Claim)
    assert (after.held.revision, after.spoiled) == (3, True)
