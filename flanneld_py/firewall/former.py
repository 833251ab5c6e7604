"""Today's rules of 0.5.5, until `Firewall` makes the new ones."""

import logging
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from flanneld_py.errors import Exit, Fatal

__all__ = ["Chain", "accept_forwarded", "forwarding", "masquerade", "masquerading"]

logger = logging.getLogger(__name__)

Rule = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of our own, which is made anew, and the rules in the table's own chains that lead to it."""

    table: str
    name: str
    rules: Sequence[Rule]
    hooks: Sequence[Rule]


def masquerading(network: IPv4Network) -> Chain:
    """Masquerade what leaves the overlay, and what enters it from outside."""
    inside = str(network)
    return Chain(
        "nat",
        "FLANNEL",
        rules=(("-d", inside, "-j", "ACCEPT"), ("!", "-d", "224.0.0.0/4", "-j", "MASQUERADE")),
        hooks=(
            ("POSTROUTING", "-s", inside, "-j", "FLANNEL"),
            ("POSTROUTING", "!", "-s", inside, "-d", inside, "-j", "MASQUERADE"),
        ),
    )


def forwarding(network: IPv4Network) -> Chain:
    """Let through what comes from the overlay or goes there."""
    inside = str(network)
    comment = ("-m", "comment", "--comment", "flanneld forward")
    return Chain(
        "filter",
        "FLANNEL-FWD",
        rules=(("-s", inside, *comment, "-j", "ACCEPT"), ("-d", inside, *comment, "-j", "ACCEPT")),
        hooks=(("FORWARD", *comment, "-j", "FLANNEL-FWD"),),
    )


def masquerade(network: IPv4Network) -> None:
    """Masquerade. Raises `Fatal`, for it was asked for."""
    if shutil.which("iptables") is None:
        raise Fatal(
            "Failed to setup IP Masquerade: iptables was not found; install it, or leave -ip-masq out",
            code=Exit.KERNEL,
        )
    try:
        _make(masquerading(network))
    except _Failed as error:
        raise Fatal(f"Failed to setup IP Masquerade: {error}", code=Exit.KERNEL) from error


def accept_forwarded(network: IPv4Network) -> None:
    """Let the overlay's packets through. Where that cannot be done, say so: it may not be needed."""
    if shutil.which("iptables") is None:
        logger.info("iptables was not found: whether FORWARD lets %s through is left to others", network)
        return
    try:
        _make(forwarding(network))
    except _Failed as error:
        logger.warning("Letting %s through FORWARD: %s", network, error)


class _Failed(Exception):
    """iptables did not do it."""


def _make(chain: Chain) -> None:
    table = ("--wait", "--table", chain.table)
    # One run for the chain and its rules: naming a chain there makes or empties it.
    lines = [f"*{chain.table}", f":{chain.name} - [0:0]"]
    lines += [f"-A {chain.name} {' '.join(map(_quoted, rule))}" for rule in chain.rules]
    _run(["iptables-restore", "--wait", "--noflush"], "\n".join([*lines, "COMMIT", ""]))
    for hook in chain.hooks:
        if subprocess.run(["iptables", *table, "--check", *hook], capture_output=True).returncode != 0:
            logger.info("Adding iptables rule: %s", " ".join(hook))
            _run(["iptables", *table, "--append", *hook])


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _run(argv: Sequence[str], given: str = "") -> None:
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _Failed(f"{' '.join(argv)}: {' '.join(done.stderr.split())}")
