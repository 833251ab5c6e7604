"""What is said of a node's impairments, and its JSON. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.faults.impairment.model import Rule

__all__ = ["Standing", "Status"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule that was started, and what is missing of it in the kernel: nothing if it is in force."""

    rule: Rule
    way: str
    """`netem` or `line`: what delays and loses here."""
    missing: tuple[str, ...] = ()

    @property
    def in_force(self) -> bool:
        """Whether all of it is there."""
        return not self.missing


@dataclass(frozen=True, slots=True)
class Status:
    """A node's impairments."""

    rules: tuple[Standing, ...]
    strays: tuple[str, ...]
    """What is ours and belongs to none of them: `clear` removes it."""

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        rules = [
            {"rule": it.rule.as_document(), "way": it.way, "missing": list(it.missing)} for it in self.rules
        ]
        return {"rules": rules, "strays": list(self.strays)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Status":
        """What `as_document` gave."""
        rules = (
            Standing(Rule.from_document(it["rule"]), it["way"], tuple(it["missing"]))
            for it in document["rules"]
        )
        return cls(tuple(rules), tuple(document["strays"]))
