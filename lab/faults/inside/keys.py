"""Faults of what stands in etcd: a key has another value, is gone, or is there.

They stand in etcd, so they outlive a reboot of this machine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lab.faults.inside.kinds import Failed, Saved, Seen, State, state
from lab.faults.inside.store import Entry, Store, open_store

__all__ = ["OfEtcd", "edited", "short"]


class OfEtcd(State):
    """A state that stands in etcd."""

    lasts = True

    @property
    def store(self) -> Store:
        """Where the lab's keys are."""
        return open_store(self.given["api"])

    def ready(self) -> None:
        """Once etcd answers."""
        open_store(self.given["api"], patient=True)


def edited(config: str, name: str, value: Any) -> str:
    """A configuration with another value of one key, such as Network or Backend.Type; null removes it.

    Keys are found as Go's JSON decoder finds them, whatever the case.
    """
    try:
        document = json.loads(config)
    except ValueError:
        raise Failed(f"the configuration is no JSON, so nothing in it can be changed: {config!r}") from None
    place: Any = document
    *above, last = name.split(".")
    for part in above:
        place = place.setdefault(_as_written(place, part), {})
    if value is None:
        place.pop(_as_written(place, last), None)
    else:
        place[_as_written(place, last)] = value
    return json.dumps(document)


def _as_written(document: Mapping[str, Any], name: str) -> str:
    return next((key for key in document if key.lower() == name.lower()), name)


@state("etcd-value")
class Value(OfEtcd):
    """A key has another value; `value` is its text, null for no key, `edit` changes a key of its JSON."""

    @property
    def changes(self) -> Sequence[str]:
        """The key."""
        return (f"etcd {self.given['key']}",)

    def save(self) -> Saved:
        """What the key holds, and what it is to hold."""
        entry = self.store.get(self.given["key"])
        if "edit" not in self.given:
            return {"before": asdict(entry) if entry else None, "wanted": self.given["value"]}
        if entry is None:
            raise Failed(f"etcd has no key {self.given['key']}")
        wanted = edited(entry.value, *self.given["edit"])
        return {"before": asdict(entry), "wanted": wanted}

    def start(self) -> None:
        """Set or delete it."""
        if self.saved["wanted"] is None:
            self.store.delete([self.given["key"]])
        else:
            self.store.put(self.given["key"], self.saved["wanted"])

    def seen(self) -> Seen:
        """By its value."""
        entry = self.store.get(self.given["key"])
        value = entry.value if entry else None
        held = "is not there" if value is None else f"holds {short(value)}"
        return Seen(value == self.saved["wanted"], f"{self.given['key']} {held}")

    def stop(self) -> None:
        """Set it to what it was, unless somebody else has set it meanwhile."""
        if not self.seen().on:
            return
        before = self.saved["before"]
        if before is None:
            self.store.delete([self.given["key"]])
        else:
            self.store.put_back(Entry(**before))


def short(value: str) -> str:
    """A value in a message, not longer than a line."""
    return value if len(value) <= 60 else f"{value[:57]}..."
