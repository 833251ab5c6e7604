"""etcd is away, or hangs, or forgets everything, while packets flow."""

import pytest

from tests.kernel.faults import KINDS, configure, nodes, ready
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    ("kind", "signal"), [("udp", "TERM"), ("udp", "STOP"), ("vxlan", "TERM"), ("host-gw", "STOP")]
)
def test_while_etcd_is_away_no_packet_is_lost_and_readyz_says_degraded(sandbox, kind, signal):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    ready(here, there)
    flow = Flow.begin(here.inside, there.inside.address)
    leases = sandbox.leases()
    etcd = sandbox.etcd_process
    etcd.signal(signal)
    for node in (here, there):
        node.says_ready("200", "degraded: Watch subnets: etcd does not answer", timeout=15)
    # After some 5 s of attempts the next ones are as far apart as they ever will be.
    flow.lasts(8)
    if signal == "STOP":
        etcd.signal("CONT")
    else:
        etcd.ends(5)
        sandbox.start_etcd()
    ready(here, there, timeout=5)
    losses = flow.end()
    assert losses.lost == ()
    assert sandbox.leases() == leases
    assert "lost: " not in here.daemon.log + there.daemon.log


@pytest.mark.parametrize("kind", KINDS)
def test_an_etcd_that_was_wiped_gives_everybody_the_same_subnet_again(sandbox, kind):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    flow = Flow.begin(here.inside, there.inside.address)
    leases = sandbox.leases()
    sandbox.etcdctl("del", "--prefix", f"{PREFIX}/")
    configure(sandbox, kind)
    for node in (here, there):
        node.daemon.says("Subnet lease acquired", times=2, timeout=5)
    losses = flow.end()
    assert losses.gap < 5
    assert sandbox.leases() == leases
    ready(here, there)
