"""Whatever others send, etcd holds or a kernel answers: the declared errors, no crash, and bounded memory.

Elsewhere: the configuration in test_config_hostile.py, the command line in test_options.py, etcd v2's answers
in test_registry_etcd2.py, clients of the lease server in test_server_protocol.py, the packet filter programs'
output in test_firewall_rules.py, subnet.env in test_subnet_env.py.
"""

import gc
import io
import json
import logging
import queue
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flanneld_py.daemon.claim import PeerView
from flanneld_py.datapath.forward import (
    Drop,
    ForwardTable,
    Mandate,
    Peer,
    Reply,
    Split,
    admit,
    narrowed,
    route,
)
from flanneld_py.datapath.packet import checksum, decrement_ttl, fragments
from flanneld_py.kernel.addresses import dump_addresses, held_address
from flanneld_py.kernel.devices import device
from flanneld_py.kernel.entries import Add as PutEntry
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.netlink import attribute, messages
from flanneld_py.kernel.rtnetlink import encode, seen_neighbour, seen_route
from flanneld_py.lease.model import LeaseAttrs, decode
from flanneld_py.lease.validation import LeaseRules
from flanneld_py.registry import (
    LeaseAdded,
    LeaseChanges,
    LeaseRemoved,
    LeaseUnreadable,
    Snapshot,
    WatchMessage,
)
from flanneld_py.registry.access import NO_CREDENTIALS
from flanneld_py.registry.etcd import EtcdRegistry
from flanneld_py.registry.lease_keys import LeaseReader
from flanneld_py.runtime.log import GlogFormatter, JsonFormatter
from flanneld_py.subnet import Subnet, key, parse_key
from tests.effort import examples
from tests.flanneld_py.fake_etcd import FakeEtcd
from tests.flanneld_py.made import addresses, config, held, pool4, subnet

NETWORK = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))
MEGABYTE = 1 << 20
LARGE = 3 * MEGABYTE // 20
"""Bytes: a tenth of the largest value in etcd (its --max-request-bytes)."""


def mutations(originals: list[bytes], longest: int = 200) -> st.SearchStrategy[bytes]:
    """Real data with bytes replaced, cut out or put in; or anything."""
    edit = st.tuples(st.integers(0, longest), st.integers(0, 4), st.binary(max_size=4))

    def altered(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        for at, length, instead in edits:
            data = data[:at] + instead + data[at + length :]
        return data

    real = st.builds(altered, st.sampled_from(originals), st.lists(edit, max_size=4))
    return real | st.binary(max_size=longest)


def peak(action: Callable[[], object]) -> int:
    """Bytes that an action takes beyond what there was, at most."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Keys and values

VALUES = [
    b'{"PublicIP":"192.168.50.11","PublicIPv6":null}',
    b'{"PublicIP":"192.168.50.11","PublicIPv6":"fd00::1","BackendType":"vxlan",'
    b'"BackendData":{"VNI":1,"VtepMAC":"52:08:00:00:00:01"},"BackendV6Data":{"VNI":1,"VtepMAC":"52:08:00:00:00:02"}}',
    b'{"PublicIP":"192.168.50.11","BackendType":"wireguard","BackendData":{"PublicKey":"AAAA"}}',
]
NAMES = [b"10.2.35.0-24", b"10.5.4.0-24&2001:cafe:42:16::-64", b"0.0.0.0-0&2001:cafe:42:16::-64"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["0.0.0.0", "::", "fe80::%1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["PublicIP", "publicip", "PublicIPv6", "BackendType", "backendtype", "BackendData", "BackendV6Data"]
)
ANY_VALUE = mutations(VALUES) | st.dictionaries(FIELDS, JSON).map(lambda value: json.dumps(value).encode())


def reading(data: bytes) -> LeaseAttrs | str:
    """The lease, or what is wrong with it."""
    try:
        return decode(data)
    except ValueError as error:
        return str(error)


@examples(25)
@given(ANY_VALUE)
@example(b'{"PublicIP":"192.168.50.11","BackendData":' + b"[" * 500 + b"]" * 500 + b"}")
@example(b'{"PublicIP":"192.168.50.11","BackendData":1' + b"0" * 5000 + b"}")
@example(b'{"PublicIP":"192.168.50.11","BackendType":"\\ud800"}')
@example('{"PublicIP":"192.168.50.11"}'.encode("utf-16"))
def test_any_value_is_a_lease_or_a_short_reason(data: bytes) -> None:
    attrs = reading(data)
    if isinstance(attrs, str):
        assert len(attrs) < 400
        return
    assert attrs == decode(data) or "NaN" in data.decode(errors="replace")
    assert attrs.public.ipv4 or attrs.public.ipv6


@examples(25)
@given(mutations(NAMES, 60).map(lambda name: name.decode(errors="backslashreplace")))
def test_any_key_is_that_of_a_subnet_or_of_none(name: str) -> None:
    found = parse_key(name)
    if found is not None:
        assert found.networks
        assert parse_key(key(found)) == found


ENTRIES = st.lists(
    st.tuples(
        mutations(NAMES, 60), ANY_VALUE, st.integers(1, 1 << 62), st.booleans(), st.integers(1, 1 << 62)
    ),
    max_size=5,
)


@given(ENTRIES)
def test_any_keys_and_values_are_a_snapshot_and_each_warning_one_short_line(entries) -> None:
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(GlogFormatter())
    logger = logging.getLogger("flanneld_py.registry.lease_keys")
    logger.addHandler(handler)
    try:
        reader = LeaseReader("/coreos.com/network/subnets/")
        named = [(name.decode(errors="backslashreplace"), *rest) for name, *rest in entries]
        snapshot = reader.snapshot(named, 7)
        for name, *_ in named:
            reader.deleted(name, 8)
    finally:
        logger.removeHandler(handler)
    assert len(snapshot.leases) + len(snapshot.spoiled) <= len(entries)
    lines = said.getvalue().splitlines()
    assert len(lines) <= len(entries)
    assert all(" Ignoring the key /coreos.com/network/subnets/" in line for line in lines)
    PeerView(LeaseRules(NETWORK, public=addresses("192.168.50.11"))).reset(snapshot)


@pytest.mark.parametrize(
    "value",
    [
        b"[" * LARGE,
        b'{"PublicIP":"192.168.50.11","BackendData":' + b"[" * (LARGE // 2) + b"]" * (LARGE // 2) + b"}",
        b'{"PublicIP":"192.168.50.11","BackendData":[' + b"[]," * (LARGE // 3) + b"[]]}",
        b'{"PublicIP":"' + b"1" * LARGE + b'"}',
        b'{"PublicIP":' + b"1" * LARGE + b"}",
        b"\xff" * LARGE,
    ],
    ids=["open", "deep", "broad", "string", "number", "no text"],
)
def test_a_large_value_takes_no_more_than_so_many_times_its_own_memory(value: bytes) -> None:
    def read() -> None:
        with suppress(ValueError):
            decode(value)

    # 50,000 empty lists of 56 bytes and the list of them; encodings of Python's own choice.
    assert peak(read) < 8 * MEGABYTE


def test_a_key_of_a_megabyte_is_a_short_warning_and_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    reader = LeaseReader("/")
    reader.written("x" * MEGABYTE, b"{}", 1)
    assert len(caplog.text) < 1000
    tracemalloc.start()
    for number in range(50):
        reader.written(f"{number}" * (MEGABYTE // 2), b"{}", 1)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2 * MEGABYTE


# The view of all leases

SUBNETS = st.sampled_from([subnet(f"10.2.{number}.0/24") for number in range(3)] + [subnet("10.2.0.0/23")])
ALIASES = st.sampled_from(["", "10.2.1.7-24"])
CHANGES = st.lists(
    st.builds(
        lambda of, address, name: LeaseAdded(held(str(of), address, 1, name)),
        SUBNETS,
        st.sampled_from([f"192.168.50.{number}" for number in (11, 12, 13)]),
        ALIASES,
    )
    | st.builds(LeaseRemoved, SUBNETS, st.just(1), ALIASES)
    | st.builds(LeaseUnreadable, SUBNETS, st.just(1), ALIASES),
    max_size=30,
)


@examples(20)
@given(CHANGES)
def test_after_any_changes_the_view_is_that_of_a_list_of_what_there_is(changes) -> None:
    ours = addresses("192.168.50.11")
    followed, listed = PeerView(LeaseRules(NETWORK, public=ours)), PeerView(LeaseRules(NETWORK, public=ours))
    there: dict[tuple[Subnet, str], LeaseAdded] = {}
    for change in changes:
        followed.apply([change])
        of, name = (
            (change.held.lease.subnet, change.held.name)
            if isinstance(change, LeaseAdded)
            else (change.subnet, change.name)
        )
        there.pop((of, name), None)
        if isinstance(change, LeaseAdded):
            there[of, name] = change
    listed.reset(Snapshot(tuple(put.held for put in there.values()), 9))
    assert followed.peers == listed.peers
    assert not any(lease.attrs.public == ours for lease in followed.peers.values())


def test_leases_that_come_and_go_for_ever_leave_nothing_behind() -> None:
    view = PeerView(LeaseRules(NETWORK, public=addresses("192.168.50.11")))

    def churn(first: int, count: int) -> None:
        for number in range(first, first + count):
            of = Subnet(IPv4Network(((10 << 24) + (2 << 16) + (number % 200 << 8), 24)))
            view.apply([LeaseAdded(held(str(of), f"192.168.{number % 100}.12"))])
            view.apply([LeaseAdded(held("10.3.0.0/24", f"192.168.{number % 100}.12"))])
            view.apply([LeaseAdded(held("10.2.250.0/24", f"192.168.{number % 100}.12"))])
            view.apply([LeaseRemoved(subnet("10.3.0.0/24"), 2), LeaseRemoved(subnet("10.2.250.0/24"), 2)])
            view.newly_refused()
            view.apply([LeaseRemoved(of, 2)])

    churn(1, 20)
    tracemalloc.start()
    churn(1000, 100)
    gc.collect()  # also what Python keeps of tuples, to use it again
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert view.peers == {}
    assert kept < MEGABYTE // 128


# Log lines


@given(st.text())
@example("type=vxlan\nE1123 10:00:00.000000 00001 daemon.py:1] Lease lost")
@example("\ud800\x1b[2J\r\u2028")
def test_what_others_wrote_cannot_begin_a_line_of_our_log(text: str) -> None:
    record = logging.LogRecord("flanneld_py", logging.WARNING, "x.py", 1, "Ignoring %s", (text,), None)
    for formatter in (GlogFormatter(), JsonFormatter()):
        line = formatter.format(record)
        assert len(line.splitlines()) == 1
        assert line.isprintable()
        line.encode()


# Packets


def packet(protocol: int, payload: bytes, options: bytes = b"", destination: str = "10.2.52.2") -> bytes:
    """RFC 791."""
    length = 20 + len(options)
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | length // 4, 0, length + len(payload), 7, 0x4000, 64, protocol, 0,
        IPv4Address("10.2.35.2").packed, IPv4Address(destination).packed,
    ) + options  # fmt: skip
    return header[:10] + checksum(header).to_bytes(2) + header[12:] + payload


PACKETS = [
    packet(17, bytes.fromhex("9c40 0035 0010 0000") + b"question"),
    packet(6, bytes.fromhex("9c400cea 00000001 00000000 5002 ffff 0000 0000")),
    packet(1, bytes.fromhex("0800 f7fd 0001 0001")),
    packet(1, bytes.fromhex("0301 0000 00000000") + bytes(28), destination="10.2.99.2"),
    packet(17, bytes(8), options=bytes.fromhex("94040000 83070400 00000000 00000000")),
    packet(17, bytes(8), destination="10.2.99.2"),
    packet(17, bytes(8), destination="10.2.255.255"),
]
MINION02 = Peer(("192.0.2.12", 8285), 68)
TABLE = ForwardTable.of({IPv4Network("10.2.52.0/24"): MINION02}, IPv4Network("10.2.0.0/16"))
MANDATE = Mandate(IPv4Address("10.2.35.0"), IPv4Network("10.2.35.0/24"), TABLE, until=100.0)
NOWHERE = replace(MANDATE, table=ForwardTable())
UNCHECKED = replace(MANDATE, check_source=False)


def is_right(data: bytes | bytearray) -> bool:
    """Whether the header's checksum is right (RFC 1071)."""
    return checksum(bytes(data[: (data[0] & 15) * 4])) == 0


@examples(50)
@given(mutations(PACKETS, 90))
def test_any_packet_is_forwarded_whole_answered_shortly_or_dropped(data: bytes) -> None:
    original = bytes(data)
    for verdict in (route(data, MANDATE), admit(data, MINION02.node, UNCHECKED)):
        match verdict:
            case Peer() | None:
                changed = decrement_ttl(data)
                assert len(changed) == len(data)
                assert changed[8] == data[8] - 1
                assert changed[:8] + changed[9:10] + changed[12:] == data[:8] + data[9:10] + data[12:]
                assert is_right(changed) == is_right(data)
            case Split(peer):
                for piece in fragments(decrement_ttl(data), peer.mtu):
                    assert 20 < len(piece) <= peer.mtu
                    assert is_right(piece)
            case Reply(answer, reason):
                assert reason
                is_answer_to(data, answer)
            case Drop(reason):
                assert reason
    if admit(data, MINION02.node, UNCHECKED) is None:
        told = narrowed(data, 1400, MANDATE)
        if told is not None:
            is_answer_to(data, told)
    assert data == original


def is_answer_to(data: bytes, answer: bytes) -> None:
    # RFC 792: our header, ICMP's, theirs (60 bytes at most) and 8 bytes.
    assert len(answer) <= 20 + 8 + 60 + 8
    assert is_right(answer)
    assert answer[16:20] == data[12:16]
    assert checksum(answer[20:]) == 0


def test_an_error_is_never_answered_with_an_error() -> None:
    """RFC 1122, 3.2.2: two machines would go on for ever."""
    first = route(PACKETS[5], NOWHERE)
    assert isinstance(first, Reply)
    assert isinstance(route(first.packet, NOWHERE), Drop)


# What a kernel answers

ROUTE = encode(PutEntry(Route(IPv4Network("10.2.52.0/24"), 3, gateway=IPv4Address("10.2.52.0"), onlink=True)))
DUMPED = [
    ROUTE.payload,
    encode(PutEntry(Route(IPv4Network("10.2.52.0/24"), 3))).payload,
    dump_addresses(2).payload + attribute(1, bytes([10, 2, 3, 4])) + attribute(2, bytes([10, 2, 3, 4])),
    bytes(16)
    + attribute(3, b"eth0\0")
    + attribute(18, attribute(1, b"vxlan\0") + attribute(2, attribute(1, b"\1\0\0\0"))),
    bytes.fromhex("07000000 07000000 8000 1200")
    + attribute(2, bytes(6))
    + attribute(1, bytes([192, 0, 2, 1])),
]


@examples(50)
@given(mutations(DUMPED, 120), st.sampled_from([seen_route, seen_neighbour, held_address, device]))
def test_any_bytes_in_a_dump_are_an_entry_none_or_a_value_error(data: bytes, read) -> None:
    with suppress(ValueError):
        read(data, 0, len(data))


@given(mutations([ROUTE.frame(1), ROUTE.frame(1) * 3], 200))
def test_any_datagram_is_taken_apart_in_steps_of_a_header_at_least(data: bytes) -> None:
    seen = 0
    with suppress(ValueError):
        for message in messages(data):
            seen += 1
            assert 16 <= message.start <= message.end <= len(data)
    assert seen <= len(data) // 16


# etcd v3, over gRPC


@pytest.fixture
def etcd() -> Iterator[FakeEtcd]:
    made = FakeEtcd()
    yield made
    made.stop()


@settings(examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ENTRIES)
def test_whatever_etcd_holds_is_listed_and_watched(etcd, entries) -> None:
    folder = "/coreos.com/network/subnets/"
    registry = EtcdRegistry([etcd.endpoint], "/coreos.com/network", NO_CREDENTIALS)
    told: queue.SimpleQueue[WatchMessage] = queue.SimpleQueue()
    try:
        revision = registry.snapshot().revision
        registry.watch(revision, told.put)
        for name, value, *_ in entries:
            etcd.put(folder + name.decode(errors="backslashreplace"), value)
        etcd.put(folder + "10.2.200.0-24", VALUES[0])
        assert "10.2.200.0/24" in {str(item.lease.subnet) for item in registry.snapshot().leases}
        while True:
            message = told.get(timeout=30)
            assert isinstance(message, LeaseChanges)
            if any(
                isinstance(event, LeaseAdded) and str(event.held.lease.subnet) == "10.2.200.0/24"
                for event in message.events
            ):
                break
    finally:
        registry.close()
