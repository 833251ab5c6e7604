"""The packet filter through nft, in tables of our own."""

import json
from dataclasses import dataclass

from flanneld_py.firewall import nft_text
from flanneld_py.firewall.program import ProgramFailed, run
from flanneld_py.firewall.rules import Family, Wanted

__all__ = ["Nftables"]


@dataclass(frozen=True, slots=True)
class Nftables:
    """The table of one address family."""

    family: Family

    def ensure(self, wanted: Wanted, *, keep: bool = True) -> tuple[str, ...]:
        """Install these rules; return the names of the chains that were changed. Raises `ProgramFailed`.

        `keep` as in `nft_text.ensure`.
        """
        changes = nft_text.ensure(wanted, self._listed(), keep=keep)
        if changes.text:
            run(["nft", "-f", "-"], changes.text)  # one transaction
        return tuple(f"nft {chain}" for chain in changes.what)

    def remove(self) -> tuple[str, ...]:
        """Remove flannel's table; return its name if it existed. Raises `ProgramFailed`."""
        return self.ensure(Wanted(self.family), keep=False)

    def dropping(self) -> list[str]:
        """Return other forward chains whose policy drops unaccepted packets. Raises `ProgramFailed`."""
        listed = json.loads(run(["nft", "-j", "list", "chains", nft_text.PROTOCOLS[self.family]]))
        chains = [entry["chain"] for entry in listed["nftables"] if "chain" in entry]
        return [
            f"{chain['family']} {chain['table']} {chain['name']}"
            for chain in chains
            if chain.get("hook") == "forward"
            and chain.get("policy") == "drop"
            and chain["table"] != nft_text.TABLES[self.family]
        ]

    def _listed(self) -> str:
        try:
            table = nft_text.table_name(self.family).split()
            return run(["nft", "--stateless", "list", "table", *table])
        except ProgramFailed as error:
            if "No such file or directory" in str(error):
                return ""
            raise
