"""Stories of `lab trace` on a real lab: the hop that packets do not get past, and what to type."""

import json
from collections.abc import Iterator

import pytest

from lab import wait
from lab.cluster import Lab
from lab.trace.asked import Asked
from lab.trace.control import trace
from lab.trace.gather import asking
from lab.trace.marks import Marks
from lab.trace.model import Reason
from lab.trace.verdict import Trace
from tests.cluster.judging import wait_until_right
from tests.schemas import problems

pytestmark = pytest.mark.cluster

ONE, TWO = "centos-minion01", "centos-minion02"


@pytest.fixture(scope="module")
def _as_found(lab: Lab) -> Iterator[None]:
    yield
    wait_until_right(lab)


@pytest.fixture
def pods(lab: Lab, _as_found: None) -> tuple[str, str]:
    """One on the first minion, and one on the second."""
    on = {pod.node: pod.name for pod in Lab.get(lab.engine, lab.name).pods()}
    return on[ONE], on[TWO]


def traced(lab: Lab, *ends: str, **asked: object) -> Trace:
    return trace(Lab.get(lab.engine, lab.name), Asked(*ends, **asked))[2]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "asked", [{}, {"protocol": "tcp", "port": 3306}, {"size": 1000, "count": 5}], ids=["icmp", "tcp", "size"]
)
def test_of_a_lab_that_is_right_a_trace_finds_nothing_wrong(lab, pods, asked):
    for ends in (pods, (pods[1], pods[0]), (ONE, TWO), (ONE, pods[1])) if not asked else (pods,):
        found = traced(lab, *ends, **asked)
        assert (found.diagnoses, found.notes) == ((), ())
        assert found.ok
        seen = [gap for each in found.evidence for gap in each.gaps]
        assert all(gap.came and not gap.lost for gap in seen)


@pytest.mark.parametrize(
    ("fault", "target", "options", "reason", "place"),
    [
        ("forward-drop", TWO, {"everything": True}, Reason.FW_RULE, TWO),
        pytest.param("ip-forward-off", ONE, {}, Reason.NOT_FORWARDING, ONE, marks=pytest.mark.thorough),
        ("device-down", TWO, {"device": "docker0"}, Reason.LINK_DOWN, TWO),
        pytest.param("delay", ONE, {"time": "50ms"}, Reason.TRAFFIC_CONTROL, ONE, marks=pytest.mark.thorough),
        pytest.param(
            "mtu", TWO, {"device": "docker0", "to": "1400"}, Reason.MTU, TWO, marks=pytest.mark.thorough
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_hop_that_is_broken_is_named_first(lab, pods, fault, target, options, reason, place):
    with lab.fault(fault, target, **options):
        found = traced(lab, *pods)
    first = found.diagnoses[0]
    assert (first.fault.reason, first.place) == (reason, place)
    assert first.seen
    assert place in first.fault.fix
    assert not found.ok


def test_a_sender_whose_address_has_gone_is_named_though_it_cannot_send(lab):
    with lab.fault("address-change", ONE):
        found = traced(lab, ONE, TWO)
    assert (found.diagnoses[0].fault.reason, found.diagnoses[0].place) == (Reason.WRONG_ADDRESS, ONE)


def test_datagrams_that_are_taken_need_no_answer(lab):
    takes = "import signal, socket as s; a = s.socket(type=s.SOCK_DGRAM); a.bind(('', 7777)); signal.pause()"
    with lab.node(TWO).open(["python3", "-c", takes]):
        wait.until(
            lambda: traced(lab, ONE, TWO, protocol="udp", port=7777).ok or wait.NotYet("it is not"),
            what="the trace to be well",
            timeout=30,
        )


def test_a_machine_reaches_itself(lab):
    assert traced(lab, ONE, ONE).ok


def test_two_faults_are_both_named(lab, pods):
    with lab.fault("partition", ONE, TWO, one_way=True), lab.fault("ip-forward-off", TWO):
        found = traced(lab, *pods)
    named = [(item.fault.reason, item.place) for item in found.diagnoses]
    assert named[:2] == [(Reason.TRAFFIC_CONTROL, ONE), (Reason.NOT_FORWARDING, TWO)]


HALF = ["-p", "icmp", "--icmp-type", "echo-request", "-m", "statistic", "--mode", "random"]
RULES = {
    "iptables": (
        ["iptables", "-w", "-I", "FORWARD", *HALF, "--probability", "0.5", "-j", "DROP"],
        ["iptables", "-w", "-D", "FORWARD", *HALF, "--probability", "0.5", "-j", "DROP"],
        "-m statistic --mode random --probability 0.5",
    ),
    "nftables": (
        ["nft", "table inet odd { chain c { type filter hook forward priority 0; policy accept;\n"
         "icmp type echo-request limit rate over 1/hour burst 3 packets drop\n}\n}"],
        ["nft", "delete", "table", "inet", "odd"],
        "icmp type echo-request limit rate over 1/hour burst 3 packets drop in chain inet odd c",
    ),
    "a device's": (
        ["nft", "table netdev odd { chain c { type filter hook ingress device docker0 priority 0\n"
         "icmp type echo-request numgen random mod 2 0 drop\n}\n}"],
        ["nft", "delete", "table", "netdev", "odd"],
        "icmp type echo-request numgen random mod 2 0 drop in chain netdev odd c",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_of_which_only_the_kernel_can_tell_is_named_by_the_kernels_own_trace(lab, pods, kind):
    begins, ends, text = RULES[kind]
    node = lab.node(ONE)
    tables = node.run(["nft", "list", "tables"]).text
    node.run(begins)
    try:
        found = traced(lab, *pods)
    finally:
        node.run(ends)
    (first, *_) = found.diagnoses
    assert (first.fault.reason, first.place, first.seen) == (Reason.FW_RULE, ONE, True)
    assert text in first.fault.found
    assert "the kernel's own trace: " in first.evidence
    assert first.fault.fix.startswith(f"lab exec --name {lab.name} {ONE} -- nft delete rule ")
    assert node.run(["nft", "list", "tables"]).text == tables


def test_what_no_table_explains_has_the_kernels_own_reason(lab, pods):
    node = lab.node(ONE)
    # A policy of IPsec: neither routes nor the firewall know of it.
    policy = ["dir", "fwd", "src", "10.2.0.0/16", "dst", "10.2.0.0/16"]
    node.run(["ip", "xfrm", "policy", "add", *policy, "action", "block"])
    try:
        found = traced(lab, *pods)
    finally:
        node.run(["ip", "xfrm", "policy", "delete", *policy])
    (first, *_) = found.diagnoses
    assert (first.fault.reason, first.place) == (Reason.LOST, ONE)
    assert f"the kernel's own reason: XFRM_POLICY on {ONE} (of 24)" in first.fault.because
    assert found.notes == ()


def test_of_a_trace_that_is_killed_nothing_is_left(lab):
    def ours() -> list[str]:
        return [line for line in node.run(["nft", "list", "tables"]).text.split("\n") if "lab-trace-" in line]

    node = lab.node(ONE)
    with asking(Lab.get(lab.engine, lab.name)) as machines:
        tables = machines.state({})
        assert machines.follow(tables, Marks(0x8BADF00D, "icmp", 4)).rules == {}
        assert ours() == ["table inet lab-trace-8badf00d"]
        program = node.run(["pgrep", "--full", "/overlay-lab/trace"]).text.split()
        node.run(["kill", "-KILL", *program])
        wait.until(
            lambda: not ours() or wait.NotYet(f"there is {ours()}"), what="the table to be gone", timeout=10
        )


def test_what_a_trace_prints_for_programs_follows_its_schema_and_the_status_says_whether_all_is_well(
    lab, pods, run_lab
):
    done = run_lab("trace", *pods, "--port", "3306", "--json", "--name", lab.name)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert problems("trace", told) == []
    assert told["answered"] == told["sent"] > 20
    done = run_lab("trace", *pods, "--port", "3307", "--name", lab.name)
    assert done.returncode == 1
    assert "NO_LISTENER" in done.stdout
    assert f"lab exec --name {lab.name} {TWO} -- nsenter -t " in done.stdout
    done = run_lab("trace", pods[0], "nosuch", "--name", lab.name)
    assert done.returncode == 2
    assert "nosuch is no pod" in done.stderr
