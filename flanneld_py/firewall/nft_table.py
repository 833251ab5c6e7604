"""An nft table of ours in the family inet, and whether others have changed its chains."""

import logging
from collections.abc import Sequence

from flanneld_py.firewall.program import ProgramFailed, run
from flanneld_py.kernel.nft_sets import NftSets

__all__ = ["NftTable", "remove_table"]

logger = logging.getLogger(__name__)


class NftTable:
    """The table `name`. `sets` asks the kernel for its sets and counters, without running nft."""

    def __init__(self, name: str, chains: Sequence[str]) -> None:
        self.name = name
        self.sets = NftSets(name)
        self._chains = chains
        self._printed = ""
        self._generation = -1

    def remember(self) -> None:
        """Remember the chains as they are now, just made."""
        try:
            self._printed = self._print()
        except ProgramFailed as error:  # an old nft does not support -t: then it is made anew each time
            logger.debug("Cannot list the chains of the table %s: %s", self.name, error)

    def is_unchanged(self) -> bool:
        """Compare the chains with those remembered; runs nft."""
        try:
            return bool(self._printed) and self._print() == self._printed
        except ProgramFailed as error:
            logger.debug("Cannot list the chains of the table %s: %s", self.name, error)
            return False

    def may_have_changed(self) -> bool:
        """Whether anybody changed any table since the last call; asks the kernel alone."""
        try:
            generation = self.sets.generation()
        except OSError as error:
            logger.debug("Cannot read the generation of nftables: %s", error)
            return False
        before, self._generation = self._generation, generation
        return generation != before

    def look_again(self) -> None:
        """Have the next `may_have_changed` answer yes."""
        self._generation = -1

    def close(self) -> None:
        """Close the socket; the table stays."""
        self.sets.close()

    def _print(self) -> str:
        return "".join(
            run(["nft", "-t", "list", "chain", "inet", self.name, chain]) for chain in self._chains
        )


def remove_table(name: str) -> None:
    """Remove such a table, if nft works here: most machines have none."""
    try:
        run(["nft", "-f", "-"], f"add table inet {name}\ndelete table inet {name}\n")
    except ProgramFailed as error:
        logger.debug("Cannot look for rules of an earlier run: %s", error)
