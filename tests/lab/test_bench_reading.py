"""What the tools print, as they printed it (iperf 3.18, iputils 20240905, Linux 6.18), shortened."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bench.reading import (
    Cpu,
    Unreadable,
    checksum_errors,
    cpu_between,
    datagrams,
    lease,
    outage,
    quantile,
    round_trips,
    streams_equal,
    tcp,
    why_ended,
)

UDP = {
    "sum_sent": {"seconds": 1.000712, "bytes": 12799296, "packets": 199989, "lost_packets": 0},
    "sum_received": {"seconds": 1.000868, "bytes": 12753088, "packets": 199989, "lost_packets": 722},
}  # fmt: skip
TCP = {
    "sum_sent": {"seconds": 1.007275, "bytes": 2297954304, "bits_per_second": 18250859429.6},
    "sum_received": {"seconds": 1.007367, "bytes": 2293104640, "bits_per_second": 18210679047.5},
}


def test_what_counts_of_tcp_is_what_arrived():
    assert tcp(json.dumps({"end": TCP})) == (18210679047.5, 2293104640)


def test_datagrams_are_counted_by_those_that_arrived_and_lost_in_terms_of_those_sent():
    offered, received, lost = datagrams(json.dumps({"end": UDP}))
    assert offered == pytest.approx(199989 / 1.000712)
    assert received == pytest.approx((199989 - 722) / 1.000712)
    assert lost == pytest.approx(722 / 199989)


def test_datagrams_at_the_end_that_the_receiver_knows_nothing_of_are_lost_too():
    received = {**UDP["sum_received"], "packets": 100_000, "lost_packets": 0}
    _, _, lost = datagrams(json.dumps({"end": {**UDP, "sum_received": received}}))
    assert lost == pytest.approx(99_989 / 199_989)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"start": {}, "error": "unable to connect to server"}', "iperf3: unable to connect to server"),
        ("", "no JSON but: nothing"),
        ('{"end": {}}', "no end.sum_received"),
        (json.dumps({"end": {**TCP, "sum_received": {"bytes": 0, "bits_per_second": 0}}}), "nothing arrived"),
    ],
)
def test_a_failed_measurement_is_told_and_is_no_value(text, words):
    with pytest.raises(Unreadable, match=words):
        tcp(text)


def test_the_first_replies_warm_up_and_do_not_count():
    head = "PING 192.168.9.1 (192.168.9.1) 56(84) bytes of data.\n"
    lines = [
        f"64 bytes from 192.168.9.1: icmp_seq={number} ttl=64 time=0.0{number} ms" for number in range(10, 30)
    ]
    assert round_trips(head + "\n".join(lines)) == pytest.approx(range(20, 30))
    with pytest.raises(Unreadable, match="0 replies: PING"):
        round_trips(head)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.99, 1]))
def test_a_quantile_is_the_least_value_that_such_a_share_does_not_exceed(values, share):
    found = quantile(values, share)
    assert found in values
    assert sum(item <= found for item in values) >= share * len(values)
    assert sum(item < found for item in values) < share * len(values)


def test_processor_time_is_of_all_threads_and_leaves_out_what_was_idle_or_stolen():
    # proc_stat(5): user nice system idle iowait irq softirq steal.
    # proc_pid_stat(5): the 14th and 15th fields are utime and stime.
    before = {
        "machine": "cpu  100 10 200 5000 60 7 30 900 0 0",
        "42": "42 (a b) c) S 1 1 1 0 -1 0 0 0 0 0 50 25 0 0",
    }
    after = {
        "machine": "cpu  150 10 300 6000 99 8 79 999 0 0",
        "42": "42 (a b) c) S 1 1 1 0 -1 0 0 0 0 0 80 45 0 0",
    }
    assert cpu_between(before, after) == Cpu(daemons=0.5, machine=2.0)


def test_wrong_checksums_are_found_by_the_columns_name():
    snmp = """\
Icmp: InMsgs InErrors InCsumErrors InDestUnreachs
Icmp: 10 0 1 0
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn OutRsts InCsumErrors
Tcp: 1 200 120000 -1 1 2
Udp: InDatagrams NoPorts InErrors InCsumErrors IgnoredMulti
Udp: 199268 0 722 3 0
"""
    assert checksum_errors(snmp) == {"Icmp InCsumErrors": 1, "Tcp InCsumErrors": 2, "Udp InCsumErrors": 3}


def test_a_lease_is_read_from_the_file_that_flanneld_writes():
    text = (
        "FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET=10.2.35.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
    )
    subnet, mtu = lease(text)
    assert (str(subnet), mtu) == ("10.2.35.0/24", 1472)
    with pytest.raises(Unreadable):
        lease("FLANNEL_NETWORK=10.2.0.0/16\n")


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "I1123 10:28:14.883775 27240 main.go:275] Installing signal handlers\n"
            "E1123 10:28:14.884129 27240 main.go:169] Error looking up interface nope: no such interface\n"
            "I1123 10:28:16.874835 27240 main.go:292] Exiting...\n",
            "Error looking up interface nope: no such interface",
        ),
        ("flag provided but not defined: -no-such-flag\n", "flag provided but not defined: -no-such-flag"),
        ("", "it ended without a word"),
    ],
)
def test_why_a_daemon_ended_is_its_last_error_in_its_own_words(log, reason):
    assert why_ended(log) == reason


def test_an_outage_is_the_longest_time_without_a_reply_that_a_kill_can_have_caused():
    replies = [0.0, 0.3, 0.31, 0.32, 1.0, 1.01, 1.02]
    assert outage(replies, killed=0.325) == pytest.approx((0.68, 1.0))
    assert outage(replies, killed=2.0) == (0.0, 2.0)


def test_streams_are_equal_only_if_both_arrived_whole_and_as_they_were_sent():
    first = {"sent": "aa", "received": "bb", "bytes": 9}
    second = {"sent": "bb", "received": "aa", "bytes": 9}

    def equal(**changed: object) -> bool:
        return streams_equal(json.dumps({**first, **changed}), "listening\n" + json.dumps(second), 9)

    assert equal()
    assert not equal(sent="ab")
    assert not equal(received="ab")
    assert not equal(bytes=8)
    with pytest.raises(Unreadable):
        streams_equal("", "listening\n", 9)
