"""The packet filter by iptables and ip6tables, in either of their kinds: nf_tables and legacy."""

from dataclasses import dataclass
from typing import Final

from flanneld_py.firewall import iptables_text
from flanneld_py.firewall.program import run
from flanneld_py.firewall.rules import Family, RuleChanges, Wanted

__all__ = ["Iptables"]

_NAMES: Final[dict[Family, str]] = {4: "iptables", 6: "ip6tables"}


@dataclass(frozen=True, slots=True)
class Iptables:
    """One family's tables. `kind` is empty for the kind that the machine uses, or `-nft`, or `-legacy`."""

    family: Family
    kind: str = ""

    def ensure(self, wanted: Wanted, *, keep: bool = True) -> tuple[str, ...]:
        """Have these rules; the names of the chains that had to be changed. Raises `Refused`.

        `keep` as in `iptables_text.ensure`.
        """
        return self._apply(iptables_text.ensure(wanted, self._saved(), keep=keep))

    def remove(self) -> tuple[str, ...]:
        """Have nothing of any flannel's; the names of the chains that there were. Raises `Refused`."""
        return self._apply(iptables_text.remove(self._saved()))

    def dropping(self) -> list[str]:
        """Others' chains that drop what ours accept: none, for all share one chain FORWARD."""
        return []

    @property
    def _program(self) -> str:
        return f"{_NAMES[self.family]}{self.kind}"

    def _saved(self) -> str:
        # Of every table that there is: to name one may load a module of the kernel.
        return run([f"{self._program}-save"])

    def _apply(self, changes: RuleChanges) -> tuple[str, ...]:
        if changes.text:
            # Each table at once, or not at all.
            run([f"{self._program}-restore", "--wait=5", "--noflush"], changes.text)
        return tuple(f"{self._program} {chain}" for chain in changes.what)
