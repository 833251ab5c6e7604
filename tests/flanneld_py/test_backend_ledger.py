"""The ledger: whoever comes and goes, the kernel has each peer's entries unless another's are in the way."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.backend.ledger import Ledger
from flanneld_py.kernel.entries import Add, Entry, FdbEntry, Neighbour, Remove, Slot, slot
from flanneld_py.subnet import Subnet


def peer(number: int) -> Subnet:
    return Subnet(IPv4Network((f"10.2.{number}.0", 24)))


def fdb(mac: int, remote: int) -> FdbEntry:
    return FdbEntry(7, f"02:00:00:00:00:{mac:02x}", IPv4Address(f"192.168.50.{remote}"))


def performed(kernel: dict[Slot, Entry], ledger: Ledger) -> dict[Slot, Entry]:
    """The kernel's entries after the changes."""
    after = dict(kernel)
    for change in ledger.changes():
        if isinstance(change, Add):
            after[slot(change.entry)] = change.entry
        else:
            del after[slot(change.entry)]  # deletes nothing that is not there
    return after


def test_a_new_peer_takes_its_own_entries_alone():
    ledger = Ledger()
    ledger.put(peer(1), [fdb(1, 11)])
    assert ledger.changes() == (Add(fdb(1, 11)),)
    ledger.put(peer(2), [fdb(2, 12)])
    assert ledger.changes() == (Add(fdb(2, 12)),)
    assert ledger.changes() == ()


def test_a_peer_whose_mac_changes_gets_the_new_entry_before_it_loses_the_old_one():
    ledger = Ledger()
    ledger.put(peer(1), [fdb(1, 11)])
    ledger.changes()
    ledger.put(peer(1), [fdb(2, 11)])
    assert ledger.changes() == (Add(fdb(2, 11)), Remove(fdb(1, 11)))


def test_a_lease_that_is_written_again_changes_nothing():
    ledger = Ledger()
    ledger.put(peer(1), [fdb(1, 11)])
    ledger.changes()
    ledger.put(peer(1), [fdb(1, 11)])
    assert ledger.changes() == ()


def test_a_machine_with_a_new_subnet_keeps_its_fdb_entry_when_the_old_lease_goes():
    # flannel deletes it, and the machine is cut off.
    ledger = Ledger()
    ledger.put(peer(1), [fdb(1, 11)])
    assert ledger.put(peer(2), [fdb(1, 11)]) == ()
    ledger.changes()
    ledger.remove(peer(1))
    assert ledger.changes() == ()


def test_of_two_machines_with_one_mac_the_later_one_has_it_and_the_other_gets_it_back():
    ledger = Ledger()
    ledger.put(peer(1), [fdb(1, 11)])
    (shared,) = ledger.put(peer(2), [fdb(1, 12)])
    assert (shared.winner, shared.loser) == (peer(2), peer(1))
    assert ledger.changes() == (Add(fdb(1, 12)),)
    ledger.remove(peer(2))
    assert ledger.changes() == (Add(fdb(1, 11)),)


def test_removing_one_that_was_outdone_changes_nothing():
    ledger = Ledger()
    ledger.put(peer(1), [fdb(1, 11)])
    ledger.put(peer(2), [fdb(1, 12)])
    ledger.changes()
    ledger.remove(peer(1))
    assert ledger.changes() == ()
    ledger.remove(peer(2))
    assert ledger.changes() == (Remove(fdb(1, 12)),)


def test_what_a_peer_loses_goes_in_the_opposite_order():
    ledger = Ledger()
    neighbour = Neighbour(7, IPv4Address("10.2.1.0"), "02:00:00:00:00:01")
    ledger.put(peer(1), [fdb(1, 11), neighbour])
    ledger.changes()
    ledger.remove(peer(1))
    assert ledger.changes() == (Remove(neighbour), Remove(fdb(1, 11)))


STEPS = st.lists(
    st.tuples(st.integers(0, 4), st.lists(st.builds(fdb, st.integers(0, 3), st.integers(1, 3)), max_size=3)),
    max_size=30,
)


@given(STEPS, st.lists(st.booleans(), min_size=30, max_size=30))
def test_the_kernel_follows_whatever_happens(steps, ask):
    """Also when several happen before the kernel is changed; and at the end nothing of the gone remains."""
    ledger = Ledger()
    kernel: dict[Slot, Entry] = {}
    last: dict[Subnet, list[Entry]] = {}
    for (number, entries), now in zip(steps, ask, strict=False):
        last.pop(peer(number), None)
        if entries:
            last[peer(number)] = entries
            ledger.put(peer(number), entries)
        else:
            ledger.remove(peer(number))
        if now:
            kernel = performed(kernel, ledger)
            assert kernel == ledger.wanted
    kernel = performed(kernel, ledger)
    # The one that came last has it.
    assert kernel == {slot(entry): entry for entries in last.values() for entry in entries}
    for subnet in last:
        ledger.remove(subnet)
    assert performed(kernel, ledger) == {}
