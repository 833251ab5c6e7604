"""Stories of faults on a real lab: started, seen by status and in the kernel, ended, and right again."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import checks, spec, wait
from lab.cluster import Lab, remove_all
from lab.deadlines import patience
from lab.errors import LabError, Unfit
from lab.faults import control
from tests.cluster.judging import subnets, wait_until_right

pytestmark = pytest.mark.cluster

MASTER, ONE, TWO = "centos-master", "centos-minion01", "centos-minion02"


@pytest.fixture(scope="module", autouse=True)
def _as_found(lab: Lab) -> Iterator[None]:
    """The lab is shared: when the stories are told, every check holds."""
    yield
    wait_until_right(lab)


@pytest.fixture(autouse=True)
def _ended(lab: Lab) -> Iterator[None]:
    """However a story ends, nothing of it is in force afterwards."""
    yield
    control.clear(Lab.get(lab.engine, lab.name))
    assert control.status(Lab.get(lab.engine, lab.name)).faults == ()


def leased(lab: Lab) -> dict[str, str]:
    """Each minion's subnet; the MTU beside it may follow an interface yet that a story has changed."""
    return {node: re.findall("FLANNEL_SUBNET=(.*)", text)[0] for node, text in subnets(lab).items()}


def shown(lab: Lab) -> dict[str, str]:
    """What is in force, by name."""
    return {fault.name: fault.state for fault in control.status(Lab.get(lab.engine, lab.name)).faults}


def failing(lab: Lab, *only: str) -> set[str]:
    """The checks, of these, that do not hold; without those of pings and logins, which wait for an answer."""
    found = checks.run_all(Lab.get(lab.engine, lab.name), only)
    return {finding.id for finding in checks.failed(found)}


def wait_until_settled(lab: Lab) -> None:
    """Wait until daemons run and hold their leases; pods, which take longer, are looked at in the end."""

    def settled() -> bool | wait.NotYet:
        wrong = failing(
            lab, "service.active", "leases.*", "overlay.*", "routes.*", "subnet-env.*", "docker0.*"
        )
        return not wrong or wait.NotYet(wrong)

    wait.until(settled, what="daemons and leases to be right again", timeout=60 * patience(), interval=0.1)


def on(lab: Lab, node: str, *argv: str) -> str:
    return lab.node(node).run(argv, check=False).output


@contextmanager
def started(lab: Lab, name: str, *targets: str, **options: object) -> Iterator[None]:
    """A fault that status shows while the block runs; every story ends with a look that it shows none."""
    with lab.fault(name, *targets, **options):
        assert shown(lab).get(name) == "on", name
        yield


def test_a_daemon_that_stands_still_is_seen_by_the_state_of_its_processes_and_goes_on(lab):
    with started(lab, "daemon-pause", ONE), started(lab, "etcd-pause"):
        for node, unit in ((ONE, "flanneld"), (MASTER, "etcd")):
            pid = on(lab, node, "systemctl", "show", "--property=MainPID", "--value", unit).strip()
            assert on(lab, node, "ps", "-o", "stat=", pid).startswith("T")
        with pytest.raises(
            LabError, match=r"it is so already: 1 of 1 processes of etcd\.service are stopped"
        ):
            control.start(lab, "unit-pause", [f"{MASTER}/etcd"])


@pytest.mark.thorough
def test_a_unit_that_is_killed_once_or_again_and_again_comes_back_and_keeps_its_subnet(lab):
    before = leased(lab)
    pid = on(lab, TWO, "systemctl", "show", "--property=MainPID", "--value", "flanneld").strip()
    done = control.start(lab, "daemon-kill-9", [TWO])
    assert [part.words for part in done.told] == [f"process {pid} of flanneld.service was sent SIGKILL"]
    with started(lab, "crash-loop", f"{ONE}/flanneld", every="300ms"):
        lab.node(TWO).start_service("flanneld")
        with started(lab, "unit-stop", f"{TWO}/flanneld"):
            assert failing(lab, "service.active", "routes.*") >= {"service.active", "routes.overlay"}
    wait_until_settled(lab)
    control.start(lab, "thundering-start", ["minions"])
    wait_until_settled(lab)
    assert leased(lab) == before


def test_a_machine_without_a_memory_controller_refuses_oom_and_says_what_root_could_do(lab):
    if "memory" in on(lab, ONE, "cat", "/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("this host gives machines a memory controller")
    with pytest.raises(Unfit, match="have no memory controller") as error:
        control.start(lab, "oom", [f"{ONE}/flanneld"])
    assert error.value.hint.startswith("Root on the host")


KERNEL = r"""
    ip -o address; ip route; ip -6 route; iptables-save; ip6tables-save; nft list tables | sort
    sysctl -a --pattern '\.(forwarding|rp_filter|accept_redirects)$|ip_forward$'
"""


def kernel(lab: Lab, node: str) -> str:
    """What faults of the kernel change, without what differs from one look to the next."""
    text = on(lab, node, "sh", "-c", KERNEL)
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", ":")))


def test_faults_of_the_kernel_are_in_force_together_and_leave_it_as_it_was(lab):
    before = kernel(lab, TWO)
    with (
        started(lab, "ip-forward-off", TWO),
        started(lab, "rp-filter", TWO),
        started(lab, "forward-drop", TWO),
        started(lab, "pmtu-blackhole", TWO),
        started(lab, "mtu", TWO, to=1400),
        started(lab, "address-add", TWO),
        started(lab, "docker0-wrong-address", TWO),
    ):
        assert on(lab, TWO, "sysctl", "-n", "net.ipv4.ip_forward").strip() == "0"
        assert "-P FORWARD DROP" in on(lab, TWO, "iptables", "-S", "FORWARD")
        assert "mtu 1400" in on(lab, TWO, "ip", "link", "show", "eth0")
        assert "192.0.2.77/24" in on(lab, TWO, "ip", "address", "show", "eth0")
        assert failing(lab, "docker0.address") == {"docker0.address"}
    assert kernel(lab, TWO) == before


PREFIX = "/coreos.com/network"


def etcd_get(lab: Lab, key: str) -> str:
    return on(lab, MASTER, "etcdctl", "get", "--print-value-only", key).removesuffix("\n")


def test_what_happens_to_a_lease_is_told_with_its_key_and_the_node_holds_one_again(lab):
    before = leased(lab)
    for name in ("lease-delete", "etcd-wipe", "etcd-compact", "etcd-defragment"):
        control.start(lab, name, [ONE] if name == "lease-delete" else [])
        wait_until_settled(lab)
    assert leased(lab) == before


@pytest.mark.thorough
def test_the_configuration_and_a_lease_without_an_end_are_restored_to_the_letter(lab):
    config = etcd_get(lab, f"{PREFIX}/config")
    with started(lab, "config-change", set="Network=10.9.0.0/16"), started(lab, "config-break"):
        assert etcd_get(lab, f"{PREFIX}/config") == "{ no JSON"
        with started(lab, "config-remove"), started(lab, "etcd-bad-key"), started(lab, "etcd-bad-value"):
            assert etcd_get(lab, f"{PREFIX}/config") == ""
            assert etcd_get(lab, f"{PREFIX}/subnets/not-a-subnet") != ""
        assert etcd_get(lab, f"{PREFIX}/subnets/not-a-subnet") == ""
        assert failing(lab, "config.value") == {"config.value"}
    assert etcd_get(lab, f"{PREFIX}/config") == config
    with started(lab, "lease-permanent", TWO):
        assert failing(lab, "leases.ttl") == {"leases.ttl"}
    assert failing(lab, "leases.*") == set()


@pytest.mark.thorough
def test_what_leads_to_other_machines_is_as_it_was_when_devices_addresses_and_rules_are_back(lab):
    before = kernel(lab, TWO)
    own = f"{lab.node(TWO).address}/24"
    for name in ("device-down", "segment-route-delete"):
        with started(lab, name, TWO):
            assert "unreachable" in on(lab, TWO, "ip", "route", "get", str(lab.node(MASTER).address))
    with started(lab, "address-change", TWO):
        assert own not in on(lab, TWO, "ip", "address", "show", "eth0")
    with started(lab, "peer-replaced", TWO):
        assert "02:00:5e:00:53:01" in on(lab, TWO, "ip", "link", "show", "eth0")
    with started(lab, "nft-flush", TWO), started(lab, "forward-drop", TWO, everything=True):
        assert "MASQUERADE" not in on(lab, TWO, "iptables-save", "-t", "nat")
    with started(lab, "masquerade-missing", TWO), started(lab, "iptables-flush", TWO):
        assert "DOCKER" not in on(lab, TWO, "iptables", "-S", "FORWARD")
    assert kernel(lab, TWO) == before


def test_a_route_that_is_deleted_is_back_at_once_and_the_fault_is_shown_as_ended(lab):
    with lab.fault("route-delete", ONE):

        def repaired() -> bool | wait.NotYet:
            return shown(lab)["route-delete"] == "ended" or wait.NotYet(shown(lab))

        wait.until(repaired, what="flanneld to make its route again", timeout=30 * patience())
    assert shown(lab) == {}


@pytest.mark.thorough
def test_a_port_that_is_taken_a_peer_that_vanishes_and_another_time_cost_no_subnet(lab):
    before = leased(lab)
    with started(lab, "port-busy", ONE):

        def told() -> bool | wait.NotYet:
            log = lab.node(ONE).journal("flanneld", 20)
            return "8285" in log or wait.NotYet(log)

        wait.until(told, what="flanneld to name the port", timeout=30 * patience())
    with started(lab, "peer-vanished", ONE, TWO):
        assert str(lab.node(TWO).address) not in on(
            lab, MASTER, "etcdctl", "get", "--prefix", f"{PREFIX}/subnets"
        )
    with started(lab, "clock-skew", f"{ONE}/flanneld", by="-2h"):
        pid = on(lab, ONE, "systemctl", "show", "--property=MainPID", "--value", "flanneld").strip()
        assert "clock.so" in on(lab, ONE, "cat", f"/proc/{pid}/maps")
        assert failing(lab, "leases.ttl", "leases.subnets") == set()
    wait_until_settled(lab)
    assert leased(lab) == before


def lost(lab: Lab, node: str, to: str, *, overlay: bool = False) -> int:
    """How many of three pings in a row have no answer; in the overlay, from docker0 to docker0."""
    address, source = str(lab.node(to).address), []
    if overlay:
        here, there = (leased(lab)[name].partition("/")[0] for name in (node, to))
        address, source = there, ["-I", here]
    ping = on(lab, node, "ping", "-n", "-c", "3", "-i", "0.1", "-W", "0.5", *source, address)
    return 3 - int(re.findall(r"(\d+) received", ping)[0])


def reached(lab: Lab, node: str, to: str) -> None:
    """Wait until no ping is lost in the overlay."""

    def probe() -> bool | wait.NotYet:
        count = lost(lab, node, to, overlay=True)
        return count == 0 or wait.NotYet(f"{count} of 3 pings lost")

    wait.until(probe, what=f"{node} to reach {to} in the overlay", timeout=30 * patience())


@pytest.mark.thorough
def test_machines_are_parted_in_groups_one_way_and_from_etcd_and_nothing_is_left_of_it(lab):
    reached(lab, ONE, TWO)  # flanneld may be at work on what another story has broken
    before = kernel(lab, ONE)
    with started(lab, "partition", f"{MASTER},{ONE}", TWO):
        assert (lost(lab, ONE, TWO), lost(lab, ONE, MASTER), lost(lab, TWO, MASTER)) == (3, 0, 3)
    with started(lab, "partition", ONE, TWO, port=8285, protocol="udp", one_way=True):
        assert (lost(lab, ONE, TWO), lost(lab, ONE, TWO, overlay=True)) == (0, 3)
    with started(lab, "partition-etcd", ONE), started(lab, "delay", TWO, peer=MASTER, time="20ms"):
        assert (lost(lab, ONE, MASTER), lost(lab, ONE, TWO, overlay=True)) == (3, 0)
        took = on(lab, TWO, "ping", "-n", "-c", "1", str(lab.node(MASTER).address))
        assert float(re.findall(r"time=([\d.]+) ms", took)[0]) >= 20
    assert kernel(lab, ONE) == before
    reached(lab, ONE, TWO)


@pytest.mark.thorough
def test_a_device_that_flaps_is_up_with_its_routes_in_the_end(lab):
    before = kernel(lab, TWO)
    with started(lab, "flap", TWO, every="200ms"):

        def down() -> bool | wait.NotYet:
            return "state DOWN" in on(lab, TWO, "ip", "link", "show", "eth0") or wait.NotYet("up")

        wait.until(down, what="eth0 to be down", timeout=30 * patience())
    assert kernel(lab, TWO) == before


def test_no_packet_that_an_outsider_encapsulates_reaches_a_pod(lab):
    told = control.start(lab, "spoofed-datagram", ["minions"]).told
    counts = {
        when: [part.words.rpartition("received ")[2] for part in told if part.words.startswith(when)]
        for when in ("before", "after")
    }
    assert len(counts["before"]) == 2
    assert counts["before"] == counts["after"]
    assert len([part for part in told if part.words.startswith("sent 5 echo requests for 10.2.")]) == 2


@pytest.mark.thorough
def test_an_etcd_that_goes_back_to_a_snapshot_gets_the_leases_again_and_a_full_disk_is_as_before(lab):
    before, files = leased(lab), on(lab, ONE, "sh", "-c", "ls -lA /run/flannel; cat /run/flannel/*")
    control.start(lab, "etcd-snapshot")
    write = ["cp", "/etc/hostname", "/run/flannel/more"]
    with started(lab, "disk-full", ONE):
        assert "No space left on device" in on(lab, ONE, *write)
    with started(lab, "disk-read-only", ONE):
        assert "Read-only file system" in on(lab, ONE, *write)
    assert on(lab, ONE, "sh", "-c", "ls -lA /run/flannel; cat /run/flannel/*") == files
    control.start(lab, "lease-delete", [ONE])
    control.start(lab, "etcd-restore")
    wait_until_settled(lab)
    assert leased(lab) == before


@pytest.mark.thorough
def test_a_machine_without_power_is_shown_and_what_its_boot_has_ended_is_only_forgotten(lab):
    before, config = leased(lab), etcd_get(lab, f"{PREFIX}/config")
    mtu = control.start(lab, "mtu", [TWO])
    control.start(lab, "config-break")
    with started(lab, "node-pause", TWO):
        assert "node.answers" in failing(lab, "node.answers")
        with pytest.raises(LabError, match=f"{TWO} does not run: its container is paused"):
            control.start(Lab.get(lab.engine, lab.name), "rp-filter", [TWO])
    control.start(lab, "node-kill", [MASTER, TWO])
    assert shown(lab) == {"node-kill": "on"}
    ended = {fault.name: fault for fault in control.clear(Lab.get(lab.engine, lab.name))}
    assert list(ended) == ["node-kill", "config-break", "mtu"]
    assert (ended["mtu"].id, ended["mtu"].state) == (mtu.id, "ended")
    assert ended["mtu"].parts[0].words == "it ended with a reboot"
    now = Lab.get(lab.engine, lab.name)
    assert etcd_get(now, f"{PREFIX}/config") == config
    wait_until_settled(now)
    assert leased(now) == before


@pytest.mark.thorough
def test_what_waits_ends_its_fault_on_sigterm_and_leaves_it_listed_when_it_is_killed(lab):
    command = [
        sys.executable,
        "-m",
        "lab",
        "fault",
        "start",
        "daemon-pause",
        ONE,
        "--for",
        "5m",
        "--name",
        lab.name,
    ]
    for number, status, left in ((signal.SIGTERM, 130, {}), (signal.SIGKILL, -9, {"daemon-pause": "on"})):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
            assert waiting.stdout is not None
            assert waiting.stdout.readline().startswith("daemon-pause is in force as ")
            waiting.send_signal(number)
            assert waiting.wait() == status
        assert shown(lab) == left


@pytest.mark.thorough
def test_a_lab_with_a_machine_that_stands_still_is_removed_all_the_same(make_lab, left_of):
    small = spec.load('{"pods": []}', "small.yaml")
    made = make_lab(small).lab
    control.start(made, "node-pause", [ONE])
    control.start(made, "node-stop", [TWO])
    list(remove_all(made.engine, made.name))
    assert left_of(made.name) == []


@pytest.mark.thorough
def test_a_stolen_lease_is_given_up_for_another_and_its_subnet_is_free_when_the_thief_goes(lab):
    before = leased(lab)[ONE]
    with started(lab, "lease-steal", ONE):

        def another() -> bool | wait.NotYet:
            return leased(lab)[ONE] != before or wait.NotYet(before)

        wait.until(another, what="another subnet", timeout=30 * patience())
        assert failing(lab, "leases.owner") == {"leases.owner"}
    # Its Docker still has the subnet that was stolen.
    control.start(lab, "daemon-restart", [ONE])
