"""-ip-masq: the rules of flannel 0.5.5 in the table nat, made with iptables(8)."""

import logging
import shutil
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Network

from flanneld_py.errors import Fatal

__all__ = ["masquerade", "rules"]

logger = logging.getLogger(__name__)

Rule = tuple[str, ...]


def rules(network: IPv4Network) -> Sequence[Rule]:
    """The rules, chain first: masquerade what leaves the overlay, and what enters it from outside."""
    inside = str(network)
    return (
        ("FLANNEL", "-d", inside, "-j", "ACCEPT"),
        ("FLANNEL", "!", "-d", "224.0.0.0/4", "-j", "MASQUERADE"),
        ("POSTROUTING", "-s", inside, "-j", "FLANNEL"),
        ("POSTROUTING", "!", "-s", inside, "-d", inside, "-j", "MASQUERADE"),
    )


def masquerade(network: IPv4Network) -> None:
    """Make the rules that are missing. As in 0.5.5 they stay when flanneld ends. Raises `Fatal`."""
    if shutil.which("iptables") is None:
        raise Fatal(
            "Failed to setup IP Masquerade: iptables was not found; install it, or leave -ip-masq out"
        )
    _iptables("--new-chain", "FLANNEL", may_fail=True)
    _iptables("--flush", "FLANNEL")
    for rule in rules(network):
        if not _iptables("--check", *rule, may_fail=True):
            logger.info("Adding iptables rule: %s", " ".join(rule))
            _iptables("--append", *rule)


def _iptables(*words: str, may_fail: bool = False) -> bool:
    argv = ["iptables", "--wait", "--table", "nat", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not may_fail:
        raise Fatal(f"Failed to setup IP Masquerade: {' '.join(argv)}: {done.stderr.strip()}")
    return done.returncode == 0
