"""Faults of the firewall: rules gone, a chain that drops, rules of nftables of the fault's own."""

import json
import re
from collections.abc import Mapping, Sequence

from lab.faults.inside.kinds import Failed, Saved, Seen, State, ask_program, run, state
from lab.faults.inside.rulesets import merged, missing, without

__all__: list[str] = []

PROGRAMS = ("iptables", "ip6tables")
OF_IPTABLES = ("filter", "nat", "mangle", "raw", "security")
"""The names of the tables that iptables-nft keeps, which `nft` cannot read back."""


def _saved_rules() -> dict[str, str]:
    return {program: run([f"{program}-save"]) for program in PROGRAMS}


def _restore(program: str, text: str) -> None:
    if text:
        run([f"{program}-restore"], text=text)


@state("iptables-rules-gone")
class RulesGone(State):
    """The rules of iptables that match a pattern, IPv4 and IPv6, are gone."""

    repaired = True

    @property
    def changes(self) -> Sequence[str]:
        """All rules: which ones match may change."""
        return ("iptables rules",)

    def save(self) -> Saved:
        """All rules."""
        before = _saved_rules()
        if not any(missing(text, "", self.given["matching"])[1] for text in before.values()):
            what = self.given["what"]
            raise Failed(f"there is no {what}, so none can be taken away")
        return {"before": before}

    def start(self) -> None:
        """Replace each table, at once, by itself without these."""
        for program, text in _saved_rules().items():
            _restore(program, without(text, self.given["matching"]))

    def seen(self) -> Seen:
        """By what is missing."""
        now = _saved_rules()
        gone, of = 0, 0
        for program, text in self.saved["before"].items():
            lost, count = missing(text, now[program], self.given["matching"])
            gone, of = gone + len(lost), of + count
        return Seen(gone > 0, f"{gone} of {of} rules that were there are gone")

    def stop(self) -> None:
        """Put back what is missing."""
        for program, now in _saved_rules().items():
            _restore(program, merged(self.saved["before"][program], now))


@state("iptables-policy")
class Policy(State):
    """A chain of the filter table drops what no rule accepts, IPv4 and IPv6."""

    @property
    def changes(self) -> Sequence[str]:
        """The chain's policy."""
        return (f"policy of {self.given['chain']}",)

    def _policies(self) -> Mapping[str, str]:
        found = {}
        for program in PROGRAMS:
            text = run([program, "-S", self.given["chain"]])
            found[program] = text.split()[2]
        return found

    def save(self) -> Saved:
        """The policies."""
        return {"tables": _tables(), "before": self._policies()}

    def start(self) -> None:
        """DROP."""
        for program in PROGRAMS:
            run([program, "-P", self.given["chain"], "DROP"])

    def seen(self) -> Seen:
        """As iptables tells it."""
        policies = self._policies()
        words = ", ".join(f"{program} {policy}" for program, policy in policies.items())
        return Seen(set(policies.values()) == {"DROP"}, f"policy of {self.given['chain']}: {words}")

    def stop(self) -> None:
        """What they were."""
        if self.seen().on:
            for program, policy in self.saved["before"].items():
                run([program, "-P", self.given["chain"], policy])
            _delete_empty([table for table in _tables() if table not in self.saved["tables"]])


@state("nft-table")
class Rules(State):
    """A table of nftables of the fault's own: `chains` is its text, family inet."""

    unique = True

    @property
    def _table(self) -> str:
        return f"lab-fault-{self.given['id']}"

    @property
    def changes(self) -> Sequence[str]:
        """Nobody else has it."""
        return (f"table {self._table}",)

    def save(self) -> Saved:
        """Nothing: its inverse is to delete it."""
        return {}

    def start(self) -> None:
        """Add it, whole."""
        run(["nft", "-f", "-"], text=f"table inet {self._table} {{\n{self.given['chains']}\n}}\n")

    def seen(self) -> Seen:
        """Whether it is there, and what it has dropped."""
        status, listed = ask_program(["nft", "list", "table", "inet", self._table])
        dropped = sum(map(int, re.findall(r"counter packets (\d+)", listed)))
        there = status == 0
        return Seen(there, f"{dropped} packets dropped" if there else "its rules are gone")

    def stop(self) -> None:
        """Delete it."""
        if self.seen().on:
            run(["nft", "delete", "table", "inet", self._table])


@state("nft-flushed")
class Flushed(State):
    """Every rule and table of nftables is gone, those of iptables-nft too."""

    repaired = True

    @property
    def changes(self) -> Sequence[str]:
        """All rules."""
        return ("iptables rules", "nft tables", "policy of FORWARD")

    def save(self) -> Saved:
        """iptables' tables as iptables writes them, and the others as nft does."""
        tables = {
            f"{family} {name}": run(["nft", "list", "table", family, name]) for family, name in _own_tables()
        }
        return {"iptables": _saved_rules(), "tables": tables}

    def start(self) -> None:
        """Flush."""
        run(["nft", "flush", "ruleset"])

    def seen(self) -> Seen:
        """By what is missing."""
        now, tables = _saved_rules(), {f"{family} {name}" for family, name in _own_tables()}
        gone = sum(
            len(missing(text, now[program], "")[0]) for program, text in self.saved["iptables"].items()
        )
        lost = [name for name in self.saved["tables"] if name not in tables]
        words = f"{gone} rules of iptables and {len(lost)} tables of nft that were there are gone"
        return Seen(bool(gone or lost), words)

    def stop(self) -> None:
        """Put back what is missing."""
        for program, now in _saved_rules().items():
            _restore(program, merged(self.saved["iptables"][program], now))
        there = {f"{family} {name}" for family, name in _own_tables()}
        for name, text in self.saved["tables"].items():
            if name not in there:
                run(["nft", "-f", "-"], text=text)


def _tables() -> list[list[str]]:
    """Family and name of every table."""
    listed = json.loads(run(["nft", "-json", "list", "tables"]))["nftables"]
    return [[item["table"]["family"], item["table"]["name"]] for item in listed if "table" in item]


def _own_tables() -> list[list[str]]:
    """Those that are not iptables-nft's."""
    return [table for table in _tables() if not (table[0] in ("ip", "ip6") and table[1] in OF_IPTABLES)]


def _delete_empty(tables: Sequence[Sequence[str]]) -> None:
    """Delete those of these tables that have no rule: iptables-nft makes one when it sets a policy."""
    for family, name in tables:
        listed = json.loads(run(["nft", "-json", "list", "table", family, name]))["nftables"]
        if not any("rule" in item for item in listed):
            run(["nft", "delete", "table", family, name])
