"""What is declared of an option: the flag whose value fills a field of `Options`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field
from typing import Any, Final, Literal

__all__ = ["Flag", "Kind", "declared", "option"]

Kind = Literal["string", "int", "bool", "list", "regex"]

_FLAG: Final = "flag"


def _text(_name: str, text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A flag, its variable and its text.

    `list` and `regex` may be given several times; in the environment, with commas between. `default` is in
    the spelling of the command line. `choices`, if any, are all that is allowed. `read` makes the field's
    value of the flag's name and text, or raises `Fatal`. `meaning` is for -help, `docs` for docs/flanneld.md,
    where `meaning` alone says too little. `only_here`: no flannel has it. A `command` is the only one that
    takes it; without a `variable` it comes from the command line alone.
    """

    kind: Kind
    meaning: str = ""
    default: str = ""
    choices: tuple[str, ...] = ()
    read: Callable[[str, str], object] = _text
    docs: str = ""
    only_here: bool = False
    command: str = ""
    variable: bool = True

    @property
    def is_bool(self) -> bool:
        """Whether it takes its value only behind an equals sign."""
        return self.kind == "bool"

    @property
    def repeats(self) -> bool:
        """Whether several of it add up; of others, the last wins."""
        return self.kind in ("list", "regex")

    def value(self, name: str, given: Sequence[str] = ()) -> object:
        """The value of the field, by what was given for the flag, if anything. Raises `Fatal`.

        An empty item of a list is left out: a unit file's -iface=$IFACE, without that variable, asks for
        nothing.
        """
        if self.repeats:
            return tuple(self.read(name, text) for text in given if text)
        return self.read(name, given[-1] if given else self.default)


def option(
    meaning: str,
    *,
    kind: Kind = "string",
    default: str = "",
    choices: tuple[str, ...] = (),
    read: Callable[[str, str], object] = _text,
    docs: str = "",
    only_here: bool = False,
    command: str = "",
    variable: bool = True,
    secret: bool = False,
) -> Any:
    """A field of `Options`, by the name of its flag with underscores; see `Flag`.

    Of `choices` the first is the default. A `secret` is in no text of the options.
    """
    flag = Flag(
        kind=kind,
        meaning=meaning,
        default=choices[0] if choices else default,
        choices=choices,
        read=read,
        docs=docs,
        only_here=only_here,
        command=command,
        variable=variable,
    )
    return field(default=flag.value(""), repr=not secret, metadata={_FLAG: flag})


def declared(fields: Sequence[Field[Any]]) -> Mapping[str, Flag]:
    """The flags that fill these fields, by their names, in the order of the fields."""
    return {each.name.replace("_", "-"): each.metadata[_FLAG] for each in fields if _FLAG in each.metadata}
