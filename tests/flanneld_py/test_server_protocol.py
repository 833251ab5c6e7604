"""Requests and answers of the client/server protocol. Expected texts are v0.5.5's, but for `Asof`."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flanneld_py.backend.catalog import parse_config
from flanneld_py.config.reader import ConfigError
from flanneld_py.lease.model import LeaseAttrs
from flanneld_py.registry import LeaseAdded, LeaseRemoved, LeaseUnreadable
from flanneld_py.registry.remote import protocol
from flanneld_py.registry.remote.messages import acquire_text, read_lease, read_watch, renew_text
from flanneld_py.server import messages
from flanneld_py.server.messages import (
    AcquireRequest,
    ConfigRequest,
    ListRequest,
    RenewRequest,
    RequestRefused,
    WatchRequest,
    config_text,
    lease_text,
    read_request,
    watch_text,
)
from tests.flanneld_py.made import addresses, attrs, held, subnet

TOMORROW = datetime(2026, 11, 24, 1, 48, 43, tzinfo=UTC)
LEASE = (
    b'{"Subnet":"10.1.67.0/24","Attrs":{"PublicIP":"192.168.50.11"},'
    b'"Expiration":"2026-11-24T01:48:43Z","Asof":137}'
)


def refusal(method: str, target: str, body: bytes = b"") -> messages.Response:
    with pytest.raises(RequestRefused) as caught:
        read_request(method, target, body)
    return caught.value.answer


# Requests


def test_a_network_is_named_in_the_path_and_the_only_one_is_called_by_an_underscore():
    assert read_request("GET", "/v1/_/config", b"") == ConfigRequest("")
    assert read_request("GET", "/v1/blue/config", b"") == ConfigRequest("blue")
    assert read_request("GET", "/v1/sky%20blue/leases", b"") == ListRequest("sky blue")


def test_leases_are_listed_or_followed_from_a_cursor_on():
    assert read_request("GET", "/v1/_/leases", b"") == ListRequest("")
    assert read_request("GET", "/v1/_/leases?next=137", b"") == WatchRequest("", 137)
    assert read_request("GET", "/v1/_/leases?epoch=a.1&next=137", b"") == WatchRequest("", 137, "a.1")


def test_a_lease_is_asked_for_with_or_without_a_slash():
    wanted = AcquireRequest("", attrs("192.168.50.11"), None)
    for target in ("/v1/_/leases", "/v1/_/leases/"):
        assert read_request("POST", target, b'{"PublicIP":"192.168.50.11"}') == wanted


def test_a_node_of_ours_says_which_subnet_it_had():
    said = LeaseAttrs(addresses("192.168.50.11", "fd00::11"), "vxlan", {"VtepMAC": "8e:1e:31:c7:4b:37"})
    before = subnet("10.1.67.0/24", "2001:cafe:42:16::/64")
    assert read_request("POST", "/v1/_/leases", acquire_text(said, before)) == AcquireRequest(
        "", said, before
    )
    assert read_request("POST", "/v1/_/leases", acquire_text(said, None)) == AcquireRequest("", said, None)


def test_a_lease_is_renewed_as_v055_asks_for_it():
    wanted = RenewRequest("", subnet("10.1.67.0/24"), attrs("192.168.50.11"))
    assert read_request("PUT", "/v1/_/leases/10.1.67.0-24", LEASE) == wanted


def test_a_lease_is_renewed_as_ours_asks_for_it():
    ours, new = held("10.1.67.0/24", "192.168.50.11", 137), LeaseAttrs(addresses("192.168.50.11"), "host-gw")
    request = read_request("PUT", "/v1/_/leases/10.1.67.0-24", renew_text(ours, new))
    assert request == RenewRequest("", ours.lease.subnet, new)


def test_a_path_and_a_body_that_name_different_leases_are_refused():
    assert refusal("PUT", "/v1/_/leases/10.1.68.0-24", LEASE).status == 400


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v2/_/config"),
        ("GET", "/v1/_/configuration"),
        ("DELETE", "/v1/_/leases/10.1.67.0-24"),
        ("PUT", "/v1/_/leases"),
        ("POST", "/v1/_/config"),
        # What would be a key elsewhere.
        ("GET", "/v1//config"),
        ("GET", "/v1/../config"),
        ("GET", "/v1/%2e%2e/config"),
        ("GET", "/v1/a%2Fb/config"),
        ("GET", "/v1/a%00b/config"),
        ("GET", f"/v1/{'a' * 256}/config"),
    ],
)
def test_what_is_not_in_the_protocol_is_not_found(method, target):
    assert refusal(method, target) == messages.Response(
        404, "text/plain; charset=utf-8", b"404 page not found\n"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"[]",
        b"{}",
        b'{"PublicIP":"nowhere"}',
        b'{"PublicIP":"192.168.50.11","BackendData":1e999}',
        b'{"PublicIP":"192.168.50.11","BackendType":"\\ud800"}',
        b"[" * 100_000,
        b'{"Subnet":"10.1.67.0/24","Attrs":' + b"[" * 900 + b"]" * 900 + b"}",
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_no_lease_is_a_json_decoding_error(body):
    answer = refusal("POST", "/v1/_/leases", body)
    assert answer.status == 400
    assert answer.body.startswith(b"JSON decoding error: ")
    assert refusal("PUT", "/v1/_/leases/10.1.67.0-24", body).status == 400


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "٣", "9" * 40, "0x10"])
def test_a_cursor_that_nobody_gave_out_is_refused_in_v055s_words(cursor):
    answer = refusal("GET", f"/v1/_/leases?next={cursor}")
    assert answer.status == 500
    assert answer.body.startswith(b"failed to parse cursor: ")


TARGETS = st.text() | st.builds(
    "/v1/{}/{}".format,
    st.text(),
    st.sampled_from(["config", "leases", "leases/10.1.67.0-24", "leases?next=137"]) | st.text(),
)
BODIES = st.binary() | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["PublicIP", "Subnet", "IPv6Subnet", "Attrs", "PreviousSubnet", "BackendData"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", ""]), TARGETS, BODIES)
@example("GET", "/v1/_/leases?next=1;next=2&" + "a&" * 100, b"")
def test_whatever_a_client_sends_is_a_request_or_refused(method, target, body):
    try:
        request = read_request(method, target, body)
    except RequestRefused as error:
        network, status = "", error.answer.status
    else:
        network, status = request.network, 200
    assert status in (200, 400, 404, 500)
    assert "/" not in network


# Answers


def test_the_configuration_has_the_defaults_that_were_left_out():
    given = b'{ "Network": "10.1.0.0/16", "Backend": {"Type": "host-gw"} }'
    assert config_text(given) == (
        b'{"Network":"10.1.0.0/16","SubnetMin":"10.1.1.0","SubnetMax":"10.1.255.0","SubnetLen":24,'
        b'"Backend":{"Type":"host-gw"}}\n'
    )


@pytest.mark.parametrize(
    "given",
    [
        b'{"Network":"10.2.0.0/16"}',
        b'{"network":"10.2.0.0/16","SubnetLen":28,"subnetmin":"10.2.7.0","Backend":{"type":"vxlan","VNI":3}}',
        b'{"Network":"10.2.0.0/16","EnableIPv6":true,"IPv6Network":"2001:cafe:42::/48","EnableNFTables":true,'
        b'"Backend":{"Type":"vxlan"}}',
        b'{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"2001:cafe:42::/48","Backend":{"Type":"host-gw"}}',
    ],
)
def test_a_client_reads_the_configuration_as_the_server_does(given):
    assert parse_config(config_text(given)) == parse_config(given)


def test_a_configuration_that_json_cannot_pass_on_is_an_error():
    with pytest.raises(ConfigError):
        config_text(b'{"Network":"10.2.0.0/16","Backend":{"Type":"udp","Weight":1e999}}')


def test_a_lease_is_v055s_with_its_revision():
    assert lease_text(held("10.1.67.0/24", "192.168.50.11", 137), TOMORROW) == LEASE + b"\n"


def test_a_reservation_that_is_renewed_has_an_end_lest_v055_renews_it_for_ever():
    reserved = replace(held("10.1.67.0/24", "192.168.50.11", 137), permanent=True)
    assert lease_text(reserved, TOMORROW) == LEASE + b"\n"


def test_a_list_is_v055s():
    told = protocol.WatchResult(137, (held("10.1.67.0/24", "192.168.50.11", 137),))
    assert watch_text(told, TOMORROW) == (b'{"events":null,"snapshot":[' + LEASE + b'],"cursor":"137"}\n')
    assert watch_text(protocol.WatchResult(9, (), epoch="a.1"), TOMORROW) == (
        b'{"events":null,"snapshot":[],"cursor":"9","epoch":"a.1"}\n'
    )
    assert (
        watch_text(protocol.WatchResult(9, ()), TOMORROW) == b'{"events":null,"snapshot":[],"cursor":"9"}\n'
    )


def test_events_are_v055s():
    added = protocol.WatchResult(138, None, (LeaseAdded(held("10.1.67.0/24", "192.168.50.11", 137)),))
    assert watch_text(added, TOMORROW) == (
        b'{"events":[{"type":"added","lease":' + LEASE + b'}],"snapshot":null,"cursor":"138"}\n'
    )
    removed = protocol.WatchResult(139, None, (LeaseRemoved(subnet("10.1.67.0/24"), 139),))
    assert watch_text(removed, TOMORROW) == (
        b'{"events":[{"type":"removed","lease":{"Subnet":"10.1.67.0/24","Attrs":null,'
        b'"Expiration":"0001-01-01T00:00:00Z","Asof":139}}],"snapshot":null,"cursor":"139"}\n'
    )


def test_a_lease_that_says_nothing_readable_any_more_is_told_of_as_removed():
    told = protocol.WatchResult(139, None, (LeaseUnreadable(subnet("10.1.67.0/24"), 139),))
    assert read(told).events == (LeaseRemoved(subnet("10.1.67.0/24"), 139),)


def test_a_lease_that_json_cannot_pass_on_is_told_of_as_if_it_were_not_there():
    huge = held("10.1.67.0/24", "192.168.50.11", 137)
    huge = replace(
        huge, lease=replace(huge.lease, attrs=replace(huge.lease.attrs, backend_data=float("inf")))
    )
    assert read(protocol.WatchResult(137, (huge,))).snapshot == ()
    assert read(protocol.WatchResult(137, None, (LeaseAdded(huge),))).events == (
        LeaseRemoved(subnet("10.1.67.0/24"), 137),
    )


# What a client reads


def read(told: protocol.WatchResult) -> protocol.WatchResult:
    return read_watch(watch_text(told, TOMORROW), pytest.fail)


def test_a_client_of_ours_knows_what_the_server_knows():
    both = held("10.1.67.0/24", "192.168.50.11", 137)
    both = replace(
        both, lease=replace(both.lease, subnet=subnet("10.1.67.0/24", "2001:cafe:42:16::/64")), permanent=True
    )
    unaligned = held("10.1.5.0/24", "192.168.50.12", 9, name="10.1.5.7-24")
    told = protocol.WatchResult(137, (both, unaligned))
    assert read(told) == told
    events = protocol.WatchResult(
        140,
        None,
        (LeaseAdded(both), LeaseAdded(unaligned), LeaseRemoved(subnet("10.1.5.0/24"), 139, "10.1.5.7-24")),
    )
    assert read(events) == events
    assert read_lease(lease_text(both, TOMORROW)) == replace(both, permanent=False)


# As v0.5.5's server answers; taken from the real one.
GENUINE_LIST = (
    b'{"events":null,"snapshot":[{"Subnet":"10.2.33.0/24","Attrs":{"PublicIP":"192.168.50.11"},'
    b'"Expiration":"2026-11-24T09:14:16.200679459Z"},{"Subnet":"10.2.46.0/24","Attrs":'
    b'{"PublicIP":"192.168.50.12"},"Expiration":"2026-11-24T09:14:18.47753239Z"}],"cursor":"6"}\n'
)


def test_where_no_revisions_are_told_the_cursor_stands_for_them():
    assert read_watch(GENUINE_LIST, pytest.fail) == protocol.WatchResult(
        6, (held("10.2.33.0/24", "192.168.50.11", 6), held("10.2.46.0/24", "192.168.50.12", 6))
    )


def test_where_no_revisions_are_told_the_last_event_of_a_subnet_counts():
    # Else what happened to it at the cursor's revision would be older than what happened at that very one.
    body = (
        b'{"events":[{"type":"added","lease":{"Subnet":"10.2.33.0/24","Attrs":{"PublicIP":"192.168.50.11"}}},'
        b'{"type":"removed","lease":{"Subnet":"10.2.33.0/24","Attrs":null}}],"snapshot":null,"cursor":"7"}'
    )
    assert read_watch(body, pytest.fail) == protocol.WatchResult(
        7, None, (LeaseRemoved(subnet("10.2.33.0/24"), 7),)
    )


def test_what_is_no_lease_in_an_answer_is_skipped_with_a_word():
    skipped: list[str] = []
    body = b'{"snapshot":[{"Subnet":"junk"},3,{"Subnet":"10.2.33.0/24","Attrs":null}],"cursor":"7"}'
    assert read_watch(body, skipped.append) == protocol.WatchResult(7, ())
    assert len(skipped) == 3


MEMBERS = st.sampled_from(["events", "snapshot", "cursor"])


@given(
    st.binary() | BODIES | st.dictionaries(MEMBERS, st.text()).map(lambda value: json.dumps(value).encode())
)
def test_whatever_a_server_answers_is_read_or_refused(body):
    for reader in (read_lease, lambda body: read_watch(body, lambda _: None)):
        try:
            reader(body)
        except ValueError:
            continue
