"""Faults of the kernel's settings, of this machine's own namespaces."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lab.faults.inside.kinds import Failed, Refused, Saved, Seen, State, state

__all__: list[str] = []

FOLDER = Path("/proc/sys")


def _paths(patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(FOLDER.glob(pattern))]


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


@state("sysctls")
class Sysctls(State):
    """Settings have other values. `set` has the value of each path below /proc/sys, `*` matching any folder;
    `with` names those that the kernel changes along with these, for the inverse.
    """

    @property
    def changes(self) -> Sequence[str]:
        """The settings."""
        return [f"sysctl {pattern}" for pattern in self.given["set"]]

    @property
    def _wanted(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for pattern, value in self.given["set"].items():
            found |= {str(path): value for path in _paths([pattern])}
        return found

    def save(self) -> Saved:
        """Their values, and those of what changes along."""
        wanted = self._wanted
        if not wanted:
            raise Failed(f"this kernel has no setting {', '.join(self.given['set'])}")
        along = [str(path) for path in _paths(self.given.get("with", ()))]
        return {"before": {path: _read(Path(path)) for path in dict.fromkeys([*wanted, *along])}}

    def start(self) -> None:
        """Write them."""
        for path, value in self._wanted.items():
            try:
                Path(path).write_text(value, encoding="ascii")
            except OSError as error:
                raise Refused(
                    f"{path} cannot be written: {error.strerror}",
                    hint="It belongs to the host: root there can write it, for all machines at once.",
                ) from None

    def seen(self) -> Seen:
        """By their values."""
        values = {path: _read(Path(path)) for path in self._wanted if Path(path).exists()}
        others = [path for path, value in values.items() if value != self._wanted[path]]
        if others:
            return Seen(False, f"{_name(others[0])} is {values[others[0]]}")
        named = [pattern.replace("/", ".") for pattern in self.given["set"]]
        return Seen(bool(values), f"{' and '.join(named)}: {', '.join(dict.fromkeys(values.values()))}")

    def stop(self) -> None:
        """Write what they were; what has another value by now, somebody else has set."""
        ours = [
            path for path, value in self._wanted.items() if Path(path).exists() and _read(Path(path)) == value
        ]
        if not ours:
            return
        for path, value in self.saved["before"].items():
            if Path(path).exists() and _read(Path(path)) != value:
                Path(path).write_text(value, encoding="ascii")


def _name(path: str) -> str:
    return path.removeprefix(f"{FOLDER}/").replace("/", ".")
