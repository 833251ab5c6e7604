"""Our own lease, written by another's hand in our name: peers find us by it as before."""

import json

import pytest

from lab import wait
from tests.kernel.faults import configure, nodes
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, eventually

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("value", ['{{"PublicIP":"{address}"}}', "no JSON"], ids=["an address alone", "junk"])
def test_a_reservation_that_does_not_say_what_peers_need_is_completed_and_stays_one(sandbox, value):
    configure(sandbox, "vxlan")
    here, there = nodes(sandbox)
    name = f"{here.host.subnet}.0-24"
    before = sandbox.leases()[name]
    flow = Flow.begin(there.inside, here.inside.address)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{name}", value.format(address=here.host.address))

    def probe() -> bool | wait.NotYet:
        seen = sandbox.leases()[name]
        return seen == before or wait.NotYet(f"{seen}; log:\n{here.daemon.log}")

    eventually(probe, f"{name} to say what it said before")
    shown = json.loads(sandbox.etcdctl("get", "-w", "json", f"{PREFIX}/subnets/{name}"))
    lease = shown["kvs"][0].get("lease", 0)
    # A value that says nothing readable has not made a reservation of it.
    assert (lease == 0) == ("PublicIP" in value)
    here.daemon.says("was overwritten by another writer")
    flow.goes_on()
    assert " lost: " not in here.daemon.log
