"""The packet filter through iptables and ip6tables, in both variants: nf_tables and legacy."""

from dataclasses import dataclass
from typing import Final

from flanneld_py.firewall import iptables_text
from flanneld_py.firewall.program import run
from flanneld_py.firewall.rules import Family, RuleChanges, Wanted

__all__ = ["Iptables"]

_NAMES: Final[dict[Family, str]] = {4: "iptables", 6: "ip6tables"}


@dataclass(frozen=True, slots=True)
class Iptables:
    """The tables of one address family. `kind` is "" for the machine's default, `-nft` or `-legacy`."""

    family: Family
    kind: str = ""

    def ensure(self, wanted: Wanted, *, keep: bool = True) -> tuple[str, ...]:
        """Install these rules; return the names of the chains that were changed. Raises `ProgramFailed`.

        `keep` as in `iptables_text.ensure`.
        """
        return self._apply(iptables_text.ensure(wanted, self._saved(), keep=keep))

    def remove(self) -> tuple[str, ...]:
        """Remove every flannel's rules; return the names of the chains there were. Raises `ProgramFailed`."""
        return self._apply(iptables_text.remove(self._saved()))

    def dropping(self) -> list[str]:
        """Return other chains that drop what ours accept: none, because all share the chain FORWARD."""
        return []

    @property
    def _program(self) -> str:
        return f"{_NAMES[self.family]}{self.kind}"

    def _saved(self) -> str:
        # All existing tables: naming one may load a kernel module.
        return run([f"{self._program}-save"])

    def _apply(self, changes: RuleChanges) -> tuple[str, ...]:
        if changes.text:
            # Each table is changed atomically.
            run([f"{self._program}-restore", "--wait=5", "--noflush"], changes.text)
        return tuple(f"{self._program} {chain}" for chain in changes.what)
