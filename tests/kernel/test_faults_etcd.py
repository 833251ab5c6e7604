"""etcd is away, or hangs, or forgets everything, while packets flow.

Where each fault that a daemon must survive is shown; "lease" stands for test_faults_lease.py and so on:

etcd-stop, etcd-pause    here; test_survival and, of etcd v2, test_etcd_access
etcd-wipe                here; test_survival, with an etcd that begins anew
etcd-member-loss         test_etcd_access: a member of three that is killed, and one that hangs
etcd-bad-key, bad-value  test_survival, test_packets (over our own key), test_vxlan (of other backends)
lease-delete             test_survival, test_packets
lease-steal              daemon: a key that is written back and forth; test_survival, test_vxlan, test_packets
lease-expire             daemon: paused past its lease's end; lease: cut off past it
clock-skew               lease: two hours either way
partition                network: from etcd and from each other, both ways and one way
daemon-kill-9, restart   daemon
peer-replaced            daemon: a subnet that moves; test_vxlan (another MAC too), test_host_gw
peer-vanished            test_vxlan, test_host_gw, test_dual_stack; udp's table ends with its process
mtu-1400                 network: 10 MB; test_packets, test_vxlan
pmtu-blackhole           network: udp and vxlan; host-gw encapsulates nothing
loss, delay, reorder...  wire
spoofed datagram         test_source_check, in each way of the udp backend
forward-drop             test_packets, test_firewall
port-busy                test_start_and_end, test_vxlan
iface-down-up, address   network; test_host_gw, and of vxlan's address there too
subnet-exhaustion        daemon; test_two_daemons
thundering start         daemon: ten at once; fifty are a benchmark
"""

import pytest

from tests.kernel.faults import KINDS, configure, nodes, ready
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX

pytestmark = pytest.mark.kernel


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "signal"), [("udp", "TERM"), ("udp", "STOP"), ("vxlan", "STOP"), ("host-gw", "TERM")]
)
def test_while_etcd_is_away_no_packet_is_lost_and_readyz_says_degraded(sandbox, kind, signal):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    ready(here, there)
    flow = Flow.begin(here.inside, there.inside.address)
    leases = sandbox.leases()
    etcd = sandbox.etcd
    etcd.signal(signal)
    for node in (here, there):
        node.says_ready("200", "degraded: Watch subnets: etcd does not answer", timeout=15)
    # After some 5 s of attempts the next ones are as far apart as they ever will be.
    flow.lasts(6)
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
