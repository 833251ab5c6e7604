"""Leases that run out, or that a wrong clock looks at: never do two machines act on one subnet."""

import re

import pytest

from tests.kernel.faults import EXPIRED, TTL, cut, full, ready
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX

pytestmark = pytest.mark.kernel


@pytest.mark.thorough
def test_a_clock_that_is_hours_off_neither_ends_a_lease_early_nor_gives_it_to_two(sandbox):
    here, there, heir = full(sandbox, "udp", skews=(7200, -7200))
    flow = Flow.begin(here.inside, there.inside.address)
    flow.lasts(TTL + 2)
    losses = flow.end()
    assert losses.lost == ()
    for node in (here, there):
        node.daemon.says("Lease renewed: ", times=2)
        assert "lost: " not in node.daemon.log
    assert "Subnet lease acquired" not in heir.log
    assert hours(here.daemon.log, heir.log) == 2
    assert hours(heir.log, there.daemon.log) == 2


def hours(later: str, earlier: str) -> int:
    """Hours from one log's beginning to another's, to the nearest, by the times of day that they tell."""
    first, second = (re.findall(r" (\d\d):(\d\d):", log)[0] for log in (later, earlier))
    minutes = 60 * (int(first[0]) - int(second[0])) + int(first[1]) - int(second[1])
    return round(minutes % (24 * 60) / 60)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["udp", "host-gw"])
def test_a_machine_cut_off_from_etcd_stops_before_another_may_have_its_subnet(sandbox, kind):
    here, there, heir = full(sandbox, kind)
    ready(here, there)
    lost = here.host.subnet
    flow = Flow.begin(here.inside, there.inside.address)
    with cut(here.host, outgoing=["ip daddr 192.168.50.1"]):
        here.says_ready("503", timeout=TTL)
        here.daemon.says(f"Lease of {lost}.0/24 lost: it could not be renewed in time")
        heir.says(f"Subnet lease acquired: {lost}.0/24", timeout=EXPIRED)
        assert moment(here.daemon.log, " lost: ") < moment(heir.log, "Subnet lease acquired")
        flow.stands_still()
    # Until the lease was lost, packets were carried.
    assert moment(here.daemon.log, "Error renewing lease") < flow.last().strftime(TIME_OF_DAY)
    here.daemon.says("Failed to acquire subnet: out of subnets")
    heir.signal("KILL")
    heir.ends(5)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{lost}.0-24")
    here.daemon.says(f"Subnet lease acquired: {lost}.0/24", times=2)
    flow.goes_on()
    ready(here, there)


TIME_OF_DAY = "%H:%M:%S.%f"  # as the log has it


def moment(log: str, words: str) -> str:
    """The `TIME_OF_DAY` of the log's first line with these words."""
    return next(line.split()[1] for line in log.splitlines() if words in line)
