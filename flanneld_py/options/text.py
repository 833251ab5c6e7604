"""The text of -help."""

from flanneld_py.options.flags import COMMANDS, FLAGS, IDLE, variable
from flanneld_py.options.option import Flag

__all__ = ["usage"]

_WORDS = {"string": " string", "int": " int", "bool": "", "list": " value", "regex": " value"}


def usage(program: str) -> str:
    """Each flag with its default and its variable, and each command."""
    lines = [f"Usage: {program} [OPTION]..."]
    for name, flag in FLAGS.items():
        lines.append(f"  -{name}{_WORDS[flag.kind]}")
        lines.append(f"    \t{_explained(name, flag)}")
    lines.append(f"  -{', -'.join(IDLE)}\n    \taccepted so that old unit files work; the log goes to stderr")
    lines.append("Commands, with the same options:")
    for name, (arguments, meaning) in COMMANDS.items():
        lines.append(f"  {name} {arguments}".rstrip())
        lines.append(f"    \t{meaning}")
    return "\n".join(lines) + "\n"


def _explained(name: str, flag: Flag) -> str:
    words = [flag.meaning]
    if flag.choices:
        words.append(f"({', '.join(flag.choices)})")
    if flag.default:
        words.append(f'(default "{flag.default}")' if flag.kind == "string" else f"(default {flag.default})")
    if flag.variable:
        words.append(f"[{variable(name)}]")
    return " ".join(words)
