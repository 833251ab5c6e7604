"""Faults of the network: rules of the program that impairs packets here (lab/faults/impairment/)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.faults.inside.kinds import Failed, Refused, Saved, Seen, State, ask_program, state
from lab.faults.inside.routes import routes

__all__: list[str] = []

PROGRAM = ("/usr/bin/python3", "-IS", "/usr/lib/overlay-lab/impair")


def _ask(*argv: str, rule: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Its answer. Raises `Failed`, or `Refused` where it says that nothing was tried."""
    status, said = ask_program([*PROGRAM, *argv], "" if rule is None else json.dumps(rule))
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        raise Failed(f"{argv[0]}: the program that impairs packets said: {said.strip() or status}") from None
    if "error" in answer:
        raise (Refused if status == 2 else Failed)(answer["error"], answer["hint"])
    return answer


@state("impaired")
class Impaired(State):
    """Packets are lost, late, doubled or changed, as a rule says; it bears the fault's identifier."""

    unique = True

    _gone = False
    """What `seen` found last."""

    @property
    def _name(self) -> str:
        return f"fault-{self.given['id']}"

    @property
    def changes(self) -> Sequence[str]:
        """Nothing that another rule needs: each is started and ended by itself."""
        return (f"rule {self._name}",)

    def save(self) -> Saved:
        """The rule itself, with the subnets of its peers where packets are to have those addresses."""
        rule = {**self.given["rule"], "id": self._name}
        if self.given["bare"]:
            rule["peers"] = [*rule["peers"], *_behind(rule["peers"])]
        return {"rule": rule}

    def start(self) -> None:
        """Have it put in force."""
        _ask("start", rule=self.saved["rule"])

    def seen(self) -> Seen:
        """By what the kernel has of it."""
        self._gone = False
        for item in _ask("status")["rules"]:
            if item["rule"]["id"] == self._name:
                gone = ", ".join(item["missing"])
                words = f"missing: {gone}" if gone else f"{item['rule']['impairment']} ({item['way']})"
                return Seen(not gone, words)
        self._gone = True
        return Seen(False, "its rule is gone")

    def stop(self) -> None:
        """Have it taken out."""
        if not self._gone:
            _ask("stop", self._name)


def _behind(peers: Sequence[str]) -> list[str]:
    """The networks that are reached through these."""
    every = [route.split() for route in (*routes("-4"), *routes("-6"))]
    return [
        words[0]
        for words in every
        if "via" in words and words[words.index("via") + 1] in peers and words[0] != "default"
    ]
