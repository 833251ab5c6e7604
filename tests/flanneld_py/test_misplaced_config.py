"""A configuration that stands under the other of etcd's APIs, which a server in this process speaks."""

import pytest

from flanneld_py.options import Options
from flanneld_py.registry import misplaced_config
from tests.flanneld_py.fake_etcd import FakeEtcd
from tests.flanneld_py.fake_etcd2 import FakeEtcd2

KEY = "/coreos.com/network/config"
TEXT = '{ "Network": "10.2.0.0/16" }'


@pytest.fixture
def v2():
    etcd = FakeEtcd2()
    yield etcd
    etcd.stop()


@pytest.fixture
def v3():
    etcd = FakeEtcd()
    yield etcd
    etcd.stop()


def test_of_one_in_the_v2_api_it_names_the_option_and_the_line_that_copies_it(v2):
    v2.write(KEY, TEXT)
    told = misplaced_config.advice(Options(etcd_endpoints=(v2.endpoint,), etcd_api="v3"))
    assert "start flanneld with -etcd-api=v2" in told
    assert f"ETCDCTL_API=2 etcdctl get {KEY} | ETCDCTL_API=3 etcdctl put {KEY}" in told


def test_of_one_in_the_v3_api_likewise(v3):
    v3.put(KEY, TEXT.encode())
    told = misplaced_config.advice(Options(etcd_endpoints=(v3.endpoint,), etcd_api="v2"))
    assert "start flanneld with -etcd-api=v3" in told
    assert f"ETCDCTL_API=3 etcdctl get --print-value-only {KEY} | ETCDCTL_API=2 etcdctl set {KEY}" in told


def test_it_is_looked_for_under_the_network_s_own_key(v2):
    v2.write("/coreos.com/network/blue/config", TEXT)
    options = Options(etcd_endpoints=(v2.endpoint,), networks=("blue", "green"))
    assert "/coreos.com/network/blue/config" in misplaced_config.advice(options, "blue")
    assert misplaced_config.advice(options, "green") == ""


def test_of_one_behind_the_slash_that_the_prefix_lacks_it_names_the_prefix(v3):
    v3.put(KEY, TEXT.encode())
    told = misplaced_config.advice(Options(etcd_endpoints=(v3.endpoint,), etcd_prefix="coreos.com/network"))
    assert told == f"it is at {KEY}: start flanneld with -etcd-prefix=/coreos.com/network"


def test_where_it_is_not_there_either_nothing_is_said(v2):
    assert misplaced_config.advice(Options(etcd_endpoints=(v2.endpoint,))) == ""


def test_an_etcd_without_the_other_api_is_no_trouble(v2):
    v2.write(KEY, TEXT)
    v2.enabled = False
    assert misplaced_config.advice(Options(etcd_endpoints=(v2.endpoint,))) == ""
