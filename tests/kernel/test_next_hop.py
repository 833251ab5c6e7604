"""Where the fast path sends to: what the kernel knows of routes and neighbours, also when that changes.

In a burst only the first packet asks the kernel, so a burst follows each change.
"""

from tests.kernel.fast_path import NEEDED, pair
from tests.kernel.faults import Node
from tests.kernel.harness import Host, Process, Sandbox

pytestmark = NEEDED

BURST = 40


def address(of: Node) -> str:
    """Its docker0's, within the overlay."""
    return f"{of.host.subnet}.1"


def hear(at: Node) -> Process:
    hearer = at.host.start("hear_marked", address(at))
    hearer.says("listening")
    return hearer


def say(here: Node, there: Node, mark: int = 0) -> None:
    here.host.run_python("say_marked", address(there), str(BURST), str(mark))


def test_a_neighbour_that_has_another_card_is_sent_to_at_that_one(sandbox):
    here, there = pair(sandbox)
    hearer = hear(there)
    say(here, there)
    hearer.says(f"{{'plain': {BURST}}}")
    card = "02:00:00:00:08:28"
    there.host.run("ip", "link", "set", "eth0", "address", card)
    # As an announcement of the neighbour's does (RFC 5227, section 3), but at a known time.
    here.host.run(
        "ip", "neighbour", "replace", there.host.address, "lladdr", card, "dev", "eth0", "nud", "stale"
    )
    say(here, there)
    hearer.says(f"{{'plain': {2 * BURST}}}")


def test_nothing_is_lost_while_a_neighbour_is_looked_for(sandbox):
    here, there = pair(sandbox)
    hearer = hear(there)
    say(here, there)
    hearer.says(f"{{'plain': {BURST}}}")
    here.host.run("ip", "neighbour", "delete", there.host.address, "dev", "eth0")
    say(here, there)
    hearer.says(f"{{'plain': {2 * BURST}}}")


def detour(sandbox: Sandbox) -> Host:
    """A machine that hands packets on, and keeps to itself that there is a shorter way."""
    between = sandbox.host("c")
    for name in ("all", "eth0"):
        between.run("sysctl", "-qw", f"net.ipv4.conf.{name}.send_redirects=0")
    between.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    return between


def forwarded(by: Host) -> int:
    """Packets that it has handed on (RFC 4293, ipSystemStatsOutForwDatagrams)."""
    names, values = by.run("grep", "^Ip:", "/proc/net/snmp").text.splitlines()
    return int(dict(zip(names.split(), values.split(), strict=True))["ForwDatagrams"])


def test_a_route_by_another_machine_is_taken_at_once(sandbox):
    here, there = pair(sandbox)
    between = detour(sandbox)
    hearer = hear(there)
    say(here, there)
    hearer.says(f"{{'plain': {BURST}}}")
    assert forwarded(between) == 0
    here.host.run("ip", "route", "add", there.host.address, "via", between.address, "dev", "eth0")
    say(here, there)
    hearer.says(f"{{'plain': {2 * BURST}}}")
    assert forwarded(between) >= BURST


def test_a_mark_that_has_a_route_of_its_own_keeps_it(sandbox):
    here, there = pair(sandbox)
    between = detour(sandbox)
    here.host.run("ip", "rule", "add", "to", there.host.address, "fwmark", "7", "lookup", "100")
    here.host.run("ip", "route", "add", "default", "via", between.address, "dev", "eth0", "table", "100")
    hearer = hear(there)
    say(here, there, mark=7)
    half = BURST // 2
    hearer.says(f"'plain': {half}")
    hearer.says(f"'marked': {half}")
    assert forwarded(between) == half
