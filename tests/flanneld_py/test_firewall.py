import shutil
import subprocess
from ipaddress import IPv4Network

import pytest

from flanneld_py import firewall
from flanneld_py.errors import Fatal

NETWORK = IPv4Network("10.2.0.0/16")


class Iptables:
    """Stands in for subprocess.run: keeps what was asked for, and has the rules that it was given."""

    def __init__(self) -> None:
        self.hooks: set[tuple[str, ...]] = set()
        self.restored: list[str] = []
        self.fails = False

    def run(self, argv, **options):
        if self.fails:
            return subprocess.CompletedProcess(argv, 4, "", "Another app is\nholding the lock")
        if argv[0] == "iptables-restore":
            self.restored.append(options["input"])
            return subprocess.CompletedProcess(argv, 0, "", "")
        rule = tuple(argv[argv.index("--table") + 1 :])
        known = (rule[0], *rule[2:])
        if "--check" in rule:
            return subprocess.CompletedProcess(argv, 0 if known in self.hooks else 1, "", "")
        assert known not in self.hooks
        self.hooks.add(known)
        return subprocess.CompletedProcess(argv, 0, "", "")


@pytest.fixture
def iptables(monkeypatch):
    made = Iptables()
    monkeypatch.setattr(subprocess, "run", made.run)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    return made


def test_masquerading_asks_for_flannels_rules(iptables):
    firewall.masquerade(NETWORK)
    assert iptables.restored == [
        "*nat\n"
        ":FLANNEL - [0:0]\n"
        "-A FLANNEL -d 10.2.0.0/16 -j ACCEPT\n"
        "-A FLANNEL ! -d 224.0.0.0/4 -j MASQUERADE\n"
        "COMMIT\n"
    ]
    assert iptables.hooks == {
        ("nat", "POSTROUTING", "-s", "10.2.0.0/16", "-j", "FLANNEL"),
        ("nat", "POSTROUTING", "!", "-s", "10.2.0.0/16", "-d", "10.2.0.0/16", "-j", "MASQUERADE"),
    }


def test_rules_that_are_there_are_not_made_again(iptables):
    for _ in range(2):
        firewall.masquerade(NETWORK)
        firewall.accept_forwarded(NETWORK)
    assert len(iptables.hooks) == 3


def test_forwarding_asks_for_todays_flannels_rules(iptables):
    firewall.accept_forwarded(NETWORK)
    comment = '-m comment --comment "flanneld forward"'
    assert iptables.restored == [
        "*filter\n"
        ":FLANNEL-FWD - [0:0]\n"
        f"-A FLANNEL-FWD -s 10.2.0.0/16 {comment} -j ACCEPT\n"
        f"-A FLANNEL-FWD -d 10.2.0.0/16 {comment} -j ACCEPT\n"
        "COMMIT\n"
    ]


def test_masquerading_that_cannot_be_had_is_fatal_in_one_line(iptables, monkeypatch):
    iptables.fails = True
    with pytest.raises(Fatal, match=r"Failed to setup IP Masquerade: .*Another app is holding the lock"):
        firewall.masquerade(NETWORK)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(Fatal, match="iptables was not found"):
        firewall.masquerade(NETWORK)


def test_forwarding_that_cannot_be_had_is_said_and_no_end(iptables, caplog, monkeypatch):
    iptables.fails = True
    firewall.accept_forwarded(NETWORK)
    assert "Letting 10.2.0.0/16 through FORWARD" in caplog.text
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    firewall.accept_forwarded(NETWORK)
