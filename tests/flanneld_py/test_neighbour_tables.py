"""The kernel's tables of neighbours: whether one was full, and what etcd's silence is told with then."""

import pytest

from flanneld_py.kernel import neighbour_tables
from flanneld_py.kernel.neighbour_messages import NeighbourTable, filled, seen_table
from flanneld_py.kernel.neighbour_tables import NeighbourTables
from flanneld_py.kernel.netlink import messages
from flanneld_py.registry import AccessRefused, RegistryUnavailable
from flanneld_py.registry.access import Endpoint
from flanneld_py.registry.failover import Failover

# What Linux 6.18 answers first, on a machine whose table was full 1,361 times (so says `ip -s ntable show`).
RECORDED = bytes.fromhex(
    "780100004000020001000000276b0000020000000e0001006172705f63616368650000000c0008003075000000000000"
    "08000200800000000800030000020000080004000004000024000500040050016900000000b4010064a702005d7f327f"
    "ff3f000000000000000000005c000700aff700000000000046f70000000000000b000000000000001303000000000000"
    "9e8c05000000000008ea0000000000000000000000000000000000000000000072010000000000009805000000000000"
    "5105000000000000b0000600080002000100000008001000004003000800080065000000080009004000000000000000"
)
ARP = NeighbourTable("arp_cache", 1024, 7)


def test_a_table_is_read_as_the_kernel_tells_it():
    data = RECORDED[:200]  # the first message up to the statistics' end, with its length put right
    data = len(data).to_bytes(4, "little") + data[4:]
    (message,) = messages(data)
    assert seen_table(data, message.start, message.end) == NeighbourTable("arp_cache", 1024, 1361)


def test_a_devices_own_settings_are_no_table():
    data = (36).to_bytes(4, "little") + RECORDED[4:36]
    (message,) = messages(data)
    assert seen_table(data, message.start, message.end) is None


def test_this_kernel_tells_of_the_tables_of_both_families():
    found = neighbour_tables._read()
    assert found["arp_cache"].limit > 0
    assert found["ndisc_cache"].limit > 0


def test_only_a_table_that_was_full_since_then_is_told_of():
    assert filled(ARP, ARP) == ""
    assert filled(ARP, ARP._replace(refused=6)) == ""
    told = filled(ARP, ARP._replace(refused=10))
    assert "dropped 3 times" in told
    assert "it takes 1024 " in told
    assert "raise net.ipv4.neigh.default.gc_thresh3 there" in told
    ndisc = NeighbourTable("ndisc_cache", 1024, 0)
    assert "net.ipv6.neigh.default.gc_thresh3" in filled(ndisc, ndisc._replace(refused=1))


@pytest.fixture
def tables(monkeypatch):
    """What the kernel tells."""
    told = {"arp_cache": ARP}
    monkeypatch.setattr(neighbour_tables, "_read", lambda: dict(told))
    return told


def test_each_time_is_told_of_once(tables):
    watched = NeighbourTables()
    assert watched.filled() == ""
    tables["arp_cache"] = ARP._replace(refused=9)
    assert "dropped 2 times" in watched.filled()
    assert watched.filled() == ""


def test_nothing_is_told_where_the_kernel_does_not_tell(tables):
    watched = NeighbourTables()
    tables.clear()
    assert watched.filled() == ""
    tables["arp_cache"] = ARP._replace(refused=9)
    assert watched.filled() == ""


class Silent:
    """A connection to an endpoint."""

    def close(self) -> None:
        """See `Connection`."""


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (RegistryUnavailable("deadline exceeded"), "http://etcd:2379: deadline exceeded (the table is full)"),
        (AccessRefused("a user is wanted"), "http://etcd:2379: a user is wanted"),
    ],
)
def test_an_endpoint_that_is_silent_is_told_with_what_may_be_the_cause(failure, told):
    def fail(_: Silent) -> None:
        raise failure

    etcd = Failover([Endpoint.of("http://etcd:2379")], lambda *_: Silent(), 2.0, lambda: "the table is full")
    with pytest.raises(RegistryUnavailable) as caught:
        etcd.call(fail)
    assert str(caught.value) == told
