"""The container of the kernel tests, set up as a machine of the lab and the box of `lab bench` are."""

import re

import pytest

from tests.writable import FIND, foreign

pytestmark = pytest.mark.kernel


def test_only_settings_of_its_own_namespaces_can_be_written(container):
    found = container.run("python3", "-c", FIND).text
    assert "/proc/sys/net/ipv4/ip_forward\n" in found
    assert foreign(found) == []


def test_another_network_namespaces_settings_can_be_written_there(sandbox):
    found = sandbox.host("a").run("python3", "-c", FIND).text
    assert "/proc/sys/net/ipv4/conf/eth0/rp_filter\n" in found
    # ip-netns(8) mounts a /sys of that namespace, which is writable.
    assert [path for path in foreign(found) if not path.startswith("/sys/")] == []


# What a program begins with, and what it has of its own; /proc tells its environment only as of execve(2).
LOOK = r"""
cd /proc/$0
grep -E '^(Name|NSpid|Uid|Gid|SigBlk|SigIgn|SigCgt|Cap...|NoNewPrivs|Seccomp|Umask):?' status |
    sed '/^NSpid/s/\b'$0'\b/PID/'
sed "s/^$0/PID/; s/) . [0-9]*/)/; s/\b$0\b/PID/g" stat | cut -d' ' -f1-5
cat limits oom_score_adj cgroup
readlink cwd fd/0 fd/1 fd/2 | sed 's/log.[0-9]*/LOG/'
readlink fd/* | sed 's/:.*//; s/log.[0-9]*/LOG/' | sort -u
sed 's/.* - //' mountinfo | sort
ip netns identify $0
ls -d /sys/class/net/eth0 /sys/class/net/flannel0
"""


def test_a_daemon_that_is_forked_is_as_one_that_begins_by_itself(sandbox):
    sandbox.configure()
    seen = []
    for forks in (True, False):
        host = sandbox.host("a")
        host.forks = forks
        daemon = host.flanneld()
        daemon.says("Watching for new subnet leases")
        inside = ["nsenter", f"--mount=/proc/{daemon.pid}/ns/mnt"]
        looked = sandbox.run(*inside, "sh", "-c", LOOK, str(daemon.pid))
        daemon.signal("TERM")
        assert daemon.ends() == 0
        assert daemon.log.splitlines()[-1].endswith("] Exiting...")
        seen.append(looked.text.splitlines())
        sandbox.remove(host)
    assert seen[0] == seen[1]
    assert {"a", "/sys/class/net/flannel0"} <= set(seen[0])


def test_daemons_that_are_forked_share_most_of_their_memory(sandbox):
    sandbox.configure()
    daemon = sandbox.host("a").flanneld()
    daemon.says("Watching for new subnet leases")
    text = sandbox.run("cat", f"/proc/{daemon.pid}/smaps_rollup").text
    size = {name: int(kib) for name, kib in re.findall(r"(?m)^(\w+): +(\d+) kB$", text)}
    # A fifth; if references to what all have in common were counted, two sevenths.
    assert size["Private_Dirty"] < size["Rss"] / 4
